"""A replica that drains loses no call, waits for nobody who keeps it waiting for nothing, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
import time
from contextlib import suppress
from types import ModuleType
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from backends.replica import Replica
from backends.spec import ReplicaSpec
from protos import helloworld_pb2, helloworld_pb2_grpc
from tests.support.bytes_method import bytes_method
from tests.support.eventually import aeventually, eventually

if TYPE_CHECKING:
    from pathlib import Path

HELLO = helloworld_pb2.HelloRequest(name="you")
SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING


class Slow:
    """A service whose calls last as long as the test wants."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.may_finish = asyncio.Event()
        self.cancelled = 0
        module: Any = ModuleType("slow_service")
        handlers: dict[str, Any] = {"Wait": grpc.unary_unary_rpc_method_handler(self.wait)}
        module.add = lambda server: server.add_registered_method_handlers("test.Slow", handlers)
        monkeypatch.setitem(sys.modules, "slow_service", module)

    async def wait(self, request: bytes, _context: Any) -> bytes:
        try:
            await self.may_finish.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return request

    def spec(self, **more: Any) -> ReplicaSpec:
        return ReplicaSpec(id="r1", service="slow_service:add", **more)


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Slow:
    return Slow(monkeypatch)


async def test_drain_says_so_withdraws_and_still_answers_while_it_lingers(tmp_path: Path) -> None:
    spec = ReplicaSpec(id="r1", registry=str(tmp_path), linger_s=5)
    async with Replica(spec) as replica, grpc.aio.insecure_channel(replica.address) as channel:
        assert (tmp_path / "r1.json").exists()
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        assert (await watch.read()).status == SERVING
        drain = asyncio.create_task(replica.drain())
        assert (await watch.read()).status == NOT_SERVING
        assert not (tmp_path / "r1.json").exists()
        assert (await helloworld_pb2_grpc.GreeterStub(channel).SayHello(HELLO)).message == "Hello, you!"
        assert not drain.done()
        await replica.stop()
        await drain


async def test_calls_in_flight_finish_and_the_drain_waits_for_them(slow: Slow) -> None:
    async with Replica(slow.spec(linger_s=0)) as replica, grpc.aio.insecure_channel(replica.address) as channel:
        calls = [bytes_method(channel, "/test.Slow/Wait")(b"%d" % number) for number in range(20)]
        await aeventually(lambda: _assert_equal(replica.in_flight, 20))
        drain = asyncio.create_task(replica.drain())
        await aeventually(lambda: _refuses_connections(replica.address))
        assert not drain.done()
        slow.may_finish.set()
        assert await asyncio.gather(*calls) == [b"%d" % number for number in range(20)]
        await drain
        assert (replica.in_flight, slow.cancelled, replica.cut_off) == (0, 0, 0)


async def test_no_call_is_lost_by_a_client_that_leaves_on_not_serving() -> None:
    """Sixteen callers at full speed; each stops when it hears of the drain, and every call before that succeeds."""
    async with (
        Replica(ReplicaSpec(id="r1", linger_s=0.2)) as replica,
        grpc.aio.insecure_channel(replica.address) as channel,
    ):
        stub = helloworld_pb2_grpc.GreeterStub(channel)
        draining = asyncio.Event()

        async def watch() -> None:
            async for response in health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest()):
                if response.status == NOT_SERVING:
                    draining.set()
                    return

        async def call() -> int:
            answered = 0
            while not draining.is_set():
                await stub.SayHello(HELLO)  # raises if it is lost
                answered += 1
            return answered

        watcher = asyncio.create_task(watch())
        callers = [asyncio.create_task(call()) for _ in range(16)]
        await aeventually(lambda: _assert_at_least(replica.calls, 200))
        await replica.drain()
        assert sum(await asyncio.gather(*callers)) == replica.calls
        await watcher


async def test_call_that_outlives_the_grace_is_cancelled(slow: Slow) -> None:
    async with (
        Replica(slow.spec(linger_s=0, grace_s=0.05)) as replica,
        grpc.aio.insecure_channel(replica.address) as channel,
    ):
        call = bytes_method(channel, "/test.Slow/Wait")(b"")
        await aeventually(lambda: _assert_equal(replica.in_flight, 1))
        await replica.drain()
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await call
        assert error.value.code() in (grpc.StatusCode.CANCELLED, grpc.StatusCode.UNAVAILABLE)
        await aeventually(lambda: _assert_equal((replica.in_flight, slow.cancelled), (0, 1)))
        assert replica.cut_off == 1, "nobody would know"


@pytest.mark.parametrize("linger_s", [0, 30])
async def test_stop_cuts_a_drain_short(slow: Slow, linger_s: float) -> None:
    began = time.monotonic()
    async with (
        Replica(slow.spec(linger_s=linger_s, grace_s=30)) as replica,
        grpc.aio.insecure_channel(replica.address) as channel,
    ):
        call = bytes_method(channel, "/test.Slow/Wait")(b"")
        await aeventually(lambda: _assert_equal(replica.in_flight, 1))
        drain = asyncio.create_task(replica.drain())
        await aeventually(lambda: _assert_in("draining", repr(replica)))
        await replica.stop()
        await drain
        with pytest.raises(grpc.aio.AioRpcError):
            await call
    assert time.monotonic() - began < 10


async def test_large_answer_to_a_slow_reader_is_sent_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """The servicer is done long before its answer is on its way: the drain must wait for the sending."""
    size = 3_000_000

    async def big(_request: bytes, _context: Any) -> bytes:
        return bytes(size)

    module: Any = ModuleType("big_service")
    handlers: dict[str, Any] = {"Big": grpc.unary_unary_rpc_method_handler(big)}
    module.add = lambda server: server.add_registered_method_handlers("test.Big", handlers)
    monkeypatch.setitem(sys.modules, "big_service", module)
    async with Replica(ReplicaSpec(id="r1", service="big_service:add", linger_s=0)) as replica:
        with await _raw_call(replica.address, "/test.Big/Big", window=65_535) as connection:
            await aeventually(lambda: _assert_equal((replica.calls, replica.in_flight), (1, 0)))
            drain = asyncio.create_task(replica.drain())
            await asyncio.sleep(0.3)  # longer than a drain takes to settle: the point is that nothing happens in it
            assert not drain.done()
            received = await asyncio.to_thread(_read_slowly, connection)
            assert received > size
            await drain


async def test_watcher_that_never_reads_blocks_neither_the_others_nor_the_drain() -> None:
    async with (
        Replica(ReplicaSpec(id="r1", linger_s=0, grace_s=30)) as replica,
        grpc.aio.insecure_channel(replica.address) as channel,
    ):
        # A window of nothing: the server may not send it a single byte of a message.
        with await _raw_call(replica.address, "/grpc.health.v1.Health/Watch", window=0):
            watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
            assert (await watch.read()).status == SERVING
            began = time.monotonic()
            drain = asyncio.create_task(replica.drain())
            assert (await watch.read()).status == NOT_SERVING
            await drain
            assert time.monotonic() - began < 10


async def test_reflection_stream_that_somebody_keeps_open_does_not_hold_the_drain() -> None:
    async with (
        Replica(ReplicaSpec(id="r1", linger_s=0, grace_s=30)) as replica,
        grpc.aio.insecure_channel(replica.address) as channel,
    ):
        stream = bytes_method(
            channel, "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", "stream_stream"
        )()
        await stream.initial_metadata()
        began = time.monotonic()
        await replica.drain()
        assert time.monotonic() - began < 10


async def test_second_drain_waits_for_the_first_and_a_stopped_replica_drains_at_once(slow: Slow) -> None:
    async with Replica(slow.spec(linger_s=0.05)) as replica:
        await asyncio.gather(replica.drain(), replica.drain())
        await replica.drain()
        assert "stopped" in repr(replica)


async def test_leaving_the_block_without_a_drain_stops_all_at_once(slow: Slow, tmp_path: Path) -> None:
    async with Replica(slow.spec(registry=str(tmp_path))) as replica:
        channel = grpc.aio.insecure_channel(replica.address)
        call = bytes_method(channel, "/test.Slow/Wait")(b"")
        await aeventually(lambda: _assert_equal(replica.in_flight, 1))
    with pytest.raises(grpc.aio.AioRpcError):
        await call
    await channel.close()
    assert not (tmp_path / "r1.json").exists()
    eventually(lambda: _refuses_connections(replica.address))


def _assert_equal(actual: object, expected: object) -> None:
    assert actual == expected


def _assert_at_least(actual: int, least: int) -> None:
    assert actual >= least


def _assert_in(part: str, text: str) -> None:
    assert part in text


def _refuses_connections(address: str) -> None:
    host, _, port = address.rpartition(":")
    with socket.socket() as probe:
        assert probe.connect_ex((host, int(port))) != 0


async def _raw_call(address: str, path: str, *, window: int) -> socket.socket:
    """One gRPC call with an empty request over a bare socket: HTTP/2 (RFC 9113) as no well-behaved peer speaks it.

    Args:
        address: host:port.
        path: The method.
        window: Bytes that the server may send before it must wait for our permission, which never comes by itself.
    """
    host, _, port = address.rpartition(":")
    connection = await asyncio.to_thread(socket.create_connection, (host, int(port)))

    def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
        return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload

    def header(name: bytes, value: bytes) -> bytes:  # HPACK: literal, not indexed, not Huffman-coded
        return b"\x00" + bytes([len(name)]) + name + bytes([len(value)]) + value

    headers = b"".join(
        header(name, value)
        for name, value in (
            (b":method", b"POST"),
            (b":scheme", b"http"),
            (b":path", path.encode()),
            (b":authority", b"test"),
            (b"te", b"trailers"),
            (b"content-type", b"application/grpc"),
        )
    )
    connection.sendall(
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
        + frame(4, 0, 0, struct.pack(">HI", 4, window))  # SETTINGS_INITIAL_WINDOW_SIZE
        + frame(1, 4, 1, headers)  # END_HEADERS
        + frame(0, 1, 1, bytes(5))  # END_STREAM: an uncompressed message of no bytes
    )
    return connection


def _read_slowly(connection: socket.socket) -> int:
    """Permit and read everything until the server closes; returns the bytes of DATA frames."""
    connection.settimeout(10)
    received, buffer = 0, b""

    def permit(count: int) -> None:
        for stream in (0, 1):
            connection.sendall(struct.pack(">I", 4)[1:] + b"\x08\x00" + struct.pack(">II", stream, count))

    with suppress(ConnectionError):
        permit(16_000_000)
        while chunk := connection.recv(1 << 16):
            buffer += chunk
            while len(buffer) >= 9 and len(buffer) >= 9 + (size := int.from_bytes(buffer[:3], "big")):
                if buffer[3] == 0:
                    received += size
                buffer = buffer[9 + size :]
    return received
