"""The blocking face of streams that move keeps the same promise."""

from __future__ import annotations

import asyncio
import threading
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

import grpc
import pytest

import lb_client
from backends.replica import Replica
from backends.spec import ReplicaSpec
from lb_client.moving import Move, StreamLostError
from protos import conversation_pb2, conversation_pb2_grpc
from tests.support.eventually import aeventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

Line = conversation_pb2.Line
STATUS = grpc.StatusCode


@asynccontextmanager
async def serving(folder: Path, number: int) -> AsyncIterator[dict[str, Replica]]:
    async with AsyncExitStack() as stack:
        replicas = {}
        for n in range(1, number + 1):
            spec = ReplicaSpec(id=f"r{n}", registry=str(folder), linger_s=0.2)
            replicas[spec.id] = await stack.enter_async_context(Replica(spec))
        yield replicas


def lines(count: int) -> Iterator[conversation_pb2.Line]:
    for number in range(1, count + 1):
        yield Line(conversation="c", number=number, text=f"line {number}")


def answers(target: str, requests: Iterator[conversation_pb2.Line], method: str = "PingPong", **more: Any) -> list[int]:
    """Run on a thread, beside the loop on which the replicas are."""
    with lb_client.insecure_channel(target) as channel:
        return [
            answer.number
            for answer in lb_client.moving_answers(
                getattr(conversation_pb2_grpc.ConversationStub(channel), method),
                requests,
                number_of_request=lambda line: line.number,
                number_of_answer=lambda line: line.number,
                **more,
            )
        ]


async def test_nothing_is_lost_or_repeated_over_moves(tmp_path: Path) -> None:
    moves: list[Move] = []
    drained = threading.Event()

    def source() -> Iterator[conversation_pb2.Line]:
        for line in lines(3000):
            yield line
            if line.number == 2500:
                assert drained.wait(20)

    def sent_by(replicas: dict[str, Replica], number: int) -> None:
        assert sum(replica._dispatch.counters.sent for replica in replicas.values()) >= number

    async with serving(tmp_path, 3) as replicas:
        running = asyncio.create_task(asyncio.to_thread(answers, f"dir://{tmp_path}", source(), on_move=moves.append))
        for number in (300, 900, 1500):
            await aeventually(lambda number=number: sent_by(replicas, number), within_s=20)  # type: ignore[misc]
            for replica in replicas.values():
                replica.rebalance()
        await aeventually(lambda: sent_by(replicas, 2500), within_s=20)
        await next(replica for replica in replicas.values() if replica.in_flight).drain()
        drained.set()
        assert await running == list(range(1, 3001))
    assert {move.reason for move in moves} == {"rebalance", "drain"}


async def test_request_that_came_after_the_old_call_ended_goes_to_the_new_one(tmp_path: Path) -> None:
    """The old call's thread still waits for the source: what it gets is not lost."""
    gate: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    loop = asyncio.get_running_loop()

    def slow() -> Iterator[conversation_pb2.Line]:
        yield Line(number=1)
        asyncio.run_coroutine_threadsafe(_wait_for(gate), loop).result(20)
        yield from (Line(number=2), Line(number=3))

    async with serving(tmp_path, 2) as replicas:
        running = asyncio.create_task(asyncio.to_thread(answers, f"dir://{tmp_path}", slow()))
        await aeventually(lambda: _assert_equal(sum(r._dispatch.counters.sent for r in replicas.values()), 1))
        home = next(replica for replica in replicas.values() if replica.in_flight)
        assert home.rebalance() == 1
        await aeventually(lambda: _assert_equal([sum(r.calls for r in replicas.values()), in_flight(replicas)], [2, 1]))
        gate.set_result(None)
        assert await running == [1, 2, 3]


async def test_collected_lines_are_sent_again_where_they_are_answered(tmp_path: Path) -> None:
    moved = threading.Event()

    def source() -> Iterator[conversation_pb2.Line]:
        for line in lines(1000):
            yield line
            if line.number == 700:
                assert moved.wait(20)

    async with serving(tmp_path, 2) as replicas:
        running = asyncio.create_task(
            asyncio.to_thread(
                answers, f"dir://{tmp_path}", source(), "CollectThenAnswer", on_move=lambda _: moved.set()
            )
        )
        received = [replica._dispatch.counters for replica in replicas.values()]
        await aeventually(lambda: _assert_equal(sum(counters.received for counters in received), 700))
        assert sum(replica.rebalance() for replica in replicas.values()) == 1
        assert await running == list(range(1, 1001))
        assert sum(counters.received for counters in received) == 700 + 1000


async def test_ends_that_are_no_moves_come_out_as_they_are(tmp_path: Path) -> None:
    def large() -> Iterator[conversation_pb2.Line]:
        yield Line(number=1, text="x" * 5_000_000)

    async with serving(tmp_path, 1):
        with pytest.raises(grpc.RpcError) as error:
            await asyncio.to_thread(answers, f"dir://{tmp_path}", large())
        assert error.value.code() is STATUS.RESOURCE_EXHAUSTED
        assert not isinstance(error.value, StreamLostError)


async def test_nobody_there_is_told_after_the_last_try() -> None:
    with pytest.raises(StreamLostError) as error:
        await asyncio.to_thread(answers, "static:127.0.0.1:1", lines(1), tries=3)
    assert (error.value.code(), error.value.tries) == (STATUS.UNAVAILABLE, 3)


def in_flight(replicas: dict[str, Replica]) -> int:
    return sum(replica.in_flight for replica in replicas.values())


async def _wait_for(gate: asyncio.Future[None]) -> None:
    await gate


def _assert_equal(found: object, expected: object) -> None:
    assert found == expected
