"""What lies between client and replica changes nothing: statuses, metadata, deadlines, cancellation, large messages."""

from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio
import pytest

from lb_client.proxy import EnvoyProxy
from tests.support.bytes_method import bytes_method
from tests.support.mirror import DETAILS, STATUS, STREAM, WAIT, Answer, Mirror, ask
from tests.support.peers import require_envoy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_OPTIONS = [("grpc.enable_http_proxy", 0), ("grpc.max_metadata_size", 1 << 20)]
_LARGE = [("grpc.max_receive_message_length", 64 << 20)]
METADATA = (
    ("i-ascii", "initial, with a comma; and ~ signs"),
    ("i-twice", "one"),
    ("i-twice", "two"),
    ("i-raw-bin", bytes(range(256))),
    ("t-ascii", "trailing"),
    ("t-raw-bin", b"\x00\x01\xff"),
    ("t-empty", ""),
    ("with_underscore", "1"),
    ("x-forwarded-for", "the caller's own"),
    ("x-request-id", "the caller's own"),
)


@asynccontextmanager
async def both(channel_options: list[tuple[str, Any]] | None = None) -> AsyncIterator[tuple[Mirror, Any, Any]]:
    """The service, a channel through the proxy, and one without it."""
    require_envoy()
    options = [*_OPTIONS, *(channel_options or ())]
    async with (
        Mirror.serving() as (mirror, address),
        proxy_before(address) as proxy,
        grpc.aio.insecure_channel(proxy.address, options) as through,
        grpc.aio.insecure_channel(address, options) as direct,
    ):
        yield mirror, through, direct


@asynccontextmanager
async def proxy_before(address: str) -> AsyncIterator[EnvoyProxy]:
    """A proxy before a server of this loop, which must go on while the proxy starts: it is asked for its health."""
    proxy = EnvoyProxy(f"static:{address}")
    await asyncio.to_thread(proxy.__enter__)
    try:
        yield proxy
    finally:
        await asyncio.to_thread(proxy.__exit__)


async def test_every_status_code_passes_with_its_message_and_its_trailing_metadata() -> None:
    async with both() as (_, through, direct):
        for code in grpc.StatusCode:
            number, _name = code.value
            details = "" if code is grpc.StatusCode.OK else f"{code.name}: 100 % schön\n\t☃"
            metadata = ((STATUS, str(number)), (DETAILS, details.encode()), ("t-bin", b"\x00\xfe"), ("t-key", "x"))
            answers = [await ask(channel, b"hello", metadata=metadata) for channel in (through, direct)]
            assert _without_time(answers[0]) == _without_time(answers[1])
            assert answers[0].code is code
            assert answers[0].details == details
            assert ("t-bin", b"\x00\xfe") in answers[0].trailing
        assert len(grpc.StatusCode) == 17


async def test_metadata_passes_both_ways_and_nothing_is_added_to_a_request() -> None:
    async with both() as (mirror, through, direct):
        proxied, plain = [await ask(channel, metadata=METADATA) for channel in (through, direct)]
        assert mirror.calls[0].metadata == mirror.calls[1].metadata
        assert sorted(mirror.calls[0].metadata, key=repr) == sorted(METADATA, key=repr)
        assert proxied.trailing == plain.trailing
        # HTTP asks a proxy to date what has no date (RFC 9110, 6.6.1).
        assert [key for key, _ in proxied.initial if key not in dict(plain.initial)] == ["date"]
        assert tuple(pair for pair in proxied.initial if pair[0] != "date") == plain.initial


async def test_metadata_beyond_the_limits_of_http_proxies_passes() -> None:
    many = tuple((f"t-{number}", "v" * 300) for number in range(400))
    async with both() as (_, through, direct):
        proxied, plain = [await ask(channel, metadata=many) for channel in (through, direct)]
        assert plain.code is grpc.StatusCode.OK
        assert _without_time(proxied) == _without_time(plain)
        assert len(proxied.trailing) == 400


async def test_a_deadline_passes_and_both_sides_see_it_pass() -> None:
    async with both() as (mirror, through, _):
        answer = await ask(through, metadata=((WAIT, "30"),), timeout_s=0.3)
        assert answer.code is grpc.StatusCode.DEADLINE_EXCEEDED
        assert 0.25 < answer.took_s < 15
        (seen,) = mirror.calls
        assert seen.time_remaining_s is not None
        assert 0 < seen.time_remaining_s <= 0.31
        await asyncio.wait_for(seen.cancelled.wait(), 5)


async def test_without_a_deadline_none_is_made_up() -> None:
    async with both() as (mirror, through, _):
        answer = await ask(through, timeout_s=None)
        assert answer.code is grpc.StatusCode.OK
        assert mirror.calls[0].time_remaining_s is None


async def test_a_cancellation_passes() -> None:
    async with both() as (mirror, through, _):
        call = bytes_method(through, "/mirror.Mirror/Unary")(b"", metadata=((WAIT, "30"),))
        await mirror.begun.wait()
        call.cancel()
        await asyncio.wait_for(mirror.calls[0].cancelled.wait(), 5)
        assert await call.code() is grpc.StatusCode.CANCELLED


@pytest.mark.parametrize("size", [1 << 20, 16 << 20])
async def test_large_messages_pass_both_ways(size: int) -> None:
    body = os.urandom(size)
    async with _large_server() as (address, proxy_address):
        assert address != proxy_address
        async with grpc.aio.insecure_channel(proxy_address, [*_OPTIONS, *_LARGE]) as channel:
            answer = await ask(channel, body)
            assert answer.code is grpc.StatusCode.OK
            assert answer.response == body


@asynccontextmanager
async def _large_server() -> AsyncIterator[tuple[str, str]]:
    require_envoy()
    server = grpc.aio.server(options=(("grpc.so_reuseport", 0), *_LARGE))
    server.add_generic_rpc_handlers((Mirror(),))
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    try:
        async with proxy_before(address) as proxy:
            yield address, proxy.address
    finally:
        await server.stop(0)


async def test_a_message_over_the_servers_limit_is_refused_as_without_a_proxy() -> None:
    async with both() as (_, through, direct):
        proxied, plain = [await ask(channel, bytes(5 << 20)) for channel in (through, direct)]
        assert proxied.code is plain.code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert proxied.details == plain.details


async def test_a_stream_passes_as_it_comes_and_ends_by_half_close() -> None:
    async with both() as (mirror, through, _):
        call = bytes_method(through, STREAM, "stream_stream")(metadata=(("i-first", "x"), ("t-last", "y")), timeout=10)
        assert ("i-first", "x") in tuple(await call.initial_metadata())  # before any message
        for number in range(3):
            await call.write(bytes([number]) * 300_000)
            assert await call.read() == bytes([number]) * 300_000
        await call.done_writing()
        assert await call.read() is grpc.aio.EOF
        assert await call.code() is grpc.StatusCode.OK
        assert ("t-last", "y") in tuple(await call.trailing_metadata())
        assert mirror.calls[0].messages == [300_000] * 3


async def test_a_method_that_nobody_serves_is_unimplemented() -> None:
    async with both() as (_, through, _direct):
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await bytes_method(through, "/mirror.Mirror/Unheard")(b"", timeout=5)
        assert failed.value.code() is grpc.StatusCode.UNIMPLEMENTED


def _without_time(answer: Answer) -> tuple[Any, ...]:
    initial = tuple(pair for pair in answer.initial if pair[0] != "date")
    return (answer.code, answer.details, initial, answer.trailing, answer.response)
