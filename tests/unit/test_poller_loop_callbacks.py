"""Callbacks that are called soon on the polling thread: in what order, with what, and whether at all."""

from __future__ import annotations

import asyncio
import threading
from contextvars import ContextVar, copy_context
from typing import Any

import pytest

from backends import poller_loop
from backends.poller_loop import PollerLoop, polled
from tests.support.poller import LONG_S, Poller, a_loop, run

loop = pytest.fixture(a_loop)


def test_failure_of_a_callback_is_told_and_the_others_go_on(loop: PollerLoop) -> None:
    told: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _loop, context: told.append(context))
    ran = threading.Event()

    async def main(poller: Poller) -> None:
        def event() -> None:
            with polled():
                loop.call_soon(lambda: 1 / 0)
                loop.call_soon(ran.set)

        poller.bring(event)
        assert await asyncio.to_thread(ran.wait, LONG_S)

    run(loop, main)
    assert [type(context["exception"]) for context in told] == [ZeroDivisionError]
    assert "lambda" in told[0]["message"]


def test_callback_can_be_cancelled(loop: PollerLoop) -> None:
    ran: list[str] = []
    told: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _loop, context: told.append(context))

    async def main(poller: Poller) -> None:
        def event() -> None:
            with polled():
                first = loop.call_soon(ran.append, "cancelled")
                second = loop.call_soon(ran.append, "not")
            first.cancel()
            assert (first.cancelled(), second.cancelled()) == (True, False)
            assert len({first, second}) == 2

        await asyncio.to_thread(poller.bring_and_wait, event)

    run(loop, main)
    assert ran == ["not"]
    assert told == []


def test_callback_of_a_future_can_be_cancelled_by_who_called_it_soon(loop: PollerLoop) -> None:
    """Unless it is as futures and tasks of C call theirs: for those no handle is made."""
    ran: list[object] = []
    told: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _loop, context: told.append(context))

    async def main(poller: Poller) -> None:
        future = loop.create_future()

        def event() -> None:
            with polled():
                context = copy_context()
                loop.call_soon(ran.append, future).cancel()
                loop.call_soon(lambda future: ran.append((future,)), future, context=context).cancel()
                loop.call_soon(ran.clear, context=context).cancel()
                loop.call_soon(print, future, future, context=context).cancel()
                kept = loop.call_soon(ran.append, future, context=context)
            with pytest.raises(RuntimeError, match="have a function call it"):
                kept.cancel()
            assert not kept.cancelled()

        await asyncio.to_thread(poller.bring_and_wait, event)
        assert ran == [future]

    run(loop, main)
    assert told == []


def test_callbacks_take_any_arguments_and_their_context_in_order(loop: PollerLoop) -> None:
    ran: list[object] = []
    said: ContextVar[str] = ContextVar("said")

    async def main(poller: Poller) -> None:
        def event() -> None:
            with polled():
                said.set("there")
                context = copy_context()
                said.set("here")
                loop.call_soon(lambda: ran.append(said.get()), context=context)
                loop.call_soon(lambda *args: ran.append((args, said.get())), 1, None, 3)
                done = loop.create_future()
                done.add_done_callback(lambda future: ran.append((future.result(), said.get())), context=context)
                done.add_done_callback(ran.append)
                done.set_result(7)
                loop.call_soon(ran.append, "last")

        await asyncio.to_thread(poller.bring_and_wait, event)

    run(loop, main)
    assert [each for each in ran if not isinstance(each, asyncio.Future)] == [
        "there",
        ((1, None, 3), "here"),
        (7, "there"),
        "last",
    ]
    assert isinstance(ran[3], asyncio.Future)


def test_what_is_called_soon_as_the_polling_thread_leaves_is_not_left_behind(loop: PollerLoop) -> None:
    """By a signal's handler, which looked while the loop was lent. Here as it is found afterwards."""
    ran = threading.Event()

    async def main(_poller: Poller) -> None:
        loop._steps.append((copy_context(), ran.set, poller_loop._NONE))
        await asyncio.sleep(0.01)
        assert ran.is_set()

    run(loop, main)
