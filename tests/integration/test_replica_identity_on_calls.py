"""Every RPC tells who answered: all four kinds, asyncio and synchronous servicers, however the call ends."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time
from contextlib import asynccontextmanager
from types import ModuleType
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio
import pytest

from backends.replica import Replica
from backends.spec import ReplicaSpec
from protos import helloworld_pb2, helloworld_pb2_grpc
from tests.support.bytes_method import bytes_method
from tests.support.eventually import aeventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

KINDS = ("unary_unary", "unary_stream", "stream_unary", "stream_stream")
OWN = (("own", "1"),)
STATUS = grpc.StatusCode


class AsyncServicer:
    """Does what the first request says, on all four kinds; bytes in, bytes out."""

    async def act(self, what: bytes, context: Any) -> None:
        if what in (b"own", b"own-then-abort"):
            context.set_trailing_metadata(OWN)
        if what == b"initial":
            await context.send_initial_metadata(OWN)
        if what in (b"abort", b"own-then-abort"):
            await context.abort(STATUS.ABORTED, "no")
        if what == b"abort-with-own":
            await context.abort(STATUS.ABORTED, "no", OWN)
        if what == b"code":
            context.set_code(STATUS.FAILED_PRECONDITION)
        if what == b"raise":
            raise RuntimeError("boom")
        if what == b"hang":
            await asyncio.Event().wait()

    async def unary_unary(self, request: bytes, context: Any) -> bytes:
        await self.act(request, context)
        return b"1"

    async def unary_stream(self, request: bytes, context: Any) -> AsyncIterator[bytes]:
        await self.act(request, context)
        yield b"1"
        yield b"2"

    async def stream_unary(self, requests: AsyncIterator[bytes], context: Any) -> bytes:
        async for request in requests:
            await self.act(request, context)
        return b"1"

    async def stream_stream(self, requests: AsyncIterator[bytes], context: Any) -> None:
        async for request in requests:
            await self.act(request, context)
            await context.write(b"1")


class SyncServicer:
    """The same for threads. `hang` lasts until the call is over."""

    def act(self, what: bytes, context: Any) -> None:
        if what in (b"own", b"own-then-abort"):
            context.set_trailing_metadata(OWN)
        if what == b"initial":
            context.send_initial_metadata(OWN)
        if what in (b"abort", b"own-then-abort"):
            context.abort(STATUS.ABORTED, "no")
        if what == b"abort-with-own":
            context.abort(STATUS.ABORTED, "no", OWN)
        if what == b"code":
            context.set_code(STATUS.FAILED_PRECONDITION)
        if what == b"raise":
            raise RuntimeError("boom")
        if what == b"cancel":
            context.cancel()
        if what == b"hang":
            over = threading.Event()
            if context.add_callback(over.set):  # False: it is over already, and nobody will call
                over.wait(20)
            assert not context.is_active()

    def unary_unary(self, request: bytes, context: Any) -> bytes:
        self.act(request, context)
        return b"1"

    def unary_stream(self, request: bytes, context: Any) -> Iterator[bytes]:
        self.act(request, context)
        yield b"1"
        yield b"2"

    def stream_unary(self, requests: Iterator[bytes], context: Any) -> bytes:
        for request in requests:
            self.act(request, context)
        return b"1"

    def stream_stream(self, requests: Iterator[bytes], context: Any) -> Iterator[bytes]:
        for request in requests:
            self.act(request, context)
            yield b"1"


def handlers_of(servicer: Any) -> dict[str, Any]:
    return {kind: getattr(grpc, f"{kind}_rpc_method_handler")(getattr(servicer, kind)) for kind in KINDS}


def add_async(server: grpc.aio.Server) -> None:
    """As today's generated code registers."""
    handlers = handlers_of(AsyncServicer())
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Kinds", handlers),))
    server.add_registered_method_handlers("test.Kinds", handlers)


def add_sync(server: grpc.aio.Server) -> None:
    """As generated code of former years registers."""
    handler = grpc.method_handlers_generic_handler("test.Kinds", handlers_of(SyncServicer()))
    server.add_generic_rpc_handlers((handler,))


@pytest.fixture(params=["asynchronous", "synchronous"])
def service(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    module = ModuleType("kinds_service")
    module.add = add_async if request.param == "asynchronous" else add_sync  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return "kinds_service:add"


@asynccontextmanager
async def serving(service: str | None) -> AsyncIterator[tuple[Replica, grpc.aio.Channel]]:
    """A replica and a channel to it. No fixture: pytest would hold gRPC's objects until after the check for leaks."""
    async with (
        Replica(ReplicaSpec(id="r7", service=service)) as replica,
        grpc.aio.insecure_channel(replica.address, options=(("grpc.enable_http_proxy", 0),)) as channel,
    ):
        yield replica, channel


def start(channel: grpc.aio.Channel, kind: str, what: bytes, *, timeout: float | None = 20) -> Any:
    method: Callable[..., Any] = getattr(channel, kind)(f"/test.Kinds/{kind}")
    return method(iter([what]) if kind.startswith("stream") else what, timeout=timeout)


async def finish(call: Any) -> tuple[grpc.StatusCode, dict[str, Any], dict[str, Any]]:
    """Status, initial and trailing metadata."""
    try:
        if hasattr(call, "__aiter__"):
            _ = [message async for message in call]
        else:
            await call
    except grpc.aio.AioRpcError:
        pass
    return await call.code(), dict(tuple(await call.initial_metadata())), dict(tuple(await call.trailing_metadata()))


@pytest.mark.parametrize("kind", KINDS)
async def test_identity_travels_however_the_call_ends_and_loses_nothing_of_the_servicers(
    service: str, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(service) as (replica, channel):
        # gRPC logs the exception; the record would keep the call and with it gRPC's threads until the test is over.
        caplog.set_level("CRITICAL", logger="grpc._cython.cygrpc")
        who = {"lbdemo-replica": "r7", "lbdemo-address": replica.address}
        expected = {
            b"ok": (STATUS.OK, {}),
            b"own": (STATUS.OK, {"own": "1"}),
            b"abort": (STATUS.ABORTED, {}),
            b"own-then-abort": (STATUS.ABORTED, {"own": "1"}),
            b"abort-with-own": (STATUS.ABORTED, {"own": "1"}),
            b"raise": (STATUS.UNKNOWN, {}),
            b"code": (STATUS.FAILED_PRECONDITION, {}),
        }
        for what, (status, own) in expected.items():
            code, initial, trailing = await finish(start(channel, kind, what))
            assert (what, code, trailing) == (what, status, own | who)
            answered = status is STATUS.OK or (what == b"code" and kind.endswith("stream"))
            assert (what, initial) == (what, who if kind.endswith("stream") and answered else {})
        assert (replica.calls, replica.in_flight) == (len(expected), 0)


@pytest.mark.parametrize("kind", KINDS)
async def test_servicers_initial_metadata_goes_out_beside_the_identity(service: str, kind: str) -> None:
    async with serving(service) as (replica, channel):
        code, initial, trailing = await finish(start(channel, kind, b"initial"))
        who = {"lbdemo-replica": "r7", "lbdemo-address": replica.address}
        assert (code, trailing) == (STATUS.OK, who)
        assert initial == ({"own": "1"} | who if kind.endswith("stream") else {"own": "1"})


@pytest.mark.parametrize("kind", KINDS)
async def test_cancelled_and_late_calls_leave_none_in_flight(service: str, kind: str) -> None:
    async with serving(service) as (replica, channel):
        cancelled = start(channel, kind, b"hang")
        await aeventually(lambda: _assert_equal(replica.in_flight, 1))
        cancelled.cancel()
        await aeventually(lambda: _assert_equal(replica.in_flight, 0))
        assert (await finish(start(channel, kind, b"hang", timeout=0.05)))[0] is STATUS.DEADLINE_EXCEEDED
        await aeventually(lambda: _assert_equal(replica.in_flight, 0))
        assert replica.calls == 2
        await replica.drain()


@pytest.mark.parametrize("service", ["synchronous"], indirect=True)
async def test_synchronous_servicer_can_cancel_its_call(service: str) -> None:
    async with serving(service) as (replica, channel):
        assert (await finish(start(channel, "unary_unary", b"cancel")))[0] is STATUS.CANCELLED
        # The client knows as soon as it is cancelled; the servicer's thread has yet to come back.
        await aeventually(lambda: _assert_equal(replica.in_flight, 0))


@pytest.mark.parametrize("service", ["synchronous"], indirect=True)
async def test_cancelled_synchronous_streams_give_their_threads_back(service: str) -> None:
    async with serving(service) as (replica, channel):
        """More of them than there are threads: none may be left blocked on a stream that nobody reads."""
        for _ in range(40):
            call = start(channel, "unary_stream", b"ok")
            await call.read()
            call.cancel()
        assert (await finish(start(channel, "unary_unary", b"ok")))[0] is STATUS.OK
        assert replica.in_flight == 0


async def test_unknown_method_tells_who_does_not_know_it(service: str) -> None:
    async with serving(service) as (replica, channel):
        for path in ("/test.Kinds/none", "/nobody.Knows/it"):
            call = bytes_method(channel, path)(b"")
            code, _, trailing = await finish(call)
            assert (code, trailing["lbdemo-replica"]) == (STATUS.UNIMPLEMENTED, "r7")
        assert replica.calls == 0


async def test_health_and_reflection_carry_the_identity_and_count_nowhere(service: str) -> None:
    async with serving(service) as (replica, channel):
        check = bytes_method(channel, "/grpc.health.v1.Health/Check")(b"")
        assert (await finish(check))[2]["lbdemo-replica"] == "r7"
        reflection = bytes_method(
            channel, "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", "stream_stream"
        )(iter([b""]))
        code, initial, trailing = await finish(reflection)
        assert (code, initial["lbdemo-replica"], trailing["lbdemo-replica"]) == (STATUS.OK, "r7", "r7")
        assert replica.calls == 0


async def test_streams_of_the_labs_own_services_tell_at_once_who_answers() -> None:
    async with Replica(ReplicaSpec(id="r1")) as replica, grpc.aio.insecure_channel(replica.address) as channel:
        silent = bytes_method(channel, "/helloworld.Greeter/SayHelloBidiStream", "stream_stream")()
        assert dict(tuple(await silent.initial_metadata()))["lbdemo-replica"] == "r1"
        await silent.done_writing()


async def test_retried_call_tells_how_often_it_was_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    tries = 0

    async def flaky(_request: bytes, context: Any) -> bytes:
        nonlocal tries
        tries += 1
        if tries < 3:
            await context.abort(STATUS.UNAVAILABLE, "again")
        return b"ok"

    module: Any = ModuleType("flaky_service")
    handlers: dict[str, Any] = {"Flaky": grpc.unary_unary_rpc_method_handler(flaky)}
    module.add = lambda server: server.add_registered_method_handlers("test.Flaky", handlers)
    monkeypatch.setitem(sys.modules, "flaky_service", module)
    retry = {
        # Not shorter: with 1 ms gRPC's own client forgets the second try now and then, with a bare server too.
        "maxAttempts": 4, "initialBackoff": "0.03s", "maxBackoff": "0.03s", "backoffMultiplier": 1,
        "retryableStatusCodes": ["UNAVAILABLE"],
    }  # fmt: skip
    config = json.dumps({"methodConfig": [{"name": [{}], "retryPolicy": retry}]})
    async with (
        Replica(ReplicaSpec(id="r1", service="flaky_service:add")) as replica,
        grpc.aio.insecure_channel(replica.address, options=(("grpc.service_config", config),)) as channel,
    ):
        code, _, trailing = await finish(bytes_method(channel, "/test.Flaky/Flaky")(b""))
        assert (code, trailing["lbdemo-previous-attempts"], trailing["lbdemo-replica"]) == (STATUS.OK, "2", "r1")
        code, _, trailing = await finish(bytes_method(channel, "/test.Flaky/Flaky")(b""))
        assert (code, "lbdemo-previous-attempts" in trailing) == (STATUS.OK, False)


async def test_plain_blocking_quick_start_client_is_answered() -> None:
    def greet(address: str) -> list[str]:
        with grpc.insecure_channel(address, options=(("grpc.enable_http_proxy", 0),)) as channel:
            stub = helloworld_pb2_grpc.GreeterStub(channel)
            one = [stub.SayHello(helloworld_pb2.HelloRequest(name="you")).message]
            some = [reply.message for reply in stub.SayHelloStreamReply(helloworld_pb2.HelloRequest(name="you"))]
            requests = (helloworld_pb2.HelloRequest(name=name) for name in ("a", "b"))
            return one + some + [reply.message for reply in stub.SayHelloBidiStream(requests)]

    async with Replica(ReplicaSpec(id="r1")) as replica:
        assert await asyncio.to_thread(greet, replica.address) == [
            "Hello, you!",
            "Hello number 0, you!", "Hello number 1, you!", "Hello number 2, you!",
            "Hello, a!", "Hello, b!",
        ]  # fmt: skip
        assert (replica.calls, replica.in_flight) == (3, 0)


async def test_synchronous_calls_run_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each waits for the other: they would never end one after the other."""
    meeting = threading.Barrier(2)

    def meet(_request: bytes, _context: Any) -> bytes:
        meeting.wait(10)
        return threading.current_thread().name.encode()

    module: Any = ModuleType("meeting_service")
    handlers: dict[str, Any] = {"Meet": grpc.unary_unary_rpc_method_handler(meet)}
    module.add = lambda server: server.add_registered_method_handlers("test.Meeting", handlers)
    monkeypatch.setitem(sys.modules, "meeting_service", module)
    async with (
        Replica(ReplicaSpec(id="r1", service="meeting_service:add")) as replica,
        grpc.aio.insecure_channel(replica.address) as channel,
    ):
        method = bytes_method(channel, "/test.Meeting/Meet")
        began = time.monotonic()
        names = await asyncio.gather(method(b""), method(b""))
        assert (len(set(names)), time.monotonic() - began < 5) == (2, True)


def _assert_equal(actual: object, expected: object) -> None:
    assert actual == expected


async def test_streams_of_any_service_are_counted_with_their_messages(service: str) -> None:
    async with serving(service) as (replica, channel):
        counters = replica._dispatch.counters
        expected = {
            "unary_unary": (1, 0, 0, 0),
            "unary_stream": (2, 1, 1, 2),
            "stream_unary": (3, 2, 2, 3),
            "stream_stream": (4, 3, 3, 4),
        }
        for kind, counts in expected.items():
            await finish(start(channel, kind, b"ok"))
            assert (kind, counters.calls, counters.streams, counters.received, counters.sent) == (kind, *counts)
            assert (counters.open_streams, counters.in_flight) == (0, 0)
