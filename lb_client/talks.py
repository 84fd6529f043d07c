"""Many conversations at once, and what their replicas say of them afterwards. One conversation is talk.py's."""

from __future__ import annotations

import asyncio
import secrets
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Self

import grpc
import grpc.aio

from lb_client.stream_report import ServerView
from lb_client.talk import Gate, Talk
from protos import conversation_pb2, conversation_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lb_client.script import Home, Moment, Script

ASK_S = 1.0
"""How long a replica may take to notice the end of a conversation, and to tell."""

_AT_ONCE = 50
_AGAIN_S = 0.02


class Talks:
    """So many conversations of one script on one channel, all open at once.

    Args:
        channel: A stock channel; stays the caller's.
        script: For each of them.
        streams: How many.
        uneven: The n-th stream has n times as many lines.
        tell: Told each moment of the first; only for a single one.
        witnesses: Asked about a conversation as soon as it leaves a replica.
    """

    def __init__(
        self,
        channel: grpc.aio.Channel,
        script: Script,
        *,
        streams: int = 1,
        uneven: bool = False,
        tell: Callable[[Moment], None] | None = None,
        witnesses: Witnesses | None = None,
    ) -> None:
        prefix = secrets.token_hex(4)
        gate = Gate(streams) if streams > 1 else None
        self.talks: Sequence[Talk] = [
            Talk(
                channel,
                replace(script, count=script.count * number) if uneven and script.count is not None else script,
                f"{prefix}-{number}",
                tell=tell,
                gate=gate,
                left=witnesses.ask if witnesses is not None else None,
            )
            for number in range(1, streams + 1)
        ]
        self.elapsed_s = 0.0
        self.stopped = False

    async def run(self) -> None:
        """Hold all of them, each to its end."""
        began_s = time.monotonic()
        await asyncio.gather(*(talk.run() for talk in self.talks))
        self.elapsed_s = time.monotonic() - began_s

    def stop(self) -> None:
        """Write no more, on any of them."""
        self.stopped = True
        for talk in self.talks:
            talk.stop()

    def cut(self) -> None:
        """End those that are left now."""
        self.stopped = True
        for talk in self.talks:
            if not talk.status:
                talk.cut()


class Witnesses:
    """Asks replicas how they saw conversations end, each at its own address. Leaving the block closes the channels."""

    def __init__(self) -> None:
        self._channels: dict[str, grpc.aio.Channel] = {}
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._asked: dict[int, asyncio.Task[ServerView]] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for asked in self._asked.values():
            asked.cancel()
        await asyncio.gather(*self._asked.values(), return_exceptions=True)
        await asyncio.gather(*(channel.close() for channel in self._channels.values()))

    def ask(self, home: Home, name: str) -> asyncio.Task[ServerView]:
        """Ask now, if nobody did: a replica that drains can soon be asked no more."""
        # By the stay, not by the replica: a stream may come back to where it was.
        key = id(home)
        if key not in self._asked:
            self._asked[key] = asyncio.create_task(self._view(home, name), name="conversation witness")
        return self._asked[key]

    async def views(self, talks: Sequence[Talk]) -> dict[str, list[ServerView]]:
        """By conversation, how each replica where it was saw it."""
        asked = {talk.name: [self.ask(home, talk.name) for home in talk.homes if home.address] for talk in talks}
        return {name: [await view for view in views] for name, views in asked.items()}

    async def _view(self, home: Home, name: str) -> ServerView:
        options = (("grpc.enable_http_proxy", 0),)
        if home.address not in self._channels:
            self._channels[home.address] = grpc.aio.insecure_channel(home.address, options=options)
        async with self._slots:
            return await _view(self._channels[home.address], home, name)


async def _view(channel: grpc.aio.Channel, home: Home, name: str) -> ServerView:
    ask = conversation_pb2_grpc.ConversationStub(channel).GetOutcome
    request = conversation_pb2.GetOutcomeRequest(conversation=name)
    end_s = time.monotonic() + ASK_S
    while True:
        try:
            seen = await ask(request, timeout=ASK_S)
        except grpc.aio.AioRpcError:
            return ServerView(home.replica, "no answer")
        if seen.ending != "open" or time.monotonic() >= end_s:
            return ServerView(home.replica, seen.ending, seen.received, seen.sent, seen.open_s)
        await asyncio.sleep(_AGAIN_S)
