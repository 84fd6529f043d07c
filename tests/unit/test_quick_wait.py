"""The quick `asyncio.wait` does what asyncio's does: each test runs with both."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import weakref
from typing import TYPE_CHECKING, Any

import pytest

from backends import quick_wait

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    Wait = Callable[..., Coroutine[Any, Any, tuple[set[asyncio.Task[Any]], set[asyncio.Task[Any]]]]]

_asyncios: Any = asyncio.wait


@pytest.fixture(params=[quick_wait.wait, _asyncios], ids=["quick", "asyncio's"])
def wait(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Wait:
    found: Wait = request.param
    monkeypatch.setattr(quick_wait, "_PYTHONS", None)  # have the tasks below dealt with as gRPC's
    return found


async def answer(event: asyncio.Event, value: object = None) -> object:
    await event.wait()
    if isinstance(value, Exception):
        raise value
    return value


async def both(wait: Wait, waited: Any) -> tuple[set[asyncio.Task[Any]], set[asyncio.Task[Any]]]:
    return await asyncio.wait_for(wait(waited, return_when=asyncio.FIRST_COMPLETED), 10)


@pytest.mark.parametrize("value", [7, ValueError("no")], ids=["a result", "an error"])
async def test_single_task_that_ends(wait: Wait, value: object) -> None:
    event = asyncio.Event()
    task = asyncio.create_task(answer(event, value))
    asyncio.get_running_loop().call_later(0.01, event.set)
    assert await both(wait, {task: None}.keys()) == ({task}, set())
    assert task.done()
    assert (task.exception() or task.result()) is value


async def test_single_task_that_has_ended(wait: Wait) -> None:
    task = asyncio.create_task(asyncio.sleep(0))
    await task
    ran: list[bool] = []
    asyncio.get_running_loop().call_soon(ran.append, True)
    assert await wait({task: None}.keys()) == ({task}, set())
    assert ran  # others get their turn


async def test_single_task_that_is_cancelled(wait: Wait) -> None:
    task = asyncio.create_task(answer(asyncio.Event()))
    asyncio.get_running_loop().call_later(0.01, task.cancel)
    assert await both(wait, {task: None}.keys()) == ({task}, set())
    assert task.cancelled()


async def test_cancelled_waiter_leaves_the_task_alone(wait: Wait) -> None:
    event = asyncio.Event()
    task = asyncio.create_task(answer(event, 7))
    waiting = asyncio.create_task(wait({task: None}.keys(), return_when=asyncio.FIRST_COMPLETED))
    await asyncio.sleep(0.01)
    waiting.cancel("enough")
    with pytest.raises(asyncio.CancelledError, match="enough"):
        await waiting
    assert not task.done()
    event.set()
    assert await task == 7


async def test_waiter_that_is_cancelled_as_the_task_ends(wait: Wait) -> None:
    """What would wake it is under way then."""
    told: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _loop, context: told.append(context))
    future: asyncio.Future[None] = loop.create_future()

    async def waits() -> None:
        await future

    task = asyncio.create_task(waits())
    waiting = asyncio.create_task(wait({task: None}.keys(), return_when=asyncio.FIRST_COMPLETED))
    await asyncio.sleep(0.01)
    future.set_result(None)
    await asyncio.sleep(0)  # the task has ended, and what it calls then is due
    assert task.done()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await asyncio.sleep(0.01)
    assert told == []


async def test_waiter_that_is_closed_after_the_task_has_ended(wait: Wait) -> None:
    task = asyncio.create_task(answer(asyncio.Event()))
    went_on: list[bool] = []

    async def waits() -> None:
        await wait({task: None}.keys())
        went_on.append(True)

    coroutine = waits()
    coroutine.send(None)
    task.cancel()
    await asyncio.sleep(0.01)
    assert task.done()
    coroutine.close()
    assert went_on == []


async def test_tasks_that_are_not_grpcs_are_asyncios_to_wait_for() -> None:
    """To whom an error is told that nobody has looked at."""
    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: told.append(context))
    event = asyncio.Event()
    event.set()
    task = asyncio.create_task(answer(event, ValueError("unseen")))
    assert await quick_wait.wait({task: None}.keys()) == ({task}, set())
    del task
    gc.collect()
    assert [str(context["exception"]) for context in told] == ["unseen"]


async def test_error_of_a_task_is_not_kept_by_who_waited(wait: Wait) -> None:
    asyncio.get_running_loop().set_exception_handler(lambda _loop, _context: None)
    event = asyncio.Event()
    task = asyncio.create_task(answer(event, ValueError("no")))
    asyncio.get_running_loop().call_later(0.01, event.set)
    await wait({task: None}.keys())
    gone = weakref.ref(task)
    gc.disable()
    try:
        del task
        await asyncio.sleep(0)
        assert gone() is None
    finally:
        gc.enable()


async def test_several_tasks(wait: Wait) -> None:
    event = asyncio.Event()
    tasks = {asyncio.create_task(answer(event)): "a", asyncio.create_task(answer(asyncio.Event())): "b"}
    event.set()
    done, pending = await both(wait, tasks.keys())
    assert [{tasks[task] for task in part} for part in (done, pending)] == [{"a"}, {"b"}]
    for task in pending:
        task.cancel()


async def test_patience_that_ends(wait: Wait) -> None:
    task = asyncio.create_task(answer(asyncio.Event()))
    assert await wait({task: None}.keys(), timeout=0.01) == (set(), {task})
    task.cancel()


async def test_what_is_no_task_or_no_dictionarys_key(wait: Wait) -> None:
    future = asyncio.get_running_loop().create_future()
    future.set_result(None)
    assert await both(wait, {future: None}.keys()) == ({future}, set())
    assert await both(wait, [future]) == ({future}, set())


async def test_nothing_to_wait_for(wait: Wait) -> None:
    with pytest.raises(ValueError, match="Set of Tasks/Futures is empty"):
        await wait({}.keys())


async def test_is_asyncios_only_within_the_block() -> None:
    with quick_wait.installed():
        assert asyncio.wait is quick_wait.wait
    assert asyncio.wait is _asyncios


_SERVER = """
import asyncio, grpc, grpc.aio
from backends import quick_wait

waits = []
real = quick_wait._asyncios

async def spy(fs, **more):
    waits.append(more)
    return await real(fs, **more)

quick_wait._asyncios = spy

class Echo(grpc.GenericRpcHandler):
    def service(self, details):
        async def echo(request, context):
            return request
        return grpc.unary_unary_rpc_method_handler(echo)

async def main():
    server = grpc.aio.server(handlers=(Echo(),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        for _ in range(20):
            assert await channel.unary_unary("/a/b")(b"x") == b"x"
    await server.stop(None)

with quick_wait.installed():
    asyncio.run(main())
print(len(waits))
"""


def test_grpcs_server_waits_in_the_way_that_is_quick() -> None:
    """If another release waits otherwise, nothing breaks, but this is for nothing."""
    ran = subprocess.run([sys.executable, "-c", _SERVER], capture_output=True, text=True, timeout=60, check=True)
    # Where the machine is busy gRPC notes a GOAWAY.
    assert (ran.stdout, [line for line in ran.stderr.splitlines() if "Got goaway" not in line]) == ("0\n", [])
