"""A client process of ours deals with few calls where gRPC's thread reads them, and with many it gives way."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from backends import core_environment
from lb_client.cli.client_loop import are_few, loop_for
from lb_client.driver import Load
from tests.support.replica_process import ROOT, ReplicaProcess

if TYPE_CHECKING:
    from collections.abc import Iterator

CALLS = 300
MANY = 32 * (os.cpu_count() or 1)


@pytest.fixture(scope="module")
def addresses() -> Iterator[list[str]]:
    with ExitStack() as stack:
        yield [stack.enter_context(ReplicaProcess(f"r{number}")).address for number in (1, 2, 3)]


def told_by(calls: int, in_flight: int, addresses: list[str], *options: str) -> tuple[dict[str, Any], str]:
    """What the process told, and what it wrote to stderr."""
    command = [sys.executable, "-m", "tests.support.client_process", *options, str(calls), str(in_flight), *addresses]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    return json.loads(ran.stdout), ran.stderr


def told_in_peace(in_flight: int, addresses: list[str]) -> dict[str, Any]:
    told, errors = told_by(CALLS, in_flight, addresses)
    assert errors == ""
    assert told["answers"] == [{"r1": CALLS // 2, "r2": CALLS // 2}, dict.fromkeys(("r1", "r2", "r3"), CALLS // 3)]
    return told


@pytest.mark.skipif(not core_environment.is_known(), reason="elsewhere the loop is asyncio's own")
def test_main_thread_sleeps_while_few_calls_are_made(addresses: list[str]) -> None:
    told = told_in_peace(1, addresses)
    assert told["loop"] == "PollerLoop"
    assert told["taken"] >= 2 * CALLS
    assert told["slept"] < 2 * CALLS / 2
    assert told["policies"] == [os.SCHED_OTHER]


@pytest.mark.skipif(not core_environment.is_known(), reason="elsewhere the loop is asyncio's own")
def test_calls_go_on_while_the_control_plane_fails(addresses: list[str]) -> None:
    """gRPC's polling thread brings events of a life that is over, to a loop that is closed, and must not end by it."""
    told, errors = told_by(1, 1, addresses, "--plane-fails-for", "1.5")
    assert told["lives"] > 3
    assert [set(answers) for answers in told["answers"]] == [{"r1", "r2"}, {"r1", "r2", "r3"}]
    assert "Traceback" not in errors


@pytest.mark.skipif(sys.platform != "linux", reason="a policy of Linux")
def test_process_with_many_calls_in_flight_gives_way(addresses: list[str]) -> None:
    assert not are_few(MANY)
    told = told_in_peace(MANY, addresses)
    assert told["taken"] == 0
    assert told["policies"] == [os.SCHED_BATCH]


def test_calls_on_schedule_have_a_loop_that_is_on_time() -> None:
    """However few are meant to be in flight."""
    loop = loop_for(Load(rate=100.0, concurrency=1))
    try:
        # epoll would round up what it waits to whole milliseconds.
        assert isinstance(vars(loop)["_selector"], selectors.SelectSelector)
    finally:
        loop.close()
