"""A walker of `lbdemo compare`, as a process that is asked. What it has found is judged by test_comparison.py."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from backends.replica import Replica
from backends.spec import ReplicaSpec
from lb_client.compare import walker as walking
from lb_client.compare.client import WalkerClient
from lb_client.compare.walker import Errand
from lb_client.compare.ways import SINGLE


async def test_walker_that_logs_more_than_a_pipe_holds_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody reads what it logs while it is asked; GRPC_TRACE fills a pipe in no time."""
    monkeypatch.setenv("GRPC_VERBOSITY", "debug")
    monkeypatch.setenv("GRPC_TRACE", "http,http2_stream_state,call,api")

    def walk(address: str) -> tuple[int, int]:
        with WalkerClient(Errand(SINGLE, address, {address: "r1"}, 10.0, os.getpid())) as walker:
            done: int = walker.ask(do="calls", count=200, concurrency=1)["done"]
            assert walker._said is not None
            return done, os.fstat(walker._said.fileno()).st_size

    async with Replica(ReplicaSpec(id="r1")) as replica:
        done, logged = await asyncio.to_thread(walk, replica.address)
    assert done == 200
    assert logged > 64 * 1024


@pytest.mark.skipif(sys.platform != "linux", reason="a policy of Linux")
def test_client_with_many_calls_at_once_gives_way_and_one_with_few_does_not() -> None:
    threads = [int(thread.name) for thread in Path("/proc/self/task").iterdir()]
    try:
        walking._give_way(yes=True)
        assert {os.sched_getscheduler(thread) for thread in threads} == {os.SCHED_BATCH}
    finally:
        walking._give_way(yes=False)
    assert {os.sched_getscheduler(thread) for thread in threads} == {os.SCHED_OTHER}
