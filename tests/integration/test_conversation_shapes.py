"""Each shape of a bidirectional stream over a real channel, and how both sides see its end."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio
import pytest

from backends.replica import Replica
from backends.spec import ReplicaSpec
from lb_client.writing import wrote
from protos import cluster_pb2, cluster_pb2_grpc, conversation_pb2, conversation_pb2_grpc
from tests.support.eventually import aeventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

Line = conversation_pb2.Line
STATUS = grpc.StatusCode
CAN_MOVE = (("lbdemo-can-move", "1"),)


@asynccontextmanager
async def serving(**more: Any) -> AsyncIterator[tuple[Replica, grpc.aio.Channel, Any]]:
    async with (
        Replica(ReplicaSpec(id="r7", linger_s=0, **more)) as replica,
        grpc.aio.insecure_channel(replica.address, options=(("grpc.enable_http_proxy", 0),)) as channel,
    ):
        yield replica, channel, conversation_pb2_grpc.ConversationStub(channel)


async def outcome(stub: Any, name: str = "c") -> tuple[str, int, int]:
    seen = await stub.GetOutcome(conversation_pb2.GetOutcomeRequest(conversation=name))
    assert seen.open_s >= 0
    return seen.ending, seen.received, seen.sent


async def assert_ends(stub: Any, ending: str, received: int, sent: int) -> None:
    async def check() -> None:
        assert await outcome(stub) == (ending, received, sent)

    await aeventually(check)


def line(number: int, **more: Any) -> conversation_pb2.Line:
    return Line(conversation="c", number=number, text=f"line {number}", **more)


async def test_metadata_comes_before_any_message() -> None:
    async with serving() as (replica, _, stub):
        call = stub.MetadataFirst(timeout=20)
        found = dict(tuple(await call.initial_metadata()))
        assert found == {"lbdemo-replica": "r7", "lbdemo-address": replica.address}
        await call.write(line(1))
        assert await call.read() == line(1)
        await call.done_writing()
        assert await call.read() is grpc.aio.EOF
        assert await outcome(stub) == ("completed", 1, 1)


async def test_without_asking_for_it_metadata_comes_with_the_first_answer() -> None:
    async with serving() as (_, _, stub):
        call = stub.PingPong(timeout=20)
        metadata = asyncio.ensure_future(call.initial_metadata())
        probe = stub.MetadataFirst(timeout=20)
        await probe.initial_metadata()  # the server has had its turn
        assert not metadata.done()
        await call.write(line(1))
        assert await call.read() == line(1)
        assert dict(tuple(await metadata))["lbdemo-replica"] == "r7"
        call.cancel()
        probe.cancel()


async def test_ping_pong_answers_each_line_before_the_next() -> None:
    async with serving() as (replica, _, stub):
        call = stub.PingPong(timeout=20)
        for number in range(1, 51):
            await call.write(line(number))
            assert await call.read() == line(number)
        assert await outcome(stub) == ("open", 50, 50)
        await call.done_writing()
        assert await call.read() is grpc.aio.EOF
        assert await call.code() is STATUS.OK
        assert await outcome(stub) == ("completed", 50, 50)
        assert replica.calls == 3


async def test_collected_lines_are_answered_when_the_client_has_closed_its_side() -> None:
    async with serving() as (_, _, stub):
        call = stub.CollectThenAnswer(timeout=20)
        for number in range(1, 6):
            await call.write(line(number))
        await assert_ends(stub, "open", 5, 0)
        await call.done_writing()
        assert [answer.number async for answer in call] == [1, 2, 3, 4, 5]
        assert await outcome(stub) == ("completed", 5, 5)


async def test_independent_sides_write_when_they_like() -> None:
    async with serving() as (_, _, stub):
        call = stub.Independent(timeout=20)
        await call.write(line(1, count=3))
        # All of the server's lines come while the client has written one, and is not done.
        assert [(await call.read()).number for _ in range(3)] == [1, 2, 3]
        for number in range(2, 6):
            await call.write(line(number))
        await call.done_writing()
        assert await call.read() is grpc.aio.EOF
        assert await outcome(stub) == ("completed", 5, 3)


async def test_server_still_writes_when_the_client_has_closed_its_side() -> None:
    async with serving() as (_, _, stub):
        call = stub.Independent(timeout=20)
        await call.write(line(1, count=20, delay_ms=1))
        await call.done_writing()
        assert [answer.number async for answer in call] == list(range(1, 21))
        assert await call.code() is STATUS.OK


async def test_server_ends_the_call_with_ok_while_the_client_still_writes() -> None:
    async with serving() as (_, _, stub):
        call = stub.ServerCloses(timeout=20)
        # The answers take their time: a write that the end overtakes fails, and is taken for the call's own status.
        for number in range(1, 5):
            await call.write(line(number, count=2, delay_ms=200) if number == 1 else line(number))
        assert [answer.number async for answer in call] == [1, 2]
        assert await call.code() is STATUS.OK  # and nobody had closed the client's side
        assert await outcome(stub) == ("completed", 2, 2)
        with pytest.raises(asyncio.InvalidStateError):
            await call.write(line(5))


async def test_deadline_in_the_middle_is_seen_by_both() -> None:
    async with serving() as (_, _, stub):
        call = stub.PingPong(timeout=0.3)
        await call.write(line(1))
        assert await call.read() == line(1)
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await call.read()
        assert error.value.code() is STATUS.DEADLINE_EXCEEDED
        await assert_ends(stub, "deadline-exceeded", 1, 1)


async def test_cancellation_in_the_middle_is_seen_by_both() -> None:
    async with serving() as (replica, _, stub):
        call = stub.PingPong(timeout=20)
        await call.write(line(1))
        assert await call.read() == line(1)
        call.cancel()
        assert await call.code() is STATUS.CANCELLED
        await assert_ends(stub, "cancelled", 1, 1)
        assert replica.in_flight == 0


@pytest.mark.parametrize("method", ["MetadataFirst", "PingPong", "CollectThenAnswer"])
async def test_drain_asks_a_stream_that_can_move(method: str) -> None:
    async with serving() as (replica, _, stub):
        call = getattr(stub, method)(timeout=20, metadata=CAN_MOVE)
        await call.write(line(1))
        if method == "CollectThenAnswer":
            await assert_ends(stub, "open", 1, 0)
        else:
            assert await call.read() == line(1)
        drain = asyncio.create_task(replica.drain())
        assert await call.code() is STATUS.UNAVAILABLE
        trailing = dict(tuple(await call.trailing_metadata()))
        assert (trailing["lbdemo-move"], trailing["lbdemo-replica"]) == ("drain", "r7")
        assert await call.details() == "this stream is asked to move: drain"
        await drain


async def test_stream_that_cannot_move_ends_by_itself_within_the_grace() -> None:
    async with serving() as (replica, _, stub):
        call = stub.PingPong(timeout=20)
        await call.write(line(1))
        assert await call.read() == line(1)
        drain = asyncio.create_task(replica.drain())
        await aeventually(lambda: _assert_in("draining", repr(replica)))
        await call.write(line(2))
        assert await call.read() == line(2)
        await call.done_writing()
        assert await call.read() is grpc.aio.EOF
        await drain


async def test_rebalance_asks_the_streams_that_can_move_and_counts_them() -> None:
    async with serving() as (_, channel, stub):
        moving, staying = stub.PingPong(timeout=20, metadata=CAN_MOVE), stub.PingPong(timeout=20)
        for call in (moving, staying):
            await call.write(line(1))
            assert await call.read() == line(1)
        replica: Any = cluster_pb2_grpc.ReplicaStub(channel)
        assert (await replica.Rebalance(cluster_pb2.RebalanceRequest())).asked == 1
        assert await moving.code() is STATUS.UNAVAILABLE
        assert dict(tuple(await moving.trailing_metadata()))["lbdemo-move"] == "rebalance"
        await staying.write(line(2))
        assert await staying.read() == line(2)
        staying.cancel()


async def test_stream_that_came_after_a_rebalance_began_is_not_asked_again() -> None:
    """Replicas are asked one after the other: who has moved already would move twice."""
    async with serving() as (_, channel, stub):
        replica: Any = cluster_pb2_grpc.ReplicaStub(channel)
        began = cluster_pb2.RebalanceRequest(opened_before_ns=time.monotonic_ns())
        call = stub.PingPong(timeout=20, metadata=CAN_MOVE)
        await call.write(line(1))
        assert await call.read() == line(1)
        assert (await replica.Rebalance(began)).asked == 0
        later = cluster_pb2.RebalanceRequest(opened_before_ns=time.monotonic_ns())
        assert (await replica.Rebalance(later)).asked == 1
        assert await call.code() is STATUS.UNAVAILABLE


async def test_line_read_is_answered_before_a_move() -> None:
    """Asked between a line and its answer, a stream moves after the answer."""
    async with serving(grace_s=10) as (replica, _, stub):
        call = stub.PingPong(timeout=20, metadata=CAN_MOVE)
        numbers = []
        for number in range(1, 200):
            if number == 20:
                drain = asyncio.create_task(replica.drain())
            await wrote(call, line(number))  # a late call.write() would spoil the status
            try:
                numbers.append((await call.read()).number)
            except grpc.aio.AioRpcError:
                break
        assert numbers == list(range(1, len(numbers) + 1))
        assert await call.code() is STATUS.UNAVAILABLE
        await drain


async def test_calls_streams_and_messages_are_counted_apart() -> None:
    async with serving() as (_, channel, stub):
        call = stub.PingPong(timeout=20)
        for number in (1, 2, 3):
            await call.write(line(number))
            await call.read()
        replica: Any = cluster_pb2_grpc.ReplicaStub(channel)

        async def counted(*expected: int) -> None:
            stats = await replica.GetStats(cluster_pb2.GetStatsRequest())
            found = (stats.calls, stats.streams, stats.open_streams, stats.messages_received, stats.messages_sent)
            assert found == expected

        await counted(1, 1, 1, 3, 3)
        await call.done_writing()
        assert await call.read() is grpc.aio.EOF
        await outcome(stub)
        await counted(2, 1, 0, 3, 3)


@pytest.mark.parametrize(
    ("first", "words"),
    [
        (line(1, count=1_000_001), "1,000,001 lines are too many: at most 1,000,000"),
        (line(1, delay_ms=3_600_001), "a delay of 3,600,001 ms is over an hour"),
        (Line(conversation="x" * 201), "more than 200 characters"),
    ],
)
async def test_what_cannot_be_had_is_refused_in_words(first: conversation_pb2.Line, words: str) -> None:
    async with serving() as (_, _, stub):
        call = stub.Independent(timeout=20)
        await call.write(first)
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await call.read()
        assert error.value.code() is STATUS.INVALID_ARGUMENT
        assert words in str(error.value.details())


async def test_message_over_the_limit_ends_the_stream_with_resource_exhausted() -> None:
    async with serving() as (replica, _, stub):
        call = stub.PingPong(timeout=20)
        await call.write(line(1))
        assert await call.read() == line(1)
        await call.write(Line(conversation="c", number=2, text="x" * 4_200_000))
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await call.read()
        assert error.value.code() is STATUS.RESOURCE_EXHAUSTED
        await aeventually(lambda: _assert_equal(replica.in_flight, 0))


async def test_collecting_has_its_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backends.conversation.MAX_COLLECTED", 10)
    async with serving() as (_, _, stub):
        call = stub.CollectThenAnswer(timeout=20)
        for number in range(1, 12):
            await call.write(line(number))
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await call.read()
        assert error.value.code() is STATUS.RESOURCE_EXHAUSTED
        await assert_ends(stub, "refused", 11, 0)


async def test_unknown_conversation_is_told_as_such() -> None:
    async with serving() as (_, _, stub):
        assert await outcome(stub, "never heard of") == ("unknown", 0, 0)


def _assert_equal(found: object, expected: object) -> None:
    assert found == expected


def _assert_in(part: str, whole: str) -> None:
    assert part in whole
