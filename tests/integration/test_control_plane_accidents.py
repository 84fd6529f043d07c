"""What of the control plane dies is begun again; calls go on with the last endpoints meanwhile, and none is lost."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import grpc
import pytest

import lb_client
import resolver
from resolver import runtime
from resolver.control_plane import ControlPlane
from resolver.snapshots import SnapshotSource
from resolver.testing import ManualRegistry
from tests.support.backend import Backend, who
from tests.support.eventually import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from resolver import Snapshot


@pytest.fixture
def backends() -> Iterator[list[Backend]]:
    with ExitStack() as stack:
        yield [stack.enter_context(Backend(f"b{n}")) for n in range(3)]


@contextmanager
def _calls_that_must_not_fail(channel: grpc.Channel) -> Iterator[None]:
    over = threading.Event()
    failures: list[Exception] = []

    def call() -> None:
        while not over.wait(0.002):
            try:
                who(channel)
            except Exception as error:  # noqa: BLE001 -- told below
                failures.append(error)

    caller = threading.Thread(target=call)
    caller.start()
    try:
        yield
    finally:
        over.set()
        caller.join()
    assert failures == []


def _cancel(task_is: Callable[[asyncio.Task[object]], bool]) -> None:
    """Cancel tasks on the control plane's loop; at least one must be there."""
    loop = _plane()._loop
    assert loop is not None
    found = threading.Event()

    def cancel() -> None:
        for task in asyncio.all_tasks(loop):
            if task_is(task):
                task.cancel()
                found.set()

    loop.call_soon_threadsafe(cancel)
    assert found.wait(5)


def _kill_the_main_task() -> None:
    _cancel(lambda task: getattr(task.get_coro(), "__qualname__", "") == ControlPlane._main.__qualname__)


def _kill_the_watch() -> None:
    _cancel(lambda task: task.get_name().startswith("source "))


def _kill_the_stream() -> None:
    _cancel(lambda task: task.get_name() == "ads reader")


@pytest.mark.parametrize("accident", [_kill_the_main_task, _kill_the_watch, _kill_the_stream])
def test_calls_go_on_and_changes_arrive_again(backends: list[Backend], accident: Callable[[], None]) -> None:
    first, second, third = backends
    seen: list[Snapshot] = []
    with (
        ManualRegistry([first.address, second.address]) as registry,
        lb_client.insecure_channel(registry.target) as channel,
        resolver.watch(registry.target, seen.append),
    ):
        eventually(lambda: _assert_equal(set(who(channel, 2)), {"b0", "b1"}))
        with _calls_that_must_not_fail(channel):
            accident()
            registry.add(third.address)
            eventually(lambda: _assert_equal(set(who(channel, 3)), {"b0", "b1", "b2"}), within_s=10)
            registry.remove(first.address)
            eventually(lambda: _assert_equal(set(who(channel, 3)), {"b1", "b2"}), within_s=10)
        assert seen[-1].addresses == {second.address, third.address}
        assert registry.watchers == 1


@pytest.mark.parametrize("fault", [KeyError("a fault of ours"), SystemExit(3)], ids=repr)
def test_fault_of_ours_is_told_and_stops_nothing(
    backends: list[Backend], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, fault: BaseException
) -> None:
    first, second, _ = backends
    with ManualRegistry([first.address]) as registry, lb_client.insecure_channel(registry.target) as channel:
        assert who(channel) == ["b0"]
        review, faults = ControlPlane._review, iter([fault])

        def faulty(self: ControlPlane) -> None:
            if (fault := next(faults, None)) is not None:
                raise fault
            review(self)

        with _calls_that_must_not_fail(channel):
            streams = _plane().ads
            monkeypatch.setattr(ControlPlane, "_review", faulty)
            eventually(lambda: _assert_told(caplog, "stumbled"))
            registry.add(second.address)
            eventually(lambda: _assert_equal(set(who(channel, 2)), {"b0", "b1"}))
            assert _plane().ads is streams  # core's stream was never touched


def test_callback_that_exits_ends_a_turn_of_the_loop_and_no_more(
    backends: list[Backend], caplog: pytest.LogCaptureFixture
) -> None:
    first, second, _ = backends

    with ManualRegistry([first.address]) as registry, lb_client.insecure_channel(registry.target) as channel:
        assert who(channel) == ["b0"]
        with _calls_that_must_not_fail(channel):
            loop = _plane()._loop
            assert loop is not None
            loop.call_soon_threadsafe(sys.exit, 3)
            loop.call_soon_threadsafe(loop.stop)
            eventually(lambda: _assert_told(caplog, "which goes on", times=2))
            registry.add(second.address)
            eventually(lambda: _assert_equal(set(who(channel, 2)), {"b0", "b1"}))


@pytest.mark.skipif(
    grpc.__version__.startswith("1.80."), reason="grpcio 1.80 keeps its thread where a loop ended before its server"
)
def test_what_cannot_go_on_begins_again_on_the_same_socket(
    backends: list[Backend], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    first, second, _ = backends
    with ManualRegistry([first.address]) as registry, lb_client.insecure_channel(registry.target) as channel:
        assert who(channel) == ["b0"]
        watch_over, lives = ControlPlane._watch_over, iter([True, True])

        async def faulty(self: ControlPlane, ended: asyncio.Event) -> None:
            if next(lives, False):
                raise OSError("out of everything")
            await watch_over(self, ended)

        with _calls_that_must_not_fail(channel):
            monkeypatch.setattr(ControlPlane, "_watch_over", faulty)
            _plane()._goes_on = False  # as where its loop ends turn after turn
            _kill_the_main_task()
            eventually(lambda: _assert_told(caplog, "begins again", times=3), within_s=10)
            # A channel that is opened while it begins again waits for it.
            with lb_client.insecure_channel(registry.target, policy=lb_client.PickFirst()) as other:
                assert who(other, wait_for_ready=True) == ["b0"]
            registry.add(second.address)
            eventually(lambda: _assert_equal(set(who(channel, 2)), {"b0", "b1"}), within_s=20)


def test_watch_that_ends_by_a_fault_of_ours_is_begun_again(
    backends: list[Backend], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    first, second, _ = backends
    run, faults = SnapshotSource.run, iter([RuntimeError("a fault of ours")])

    async def faulty(self: SnapshotSource) -> None:
        if (fault := next(faults, None)) is not None:
            raise fault
        await run(self)

    monkeypatch.setattr(SnapshotSource, "run", faulty)
    with ManualRegistry([first.address]) as registry, lb_client.insecure_channel(registry.target) as channel:
        assert who(channel, wait_for_ready=True) == ["b0"]
        registry.add(second.address)
        eventually(lambda: _assert_equal(set(who(channel, 2)), {"b0", "b1"}))
    assert "a fault of ours" in caplog.text


def _plane() -> ControlPlane:
    plane = runtime._current
    assert plane is not None
    return plane


def _assert_told(caplog: pytest.LogCaptureFixture, words: str, times: int = 1) -> None:
    told = [r for r in caplog.records if r.levelno == logging.CRITICAL and words in r.getMessage()]
    assert len(told) == times


def _assert_equal(actual: object, expected: object) -> None:
    assert actual == expected
