"""The channels of a way, as one: a ring of channels that takes each call to the next of them."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc.aio

from lb_client import aio
from lb_client.channelz import ChannelView, open_viewed
from lb_client.policy import PickFirst, RoundRobin

if TYPE_CHECKING:
    from collections.abc import Callable

    from lb_client.compare.ways import Way

# Without a subchannel pool of its own a channel would share the connection of another one to the same address.
_OWN_CONNECTIONS = (("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0))


@dataclass(frozen=True, slots=True)
class Viewed:
    """A channel, and what can be seen of it; None where core offers no view."""

    channel: grpc.aio.Channel
    view: ChannelView | None


class ChannelRing:
    """Several channels in the place of one: the part of `grpc.aio.Channel` that a measurement uses."""

    def __init__(self, channels: list[Viewed]) -> None:
        self._channels = channels

    def unary_unary(self, *args: Any, **kwargs: Any) -> Callable[..., Any]:
        """A multi-callable whose calls go to one channel after the other."""
        return _in_turn([each.channel.unary_unary(*args, **kwargs) for each in self._channels])

    def stream_stream(self, *args: Any, **kwargs: Any) -> Callable[..., Any]:
        """Likewise."""
        return _in_turn([each.channel.stream_stream(*args, **kwargs) for each in self._channels])

    async def connect(self, timeout_s: float) -> None:
        """Connect each channel; one that is not connected in time is left as it is."""
        waiting = [asyncio.ensure_future(each.channel.channel_ready()) for each in self._channels]
        _, late = await asyncio.wait(waiting, timeout=timeout_s)
        for each in late:
            each.cancel()

    def connections(self) -> dict[str, int]:
        """How many connections are open, by the address that they were made to."""
        found: dict[str, int] = {}
        for each in self._channels:
            for subchannel in each.view.look() if each.view is not None else ():
                if subchannel.state == "READY":
                    found[subchannel.address] = found.get(subchannel.address, 0) + 1
        return found

    @property
    def view(self) -> ChannelView | None:
        """The view of the one channel; None where there are several."""
        return self._channels[0].view if len(self._channels) == 1 else None

    async def close(self) -> None:
        """Close them all."""
        for each in self._channels:
            await each.channel.close()


def _in_turn(calls: list[Any]) -> Callable[..., Any]:
    turn = itertools.cycle(calls)

    def call(*args: Any, **kwargs: Any) -> Any:
        return next(turn)(*args, **kwargs)

    return call


def open_ring(way: Way, target: str) -> ChannelRing:
    """The way's channels. Only one that is live has a target of ours; to the others it is `host:port`."""
    policy = RoundRobin() if way.policy == RoundRobin.name else PickFirst()
    if way.is_live:
        return ChannelRing([Viewed(*open_viewed(lambda: aio.insecure_channel(target, policy=policy)))])
    options = (*_OWN_CONNECTIONS, ("grpc.service_config_disable_resolution", 1))
    return ChannelRing(
        [Viewed(*open_viewed(lambda: grpc.aio.insecure_channel(target, options))) for _ in range(way.connections)]
    )
