"""The channels to compare: ours on a resolver target, or a bare one on addresses; for asyncio or not."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio

if TYPE_CHECKING:
    from collections.abc import Sequence

METHOD = "/helloworld.Greeter/SayHello"
REQUEST = b"\n\x05world"
"""A HelloRequest with `world` for a name."""

_ROUND_ROBIN = (("grpc.service_config", '{"loadBalancingConfig": [{"round_robin": {}}]}'),)


@dataclass(frozen=True, slots=True)
class ChannelChoice:
    """Which channel a worker opens.

    Attributes:
        ours: Whether it is one of lb_client.
        aio: Whether it is for asyncio.
        target: A resolver target for ours; `ipv4:` and addresses, under round_robin, or one address, for a bare one.
        command: Calls in flight if the process is to be like that of `lbdemo call`; 0 for an application's.
        gives_way: Whether an application's process gives way to others (SCHED_BATCH).
    """

    ours: bool
    aio: bool
    target: str
    command: int = 0
    gives_way: bool = False

    @classmethod
    def of_arguments(cls, args: Sequence[str] | None = None) -> ChannelChoice:
        """From `(ours|bare) (sync|aio) TARGET [--command CALLS] [--gives-way]`."""
        parser = argparse.ArgumentParser()
        parser.add_argument("whose", choices=["ours", "bare"])
        parser.add_argument("api", choices=["sync", "aio"])
        parser.add_argument("target")
        parser.add_argument("--command", type=int, default=0)
        parser.add_argument("--gives-way", action="store_true")
        given = parser.parse_args(args)
        return cls(given.whose == "ours", given.api == "aio", given.target, given.command, given.gives_way)

    @property
    def _bare_options(self) -> Sequence[tuple[str, Any]]:
        return _ROUND_ROBIN if "," in self.target else ()

    def open(self) -> grpc.Channel:
        """The channel, for code that blocks."""
        if not self.ours:
            return grpc.insecure_channel(self.target, self._bare_options)
        import lb_client  # noqa: PLC0415 -- what ours costs beyond the bare one is just the question

        return lb_client.insecure_channel(self.target)

    def open_aio(self) -> grpc.aio.Channel:
        """The channel, on a running loop."""
        if not self.ours:
            return grpc.aio.insecure_channel(self.target, self._bare_options)
        from lb_client import aio  # noqa: PLC0415 -- as above

        return aio.insecure_channel(self.target)


def say_hello(channel: grpc.Channel) -> grpc.UnaryUnaryMultiCallable[bytes, bytes]:
    """The method, on bytes."""
    return channel.unary_unary(METHOD)


def say_hello_aio(channel: grpc.aio.Channel) -> grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]:
    """The method, on bytes."""
    return channel.unary_unary(METHOD)
