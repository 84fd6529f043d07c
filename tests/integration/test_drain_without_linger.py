"""A replica that is told to stop without a linger still loses no call of a client that follows registry or health."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from backends.replica import Replica
from backends.spec import ReplicaSpec
from lb_client import aio
from protos import helloworld_pb2, helloworld_pb2_grpc
from tests.support.eventually import aeventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

HELLO = helloworld_pb2.HelloRequest(name="you")
CALLERS = 64


@asynccontextmanager
async def _calls_that_must_not_fail(target: str) -> AsyncIterator[None]:
    """64 callers at full speed; leaving the block ends them, and raises if any call failed."""
    over = False
    async with aio.insecure_channel(target) as channel:
        stub = helloworld_pb2_grpc.GreeterStub(channel)

        async def call() -> None:
            while not over:
                await stub.SayHello(HELLO)

        async with asyncio.TaskGroup() as callers:
            for _ in range(CALLERS):
                callers.create_task(call())
            yield
            over = True


async def _is_called(replica: Replica) -> None:
    so_far = replica.calls
    await aeventually(lambda: _assert_more(replica.calls, so_far + CALLERS), within_s=20)


async def test_rolling_restart_without_linger_loses_no_call(tmp_path: Path) -> None:
    def spec(number: int) -> ReplicaSpec:
        return ReplicaSpec(id=f"r{number}", registry=str(tmp_path), linger_s=0)

    async with AsyncExitStack() as stack:
        old = await stack.enter_async_context(Replica(spec(0)))
        async with _calls_that_must_not_fail(f"dir://{tmp_path}"):
            for number in range(1, 6):
                new = await stack.enter_async_context(Replica(spec(number)))
                await _is_called(new)
                await old.drain()
                old = new


async def test_replica_that_is_known_by_its_health_alone_loses_no_call_either() -> None:
    async with (
        Replica(ReplicaSpec(id="r1", linger_s=0)) as one,
        Replica(ReplicaSpec(id="r2", linger_s=0)) as other,
        _calls_that_must_not_fail(f"static:{one.address},{other.address}"),
    ):
        await _is_called(other)
        await one.drain()
        await _is_called(other)


def _assert_more(actual: int, least: int) -> None:
    assert actual > least
