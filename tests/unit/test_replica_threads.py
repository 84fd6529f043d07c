"""The pool in which synchronous servicers run, and the end of a call as they see it."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import CancelledError
from typing import Any

import pytest

from backends.sync_servicers import SyncContext, Threads
from tests.support.eventually import eventually


@pytest.fixture
def threads() -> Any:
    pool = Threads(most=3)
    yield pool
    pool.shutdown()


def test_idle_threads_are_used_again_before_new_ones_start(threads: Threads) -> None:
    def idle() -> None:
        assert threads._idle._value == threads._count

    for number in range(10):
        assert threads.submit(lambda value: value * 2, number).result(5) == number * 2
        eventually(idle)
    assert threads._count == 1


def test_no_more_threads_than_the_most_and_every_job_is_done(threads: Threads) -> None:
    gate = threading.Event()

    def job(number: int) -> int:
        gate.wait(5)
        return number

    futures = [threads.submit(job, number) for number in range(50)]
    assert threads._count == 3
    gate.set()
    assert [future.result(5) for future in futures] == list(range(50))


def test_job_that_was_cancelled_in_the_queue_never_runs(threads: Threads) -> None:
    gate = threading.Event()
    ran: list[int] = []
    busy = [threads.submit(gate.wait, 5) for _ in range(3)]
    waiting = threads.submit(ran.append, 1)
    assert waiting.cancel()
    gate.set()
    assert [future.result(5) for future in busy] == [True] * 3
    assert threads.submit(lambda: "next").result(5) == "next"
    assert ran == []


def test_exception_is_the_waiters_and_the_thread_lives_on(threads: Threads) -> None:
    def fail() -> None:
        raise SystemExit(3)

    with pytest.raises(SystemExit):
        threads.submit(fail).result(5)
    assert threads.submit(lambda: "next").result(5) == "next"


def test_threads_do_not_keep_the_process_alive(threads: Threads) -> None:
    names = threads.submit(lambda: (threading.current_thread().daemon, threading.current_thread().name)).result(5)
    assert names == (True, "servicer-1")


async def test_call_that_is_over_lets_its_thread_do_nothing_more() -> None:
    context = SyncContext(None)
    called: list[str] = []
    assert context.add_callback(lambda: called.append("first"))
    assert context.is_active()
    context.end()
    assert not context.is_active()
    assert not context.add_callback(lambda: called.append("late"))
    assert not context.cancel()
    with pytest.raises(CancelledError):
        context.wait_for(asyncio.sleep(0))
    assert called == ["first"]
