"""The lean loop makes what asyncio's makes, by the shorter way only where nobody could tell."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from backends.lean_loop import LeanLoop

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def loop() -> Iterator[LeanLoop]:
    loop = LeanLoop()
    yield loop
    loop.close()


def is_short(loop: LeanLoop) -> set[str]:
    return {name for name in ("create_future", "create_task", "get_debug") if name in vars(loop)}


def test_tasks_and_futures_are_asyncios(loop: LeanLoop) -> None:
    async def main() -> tuple[Any, Any, str]:
        future = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(asyncio.sleep(0, "slept"), name="sleeper")
        future.set_result(await task)
        assert future.get_loop() is task.get_loop() is loop
        return type(future), type(task), f"{task.get_name()} {await future}"

    assert is_short(loop) == {"create_future", "create_task", "get_debug"}
    assert loop.get_debug() is False
    assert loop.run_until_complete(main()) == (asyncio.Future, asyncio.Task, "sleeper slept")


def test_loop_that_is_debugged_goes_asyncios_way(loop: LeanLoop) -> None:
    loop.set_debug(True)
    assert loop.get_debug() is True
    assert is_short(loop) == set()
    loop.set_debug(False)
    assert loop.get_debug() is False
    assert is_short(loop) == {"create_future", "create_task", "get_debug"}


def test_loop_that_is_debugged_from_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONASYNCIODEBUG", "1")
    loop = LeanLoop()
    try:
        assert loop.get_debug() is True
        assert is_short(loop) == set()
    finally:
        loop.close()


def test_task_factory_is_used(loop: LeanLoop) -> None:
    made: list[str] = []

    def factory(loop: asyncio.AbstractEventLoop, coro: Any, **more: Any) -> asyncio.Task[Any]:
        made.append(coro.__qualname__)
        return asyncio.Task(coro, loop=loop, **more)

    loop.set_task_factory(factory)
    loop.run_until_complete(asyncio.sleep(0))
    assert made == ["sleep"]
    loop.set_task_factory(None)
    loop.run_until_complete(asyncio.sleep(0))
    assert made == ["sleep"]
    assert "create_task" in is_short(loop)


def test_closed_loop_makes_no_task(loop: LeanLoop) -> None:
    loop.close()
    sleeping = asyncio.sleep(0)
    with pytest.raises(RuntimeError, match="Event loop is closed"):
        loop.create_task(sleeping)
    sleeping.close()
