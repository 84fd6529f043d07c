"""Ping-pong on many streams at once: who has each stream, and how long a message takes there and back."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio

from lb_client.driver import ADDRESS_KEY
from lb_client.stats import LatencyHistogram
from protos import conversation_pb2

if TYPE_CHECKING:
    from collections.abc import Callable

METHOD = "/lbdemo.v1.Conversation/PingPong"


@dataclass(slots=True)
class StreamTally:
    """What came of the streams.

    Attributes:
        streams: By the address of the replica that had them; "" where none is known.
        messages: Answered messages, likewise.
        failed: Streams that ended with another status than OK.
        failures: The first few of these, in words.
        latency: Of a message and its answer.
        elapsed_s: From the first message to the end of the last stream.
    """

    streams: dict[str, int] = field(default_factory=dict)
    messages: dict[str, int] = field(default_factory=dict)
    failed: int = 0
    failures: list[str] = field(default_factory=list)
    latency: LatencyHistogram = field(default_factory=LatencyHistogram)
    elapsed_s: float = 0.0


async def converse(
    open_stream: Callable[..., Any], *, streams: int, messages: int, deadline_s: float, name: str
) -> StreamTally:
    """So many streams at once, each with so many messages, each message sent when the last one was answered.

    Args:
        open_stream: The multi-callable of `METHOD`.
        streams: How many.
        messages: On each.
        deadline_s: Of each stream.
        name: What their conversations are called, with a number after it.
    """
    tally = StreamTally()
    begin_s = time.monotonic()
    await asyncio.gather(
        *(_talk(open_stream, tally, f"{name}-{number}", messages, deadline_s) for number in range(streams))
    )
    tally.elapsed_s = time.monotonic() - begin_s
    return tally


async def _talk(
    open_stream: Callable[..., Any], tally: StreamTally, conversation: str, messages: int, deadline_s: float
) -> None:
    call = open_stream(timeout=deadline_s)
    answered = 0
    try:
        for number in range(1, messages + 1):
            begin_s = time.monotonic()
            await call.write(conversation_pb2.Line(conversation=conversation, number=number, text="ping"))
            if await call.read() is grpc.aio.EOF:
                break
            tally.latency.add(time.monotonic() - begin_s)
            answered += 1
        await call.done_writing()
        while await call.read() is not grpc.aio.EOF:
            pass
    except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
        pass  # its status tells
    code = await call.code()
    trailing = await call.trailing_metadata() or {}
    address = str(trailing.get(ADDRESS_KEY) or "")
    tally.streams[address] = tally.streams.get(address, 0) + 1
    tally.messages[address] = tally.messages.get(address, 0) + answered
    if code is not grpc.StatusCode.OK:
        tally.failed += 1
        if len(tally.failures) < 3:
            tally.failures.append(f"{code.name} ({await call.details()})")


def open_stream(channel: Any) -> Callable[..., Any]:
    """The multi-callable of `METHOD` on a channel."""
    opened: Callable[..., Any] = channel.stream_stream(
        METHOD,
        request_serializer=conversation_pb2.Line.SerializeToString,
        response_deserializer=conversation_pb2.Line.FromString,
    )
    return opened
