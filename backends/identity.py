"""Puts the replica's identity on every RPC, counts calls, streams and messages. Which handler answers is dispatch.py's.

gRPC Python clients cannot ask who answered (there is no `peer()`), so it travels in metadata: trailing on RPCs with one
response, where an early header would commit the call and forbid a retry; initial and trailing on streams of responses.
"""

from __future__ import annotations

import asyncio
import inspect
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, TypeVar

import grpc
import grpc.aio

from backends.connections import Callers
from protos.orca import LOAD_KEY

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Handler = grpc.RpcMethodHandler[Any, Any]
    AsyncBehavior = Callable[[Any, Any], Awaitable[Any]]

Behavior = TypeVar("Behavior", bound="Callable[..., Any]")

REPLICA_KEY = "lbdemo-replica"
ADDRESS_KEY = "lbdemo-address"
ATTEMPTS_KEY = "lbdemo-previous-attempts"

Metadata = tuple[tuple[str, str | bytes], ...]


class Identity:
    """Who answers, as metadata. Mutable because handlers are wrapped before the port is known.

    Attributes:
        metadata: For a stream's initial metadata.
        load: What trailing metadata holds beside it.
        trailing: Both.
    """

    __slots__ = ("load", "metadata", "trailing")

    def __init__(self, metadata: Metadata = (), load: Metadata = ()) -> None:
        self.metadata = metadata
        self.load = load
        self.trailing = _as_bytes((*metadata, *load))

    @classmethod
    def of(cls, id: str, address: str) -> Identity:
        """The identity of the replica `id`, announced at `address`."""
        return cls(((REPLICA_KEY, id), (ADDRESS_KEY, address)))

    def become(self, other: Identity) -> None:
        """Be the other from now on, for whoever holds this one."""
        self.metadata, self.load, self.trailing = other.metadata, other.load, other.trailing

    def report(self, load: Metadata) -> None:
        """Have trailing metadata hold this load from now on."""
        self.load = load
        self.trailing = _as_bytes((*self.metadata, *load))

    def after_attempts(self, attempts: str) -> Identity:
        """The same, for a call that was tried `attempts` times before (gRFC A6's grpc-previous-rpc-attempts)."""
        return Identity((*self.metadata, (ATTEMPTS_KEY, attempts)), self.load)

    def with_load(self, text: str) -> Identity:
        """The same, for a caller who wants to read the load."""
        return Identity(self.metadata, (*self.load, (LOAD_KEY, text)))


def _as_bytes(metadata: Metadata) -> Metadata:
    """The same to whom it is sent; here it need not be encoded for each call."""
    return tuple((key, value.encode() if isinstance(value, str) else value) for key, value in metadata)


class Counters:
    """How many calls, streams and messages there were and are. Touched on the event loop only.

    Attributes:
        calls: Calls so far, streams among them.
        failed: Calls so far whose servicer ended with an error, its own word or an exception.
        in_flight: Calls whose servicer is at work. Down again before the client sees its answer.
        unsent: Calls whose answer is not on its way yet: a large one to a slow reader takes its time.
        streams: Calls with a stream of requests, of responses, or of both, so far.
        open_streams: Those of them whose servicer is at work.
        received: Messages that came on streams.
        sent: Messages that went out on streams.
        callers: Where calls came from.
    """

    __slots__ = (
        "_waiting",
        "_when_sent",
        "callers",
        "calls",
        "failed",
        "in_flight",
        "open_streams",
        "received",
        "sent",
        "streams",
        "unsent",
    )

    def __init__(self) -> None:
        self.calls = 0
        self.failed = 0
        self.in_flight = 0
        self.unsent = 0
        self.streams = 0
        self.open_streams = 0
        self.received = 0
        self.sent = 0
        self.callers = Callers()
        self._when_sent = self._sent  # bound once, not for each call
        self._waiting: asyncio.Future[None] | None = None

    def begin(self, context: Any) -> None:
        """A call has come; the end of its servicer is for the caller to count."""
        self.calls += 1
        self.in_flight += 1
        self.unsent += 1
        if (peer := context.peer()) not in self.callers.peers:
            self.callers.add(peer)
        context.add_done_callback(self._when_sent)

    def _sent(self, _context: object) -> None:
        self.unsent -= 1
        if not self.unsent and self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    async def all_sent(self) -> None:
        """Wait until no call is without its answer. One waiter at a time."""
        if self.unsent:
            self._waiting = asyncio.get_running_loop().create_future()
            await self._waiting


class IdentifiedContext:
    """gRPC's servicer context, with the identity merged into whatever metadata the servicer sends.

    The servicer's own metadata is never lost, and `trailing_metadata()` gives back to it what it set.
    """

    __slots__ = ("_context", "_initial", "_initial_due", "_own_trailing", "_trailing")

    def __init__(self, context: Any, identity: Identity, *, initial_due: bool) -> None:
        self._context = context
        self._initial = identity.metadata
        self._trailing = identity.trailing
        self._initial_due = initial_due
        self._own_trailing: Metadata = ()
        # Set before the servicer runs, so that it also goes out with an exception or an abort.
        context.set_trailing_metadata(self._trailing)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    def set_trailing_metadata(self, trailing_metadata: Any) -> None:
        """As gRPC's; raises TypeError for what is no metadata."""
        self._context.set_trailing_metadata(trailing_metadata)  # which checks it
        self._own_trailing = tuple(trailing_metadata)
        self._context.set_trailing_metadata((*self._own_trailing, *self._trailing))

    def trailing_metadata(self) -> Metadata:
        """What the servicer set."""
        return self._own_trailing

    async def send_initial_metadata(self, initial_metadata: Any) -> None:
        """As gRPC's, with the identity on a stream of responses."""
        metadata = tuple(initial_metadata)
        if self._initial_due:
            self._initial_due = False
            metadata += self._initial
        await self._context.send_initial_metadata(metadata)

    async def abort(self, code: grpc.StatusCode, details: str = "", trailing_metadata: Any = ()) -> None:
        """As gRPC's: never returns."""
        own = tuple(trailing_metadata) or self._own_trailing
        await self._context.abort(code, details, (*own, *self._trailing))

    async def abort_with_status(self, status: grpc.Status) -> None:
        """As gRPC's: never returns."""
        await self.abort(status.code, status.details, status.trailing_metadata or ())


class StreamContext(IdentifiedContext):
    """The same for a call with a stream: it counts the messages, one way or the other."""

    __slots__ = ("_counters",)

    def __init__(self, context: Any, identity: Identity, counters: Counters, *, initial_due: bool) -> None:
        super().__init__(context, identity, initial_due=initial_due)
        self._counters = counters

    async def read(self) -> Any:
        """As gRPC's: the next request, or `grpc.aio.EOF`."""
        message = await self._context.read()
        if message is not grpc.aio.EOF:
            self._counters.received += 1
        return message

    def write(self, message: Any) -> Awaitable[None]:
        """As gRPC's; the first one sends the initial metadata ahead."""
        self._counters.sent += 1
        # No coroutine around gRPC's own: a frame more is paid for each message.
        return self._first(message) if self._initial_due else self._context.write(message)

    async def _first(self, message: Any) -> None:
        await self.send_initial_metadata(())
        await self._context.write(message)


class Requests:
    """The stream of requests as servicers iterate over it: the messages that the context reads, and counts."""

    __slots__ = ("_context",)

    def __init__(self, context: StreamContext) -> None:
        self._context = context

    def __aiter__(self) -> Requests:
        return self

    async def __anext__(self) -> Any:
        message = await self._context.read()
        if message is grpc.aio.EOF:
            raise StopAsyncIteration
        return message


# A virtual subclass, for servicers that look: inheriting would shadow __getattr__ with twenty abstract methods.
grpc.aio.ServicerContext.register(IdentifiedContext)


def sends_initial_metadata(method: Behavior) -> Behavior:
    """Marks a servicer's method that decides itself when its initial metadata goes out, whatever `at_once` says."""
    method.sends_initial_metadata = True  # type: ignore[attr-defined]
    return method


def identified(
    behavior: Callable[..., Any],
    identity: Identity,
    counters: Counters,
    *,
    requests: bool,
    responses: bool,
    at_once: bool,
) -> AsyncBehavior:
    """An asyncio behaviour of any kind, wrapped.

    Args:
        behavior: A coroutine function or an async generator function (request, context).
        identity: Read anew for each call.
        counters: `in_flight` is back where it was however the call ends, and before the client sees that end.
        requests: Whether it takes a stream of requests.
        responses: Whether it answers with a stream.
        at_once: Send a stream's initial metadata before the servicer runs. Else it goes with the first thing sent, so
            that a servicer's own `send_initial_metadata` still works.
    """
    if requests or responses:
        at_once = at_once and responses and not getattr(behavior, "sends_initial_metadata", False)
        return _streaming(behavior, identity, counters, requests=requests, responses=responses, at_once=at_once)

    async def answer(request: Any, context: Any) -> Any:
        counters.begin(context)
        try:
            return await behavior(request, IdentifiedContext(context, identity, initial_due=False))
        except Exception:
            counters.failed += 1
            raise
        finally:
            counters.in_flight -= 1

    return answer


def _streaming(
    behavior: Callable[..., Any],
    identity: Identity,
    counters: Counters,
    *,
    requests: bool,
    responses: bool,
    at_once: bool,
) -> AsyncBehavior:
    generates = inspect.isasyncgenfunction(behavior)

    async def stream(request: Any, context: Any) -> Any:
        counters.begin(context)
        counters.streams += 1
        counters.open_streams += 1
        try:
            wrapped = StreamContext(context, identity, counters, initial_due=responses)
            if requests:
                request = Requests(wrapped)
            else:
                counters.received += 1
            if at_once:
                await wrapped.send_initial_metadata(())
            if not generates:
                response = await behavior(request, wrapped)
                if not responses:
                    counters.sent += 1
                return response
            # Closed here, so that a cancelled call runs the servicer's `finally` now and not at some collection.
            async with aclosing(behavior(request, wrapped)) as messages:
                async for message in messages:
                    await wrapped.write(message)
        except Exception:
            counters.failed += 1
            raise
        finally:
            counters.open_streams -= 1
            counters.in_flight -= 1
        return None

    return stream
