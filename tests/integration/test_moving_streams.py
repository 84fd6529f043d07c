"""A stream that moves: nothing acknowledged is lost or repeated, whoever drains, dies, or asks it to."""

from __future__ import annotations

import asyncio
import re
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio
import pytest

from backends.replica import Replica
from backends.spec import ReplicaSpec
from lb_client import aio
from lb_client.streams import Move, MovingStream, StreamLostError
from protos import conversation_pb2, conversation_pb2_grpc
from tests.support.eventually import aeventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

Line = conversation_pb2.Line
STATUS = grpc.StatusCode


def line(number: int) -> conversation_pb2.Line:
    return Line(conversation="c", number=number, text=f"line {number}")


def number_of(line: conversation_pb2.Line) -> int:
    return line.number


def moving(method: Any, **more: Any) -> MovingStream[Any, Any]:
    return MovingStream(method, number_of_request=number_of, number_of_answer=number_of, **more)


@asynccontextmanager
async def serving(folder: Path, number: int) -> AsyncIterator[tuple[dict[str, Replica], Any]]:
    """So many replicas under one registry, and a stub on a live channel to them."""
    async with AsyncExitStack() as stack:
        replicas = {}
        for n in range(1, number + 1):
            spec = ReplicaSpec(id=f"r{n}", registry=str(folder), linger_s=0.2)
            replicas[spec.id] = await stack.enter_async_context(Replica(spec))
        channel = await stack.enter_async_context(aio.insecure_channel(f"dir://{folder}"))
        yield replicas, conversation_pb2_grpc.ConversationStub(channel)


async def where(stream: MovingStream[Any, Any]) -> str:
    return str(dict(tuple(await stream.call.initial_metadata()))["lbdemo-replica"])


async def test_stream_moves_when_its_replica_drains_and_loses_and_repeats_nothing(tmp_path: Path) -> None:
    moves: list[Move] = []
    async with serving(tmp_path, 2) as (replicas, stub), moving(stub.PingPong, on_move=moves.append) as stream:
        numbers = []
        drain: Any = None
        for number in range(1, 101):
            await stream.write(line(number))
            answer = await stream.read()
            assert answer is not None
            numbers.append(answer.number)
            if number == 50:
                home = await where(stream)
                drain = asyncio.create_task(replicas[home].drain())
        assert numbers == list(range(1, 101))
        await drain
        await stream.write(line(101))
        assert await stream.read() == line(101)
        assert await where(stream) != home
        assert {(move.reason, move.replica, move.code) for move in moves} == {("drain", home, STATUS.UNAVAILABLE)}
        assert re.fullmatch("<MovingStream open moves=[1-9] unacknowledged=0>", repr(stream))
        await stream.done_writing()
        assert await stream.read() is None
        assert repr(stream).startswith("<MovingStream over")


async def test_idle_stream_moves_while_somebody_reads_it(tmp_path: Path) -> None:
    async with serving(tmp_path, 2) as (replicas, stub), moving(stub.MetadataFirst) as stream:
        home = await where(stream)
        reading = asyncio.create_task(stream.read())
        await replicas[home].drain()
        await stream.write(line(1))
        assert await reading == line(1)
        assert await where(stream) != home


async def test_writer_and_reader_of_their_own_lose_and_repeat_nothing(tmp_path: Path) -> None:
    """Many requests are under way at each of several moves, some by rebalance, one by drain."""
    moves: list[Move] = []
    async with serving(tmp_path, 3) as (replicas, stub), moving(stub.PingPong, on_move=moves.append) as stream:

        async def write() -> None:
            for number in range(1, 2001):
                await stream.write(line(number))
            await stream.done_writing()

        writing = asyncio.create_task(write())
        numbers = []
        drain: Any = None
        async for answer in stream:
            numbers.append(answer.number)
            if len(numbers) in (300, 700, 1100):
                replicas[await where(stream)].rebalance()
            if len(numbers) == 1500:
                drain = asyncio.create_task(replicas[await where(stream)].drain())
        await writing
        await drain
        assert numbers == list(range(1, 2001))
        assert stream.moves >= 3
        # What was acknowledged is not sent again: nobody reads more than the rest.
        again = sum(move.unacknowledged for move in moves)
        assert 2000 <= sum(replica._dispatch.counters.received for replica in replicas.values()) <= 2000 + again


async def test_collected_lines_are_all_sent_again_with_the_end(tmp_path: Path) -> None:
    async with serving(tmp_path, 2) as (replicas, stub), moving(stub.CollectThenAnswer) as stream:
        for number in range(1, 51):
            await stream.write(line(number))
        home = await where(stream)
        reading = asyncio.create_task(stream.read())
        await replicas[home].drain()
        await aeventually(lambda: _assert_equal(stream.moves >= 1, True))
        await stream.write(line(51))
        await stream.done_writing()
        assert await reading == line(1)
        assert [answer.number async for answer in stream] == list(range(2, 52))


async def test_large_messages_under_way_do_not_lock_the_move(tmp_path: Path) -> None:
    """More than fits into the windows of the connection, both ways, has to be sent again."""
    async with serving(tmp_path, 2) as (replicas, stub), moving(stub.PingPong) as stream:
        text = "x" * 100_000

        async def write() -> None:
            for number in range(1, 101):
                await stream.write(Line(conversation="c", number=number, text=text))
            await stream.done_writing()

        writing = asyncio.create_task(write())
        numbers = []
        drain: Any = None
        async for answer in stream:
            numbers.append(answer.number)
            if len(numbers) == 5:
                await aeventually(lambda: _assert_equal(stream.unacknowledged >= 10, True))
                drain = asyncio.create_task(replicas[await where(stream)].drain())
        await writing
        await drain
        assert numbers == list(range(1, 101))
        assert stream.moves >= 1


async def test_lost_replica_is_left_without_a_word(tmp_path: Path) -> None:
    moves: list[Move] = []
    async with serving(tmp_path, 2) as (replicas, stub), moving(stub.PingPong, on_move=moves.append) as stream:
        await stream.write(line(1))
        assert await stream.read() == line(1)
        home = await where(stream)
        await stream.write(line(2))
        await replicas[home].stop()  # calls are cut off, with whatever status
        try:
            assert await stream.read() == line(2)
        except asyncio.CancelledError:
            pytest.fail("the cut-off came out as a cancellation")


async def test_nobody_left_is_told_after_the_last_try_with_the_status_in_it() -> None:
    async with (
        grpc.aio.insecure_channel("127.0.0.1:1", options=(("grpc.enable_http_proxy", 0),)) as channel,
        moving(conversation_pb2_grpc.ConversationStub(channel).PingPong, tries=3) as stream,
    ):
        await stream.write(line(1))
        with pytest.raises(StreamLostError) as error:
            await stream.read()
    assert error.value.code() is STATUS.UNAVAILABLE
    assert (error.value.tries, error.value.unacknowledged) == (3, 1)
    assert str(error.value.details()).startswith("the stream was opened 3 times in a row without an answer")
    with pytest.raises(asyncio.InvalidStateError):
        await stream.write(line(2))


async def test_without_tries_it_never_moves_and_the_server_does_not_ask(tmp_path: Path) -> None:
    async with serving(tmp_path, 1) as (replicas, stub), moving(stub.PingPong, tries=0) as stream:
        await stream.write(line(1))
        assert await stream.read() == line(1)
        assert replicas["r1"].rebalance() == 0
        await stream.write(line(2))
        assert await stream.read() == line(2)


async def test_stream_that_never_moves_keeps_nothing_and_has_no_bound(tmp_path: Path) -> None:
    """What has no numbered answers would be kept for ever."""
    async with serving(tmp_path, 1) as (_, stub), moving(stub.CollectThenAnswer, tries=0, most=2) as stream:
        for number in range(1, 6):
            await stream.write(line(number))
        assert stream.unacknowledged == 0
        await stream.done_writing()
        assert [answer.number async for answer in stream] == [1, 2, 3, 4, 5]


async def test_cancelled_between_two_tries_it_is_not_opened_again() -> None:
    async with (
        grpc.aio.insecure_channel("127.0.0.1:1", options=(("grpc.enable_http_proxy", 0),)) as channel,
        moving(conversation_pb2_grpc.ConversationStub(channel).PingPong, tries=1000) as stream,
    ):
        reading = asyncio.create_task(stream.read())
        # By then it waits for most of the time: refused at once, again after half a second.
        await aeventually(lambda: _assert_equal(stream.moves >= 7, True))
        await aeventually(lambda: _assert_equal(stream.call.done(), True))
        moves = stream.moves
        stream.cancel()
        stream.cancel()  # as leaving the block does
        with pytest.raises(asyncio.CancelledError):
            await reading
        assert stream.moves == moves


async def test_other_ends_come_out_as_they_are(tmp_path: Path) -> None:
    async with serving(tmp_path, 1) as (_, stub):
        async with moving(stub.PingPong, timeout=0.2) as stream:
            with pytest.raises(grpc.aio.AioRpcError) as error:
                await stream.read()
            assert error.value.code() is STATUS.DEADLINE_EXCEEDED
        async with moving(stub.PingPong, timeout=0) as stream:
            with pytest.raises(grpc.aio.AioRpcError) as error:
                await stream.read()
            assert error.value.code() is STATUS.DEADLINE_EXCEEDED
        async with moving(stub.PingPong) as stream:
            await stream.write(Line(number=1, text="x" * 5_000_000))
            with pytest.raises(grpc.aio.AioRpcError) as error:
                await stream.read()
            assert error.value.code() is STATUS.RESOURCE_EXHAUSTED
            assert (type(error.value), stream.moves) == (grpc.aio.AioRpcError, 0)


async def test_deadline_holds_across_moves(tmp_path: Path) -> None:
    async with serving(tmp_path, 2) as (replicas, stub), moving(stub.PingPong, timeout=1.0) as stream:
        await stream.write(line(1))
        assert await stream.read() == line(1)
        replicas[await where(stream)].rebalance()
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await stream.read()
        assert (error.value.code(), stream.moves) == (STATUS.DEADLINE_EXCEEDED, 1)


async def test_writing_to_a_stream_that_the_server_has_ended_says_so(tmp_path: Path) -> None:
    async with serving(tmp_path, 1) as (_, stub), moving(stub.ServerCloses) as stream:
        await stream.write(Line(number=1, count=1))
        assert await stream.read() == Line(number=1)
        assert await stream.read() is None
        with pytest.raises(asyncio.InvalidStateError):
            await stream.write(line(2))


async def test_leaving_the_block_cancels_on_the_server_too(tmp_path: Path) -> None:
    async with serving(tmp_path, 1) as (replicas, stub):
        async with moving(stub.PingPong) as stream:
            await stream.write(line(1))
            assert await stream.read() == line(1)
        await aeventually(lambda: _assert_equal(replicas["r1"].in_flight, 0))
        seen = await stub.GetOutcome(conversation_pb2.GetOutcomeRequest(conversation="c"))
        assert (seen.ending, seen.received, seen.sent) == ("cancelled", 1, 1)


def _assert_equal(found: object, expected: object) -> None:
    assert found == expected
