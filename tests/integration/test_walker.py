"""A walker of `lbdemo compare`, as a process that is asked. What it has found is judged by test_comparison.py."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

from backends.replica import Replica
from backends.spec import ReplicaSpec
from lb_client.compare.client import WalkerClient
from lb_client.compare.errand import Errand
from lb_client.compare.ways import SINGLE

if TYPE_CHECKING:
    import pytest


async def test_walker_that_logs_more_than_a_pipe_holds_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody reads what it logs while it is asked; GRPC_TRACE fills a pipe in no time."""
    monkeypatch.setenv("GRPC_VERBOSITY", "debug")
    monkeypatch.setenv("GRPC_TRACE", "http,http2_stream_state,call,api")

    def walk(address: str) -> tuple[int, int]:
        errand = Errand(
            way=SINGLE, target=address, replicas={address: "r1"}, concurrency=1, deadline_s=10.0, parent=os.getpid()
        )
        with WalkerClient(errand, "lb_client.cli.compare_walker") as walker:
            done: int = walker.ask(do="calls", count=200)["done"]
            assert walker._said is not None
            return done, os.fstat(walker._said.fileno()).st_size

    async with Replica(ReplicaSpec(id="r1")) as replica:
        done, logged = await asyncio.to_thread(walk, replica.address)
    assert done == 200
    assert logged > 64 * 1024
