from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import grpc.aio
import pytest

from lb_client.driver import CallDriver, Load
from lb_client.records import CallRecorder
from tests.support.eventually import aeventually
from tests.support.greeters import REQUEST, SAY_HELLO, Greeter, greeters, list_target, options

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@asynccontextmanager
async def driving(load: Load, number: int = 1) -> AsyncIterator[tuple[CallDriver, CallRecorder, list[Greeter]]]:
    async with greeters(number) as servers, grpc.aio.insecure_channel(list_target(servers), options()) as channel:
        recorder = CallRecorder()
        yield CallDriver(channel, SAY_HELLO, REQUEST, recorder, load), recorder, servers


@pytest.mark.parametrize("concurrency", [1, 7, 64])
async def test_closed_loop_sends_exactly_the_count(concurrency: int) -> None:
    async with driving(Load(count=150, concurrency=concurrency)) as (driver, recorder, servers):
        run = await driver.run()
    assert recorder.calls == servers[0].calls == 150
    assert (recorder.failed, run.abandoned, run.late, run.stopped) == (0, 0, 0, False)
    assert servers[0].most_in_flight <= concurrency


async def test_closed_loop_keeps_its_concurrency_in_flight() -> None:
    async with driving(Load(count=40, concurrency=8)) as (driver, recorder, servers):
        servers[0].gate.clear()
        running = asyncio.create_task(driver.run())

        def all_in_flight() -> None:
            assert servers[0].in_flight == 8

        await aeventually(all_in_flight)
        servers[0].gate.set()
        await running
    assert recorder.calls == 40


async def test_record_names_who_answered() -> None:
    async with driving(Load(count=3)) as (driver, recorder, servers):
        servers[0].attempts = "2"
        await driver.run()
    assert set(recorder.backends) == {("r1", servers[0].address)}
    assert recorder.retried == 3
    assert driver.first_answer is not None
    assert b"Hello, world!" in driver.first_answer


async def test_failed_call_is_data() -> None:
    async with driving(Load(count=10)) as (driver, recorder, servers):
        servers[0].fail_every = 5
        await driver.run()
    assert recorder.statuses == {"OK": 8, "ABORTED": 2}
    assert recorder.failures == {("ABORTED", "call 5 is not liked"): 1, ("ABORTED", "call 10 is not liked"): 1}
    # A replica that answers with an error is named all the same.
    assert recorder.backends["r1", servers[0].address].failed == 2


async def test_deadline_ends_each_call() -> None:
    async with driving(Load(count=4, concurrency=4, deadline_s=0.05)) as (driver, recorder, servers):
        servers[0].gate.clear()
        await driver.run()
        servers[0].gate.set()
    assert recorder.statuses == {"DEADLINE_EXCEEDED": 4}


async def test_nobody_there_is_data_too() -> None:
    async with grpc.aio.insecure_channel("127.0.0.1:1", options()) as channel:
        recorder = CallRecorder()
        await CallDriver(channel, SAY_HELLO, REQUEST, recorder, Load(count=5)).run()
    assert recorder.statuses == {"UNAVAILABLE": 5}
    assert recorder.backends[("", "")].failed == 5


async def test_duration_ends_a_closed_loop_and_calls_in_flight_finish() -> None:
    async with driving(Load(count=None, duration_s=0.2, concurrency=3)) as (driver, recorder, servers):
        run = await driver.run()
    assert 0.2 <= run.elapsed_s < 2
    assert recorder.calls == servers[0].calls > 0
    assert recorder.failed == 0


async def test_count_ends_a_run_before_its_duration() -> None:
    async with driving(Load(count=5, duration_s=30)) as (driver, recorder, _):
        run = await driver.run()
    assert recorder.calls == 5
    assert run.elapsed_s < 5


async def test_open_loop_keeps_to_its_schedule() -> None:
    async with driving(Load(count=60, rate=200, concurrency=100)) as (driver, recorder, servers):
        run = await driver.run()
    assert recorder.calls == servers[0].calls == 60
    assert run.elapsed_s >= 59 / 200  # the last one is due then, and none goes before its time
    assert run.late == 0


async def test_open_loop_sends_on_however_slow_the_answers_are() -> None:
    async with driving(Load(count=30, rate=300, concurrency=100)) as (driver, recorder, servers):
        servers[0].gate.clear()
        running = asyncio.create_task(driver.run())

        def all_sent() -> None:
            assert servers[0].in_flight == 30

        await aeventually(all_sent)
        assert recorder.calls == 0
        servers[0].gate.set()
        await running
    assert recorder.calls == 30


async def test_latency_of_an_open_loop_counts_from_the_schedule() -> None:
    """A server that stalls for 0.3 s delays every call that was due meanwhile: none may look fast."""
    async with driving(Load(count=30, rate=100, concurrency=1)) as (driver, recorder, servers):
        servers[0].gate.clear()
        running = asyncio.create_task(driver.run())
        begin_s = time.monotonic()
        await aeventually(lambda: _assert_called(servers[0]))
        while time.monotonic() < begin_s + 0.3:  # noqa: ASYNC110 -- the stall itself is what is measured
            await asyncio.sleep(0.01)
        servers[0].gate.set()
        run = await running
    assert run.late >= 20
    median_s = recorder.latency.percentile(50)
    assert median_s is not None
    assert median_s > 0.1  # without the schedule it would be a millisecond


async def test_bound_of_an_open_loop_holds() -> None:
    async with driving(Load(count=40, rate=4000, concurrency=4)) as (driver, recorder, servers):
        servers[0].delay_s = 0.01
        run = await driver.run()
    assert servers[0].most_in_flight <= 4
    assert recorder.calls == 40
    assert run.late > 0


async def test_open_loop_tells_what_it_could_not_send() -> None:
    async with driving(Load(count=None, duration_s=0.2, rate=1000, concurrency=1)) as (driver, recorder, servers):
        servers[0].delay_s = 0.02
        run = await driver.run()
    assert recorder.calls + run.unsent == 200


async def test_stopped_run_finishes_what_is_in_flight() -> None:
    async with driving(Load(count=None, duration_s=30, concurrency=4)) as (driver, recorder, servers):
        running = asyncio.create_task(driver.run())
        await aeventually(lambda: _assert_called(servers[0]))
        driver.stop()
        run = await running
    assert run.stopped
    assert run.elapsed_s < 5
    assert recorder.calls == servers[0].calls
    assert (recorder.failed, run.abandoned) == (0, 0)


@pytest.mark.parametrize("rate", [None, 500.0])
async def test_aborted_run_cuts_off_what_is_in_flight_and_keeps_the_rest(rate: float | None) -> None:
    async with driving(Load(count=None, duration_s=30, concurrency=4, rate=rate, deadline_s=30)) as (
        driver,
        recorder,
        servers,
    ):
        running = asyncio.create_task(driver.run())

        async def some_ended() -> None:
            await driver.flush()
            assert recorder.calls > 10

        await aeventually(some_ended)
        servers[0].gate.clear()

        def full() -> None:
            assert servers[0].in_flight == 4

        await aeventually(full)
        driver.stop()
        driver.abort()
        run = await running
        servers[0].gate.set()
    assert run.abandoned == 4
    assert recorder.failed == 0
    assert run.elapsed_s < 10


async def test_cancelled_run_leaves_no_task() -> None:
    async with driving(Load(count=None, duration_s=30, concurrency=4, rate=100)) as (driver, _, servers):
        before = asyncio.all_tasks()
        running = asyncio.create_task(driver.run())
        await aeventually(lambda: _assert_called(servers[0]))
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

        def none_left() -> None:
            assert {task for task in asyncio.all_tasks() - before if "grpc" not in repr(task)} == set()

        await aeventually(none_left)


async def test_metadata_goes_out_with_each_call() -> None:
    async with greeters(1) as servers, grpc.aio.insecure_channel(servers[0].address, options()) as channel:
        driver = CallDriver(channel, SAY_HELLO, REQUEST, CallRecorder(), Load(count=1), metadata=(("x-user", "ada"),))
        await driver.run()
    assert servers[0].metadata["x-user"] == "ada"


def test_load_without_an_end_is_refused() -> None:
    with pytest.raises(ValueError, match="count, a duration or both"):
        Load(count=None)


def _assert_called(server: Greeter) -> None:
    assert server.calls
