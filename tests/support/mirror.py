"""A generic gRPC service that does what a call's metadata asks for and remembers what it saw: to test a proxy with."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import grpc
import grpc.aio

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

UNARY = "/mirror.Mirror/Unary"
STREAM = "/mirror.Mirror/Stream"

Pairs = tuple[tuple[str, str | bytes], ...]
STATUS, DETAILS, WAIT = "x-status", "x-details-bin", "x-wait"
_OWN = ("user-agent", "te", "content-type", "grpc-", ":")


@dataclass(slots=True)
class Seen:
    """What the server saw of one call.

    Attributes:
        metadata: All that came with it, in order, gRPC's own left out.
        time_remaining_s: Until its deadline, as the server knows it when the call begins; None without one.
        cancelled: Set once the server has seen the call end before it was answered.
        messages: Sizes of the messages that came.
    """

    metadata: Pairs = ()
    time_remaining_s: float | None = None
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)
    messages: list[int] = field(default_factory=list)


class Mirror(grpc.GenericRpcHandler):
    """Answers `UNARY` with its request and `STREAM` with each message of it. Metadata comes back as it was sent:
    what begins with `i-` in the initial, with `t-` in the trailing metadata.

    Attributes:
        calls: What was seen, by call.
    """

    def __init__(self) -> None:
        self.calls: list[Seen] = []
        self.begun = asyncio.Event()

    @classmethod
    @asynccontextmanager
    async def serving(cls) -> AsyncIterator[tuple[Self, str]]:
        """One that serves on 127.0.0.1, and its address."""
        mirror = cls()
        options = (("grpc.so_reuseport", 0), ("grpc.max_metadata_size", 1 << 20))
        server = grpc.aio.server(options=options)
        server.add_generic_rpc_handlers((mirror,))
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        try:
            yield mirror, f"127.0.0.1:{port}"
        finally:
            await server.stop(0)

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any] | None:
        if handler_call_details.method == UNARY:
            return grpc.unary_unary_rpc_method_handler(self._unary)
        if handler_call_details.method == STREAM:
            return grpc.stream_stream_rpc_method_handler(self._stream)
        return None

    async def _unary(self, request: bytes, context: Any) -> bytes:
        seen = await self._begin(context)
        seen.messages.append(len(request))
        await self._end(context, seen)
        return request

    async def _stream(self, requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        seen = await self._begin(context)
        async for request in requests:
            seen.messages.append(len(request))
            yield request
        await self._end(context, seen)

    async def _begin(self, context: Any) -> Seen:
        metadata = tuple((str(key), value) for key, value in context.invocation_metadata())
        remaining_s = context.time_remaining()
        seen = Seen(
            metadata=tuple(pair for pair in metadata if not pair[0].startswith(_OWN)),
            time_remaining_s=remaining_s if remaining_s is not None and remaining_s < 1e6 else None,
        )
        self.calls.append(seen)
        self.begun.set()
        await context.send_initial_metadata(tuple(pair for pair in seen.metadata if pair[0].startswith("i-")))
        context.set_trailing_metadata(tuple(pair for pair in seen.metadata if pair[0].startswith("t-")))
        return seen

    async def _end(self, context: Any, seen: Seen) -> None:
        asked = dict(seen.metadata)
        if WAIT in asked:
            try:
                await asyncio.sleep(float(asked[WAIT]))
            except asyncio.CancelledError:
                seen.cancelled.set()
                raise
        if STATUS in asked:
            code = next(code for code in grpc.StatusCode if code.value[0] == int(asked[STATUS]))
            details = asked.get(DETAILS, b"")
            assert isinstance(details, bytes)
            context.set_code(code)
            context.set_details(details.decode())


@dataclass(frozen=True, slots=True)
class Answer:
    """What the client saw of one call."""

    code: grpc.StatusCode
    details: str
    initial: Pairs
    trailing: Pairs
    response: bytes | None
    took_s: float


async def ask(
    channel: grpc.aio.Channel, request: bytes = b"", *, metadata: Pairs = (), timeout_s: float | None = 10.0
) -> Answer:
    """A unary call and all that came of it."""
    begin_s = time.monotonic()
    call: Any = channel.unary_unary(UNARY)
    call = call(request, metadata=metadata, timeout=timeout_s)
    response = None
    try:
        response = await call
    except grpc.aio.AioRpcError as error:
        initial, trailing = error.initial_metadata(), error.trailing_metadata()
    else:
        initial, trailing = await call.initial_metadata(), await call.trailing_metadata()
    took_s = time.monotonic() - begin_s
    return Answer(await call.code(), await call.details() or "", _pairs(initial), _pairs(trailing), response, took_s)


def _pairs(metadata: Any) -> Pairs:
    return tuple((str(key), value) for key, value in metadata or ())
