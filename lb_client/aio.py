"""The asyncio twins of the channels: a stock `grpc.aio.Channel` each, with the same arguments, lifetime and errors.

`switch_policy` is the same function for both: it never blocks.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio

from lb_client.channel import open_channel, switch_policy
from resolver.policy import Policy, RoundRobin

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["insecure_channel", "secure_channel", "switch_policy"]


def insecure_channel(
    target: str,
    *,
    policy: Policy = RoundRobin(),  # noqa: B008 -- an immutable value
    zone: str = "",
    health_check: bool | str = True,
    options: Sequence[tuple[str, Any]] | None = None,
    compression: grpc.Compression | None = None,
    interceptors: Sequence[grpc.aio.ClientInterceptor] | None = None,
) -> grpc.aio.Channel:
    """`lb_client.insecure_channel` for asyncio. Call it where the loop runs that will use the channel.

    The first channel of a process blocks the loop for a few milliseconds while the control plane starts.
    """
    return open_channel(
        lambda uri, arguments: grpc.aio.insecure_channel(uri, arguments, compression, interceptors),
        _is_closed,
        target,
        policy=policy,
        zone=zone,
        health_check=health_check,
        options=options,
        loop=_running_loop(),
    )


def secure_channel(
    target: str,
    credentials: grpc.ChannelCredentials,
    *,
    policy: Policy = RoundRobin(),  # noqa: B008 -- an immutable value
    zone: str = "",
    health_check: bool | str = True,
    options: Sequence[tuple[str, Any]] | None = None,
    compression: grpc.Compression | None = None,
    interceptors: Sequence[grpc.aio.ClientInterceptor] | None = None,
) -> grpc.aio.Channel:
    """`lb_client.secure_channel` for asyncio; see there for `credentials`, and above for the rest."""
    return open_channel(
        lambda uri, arguments: grpc.aio.secure_channel(uri, credentials, arguments, compression, interceptors),
        _is_closed,
        target,
        policy=policy,
        zone=zone,
        health_check=health_check,
        options=options,
        credentials=credentials,
        loop=_running_loop(),
    )


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:  # the channel is made for a loop that is yet to run; gRPC finds it by itself
        return None


def _is_closed(channel: grpc.aio.Channel) -> bool:
    return channel.get_state() is grpc.ChannelConnectivity.SHUTDOWN
