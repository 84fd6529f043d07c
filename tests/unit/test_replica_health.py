"""The health service against scripted peers: who never reads harms nobody, and the latest status wins."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2

from backends.health import Health, list_response

SERVING, NOT_SERVING, SERVICE_UNKNOWN = (
    health_pb2.HealthCheckResponse.SERVING,
    health_pb2.HealthCheckResponse.NOT_SERVING,
    health_pb2.HealthCheckResponse.SERVICE_UNKNOWN,
)


class AbortedError(Exception):
    """What gRPC's abort does: it raises."""


class Watcher:
    """A call's context; its reader takes a message whenever `reads` is set."""

    def __init__(self, *, reads: bool) -> None:
        self.got: list[int] = []
        self.reads = asyncio.Event()
        if reads:
            self.reads.set()
        self.ended: tuple[grpc.StatusCode, str] | None = None

    async def write(self, message: Any) -> None:
        await self.reads.wait()
        self.got.append(message.status)

    async def abort(self, code: grpc.StatusCode, details: str) -> None:
        self.ended = (code, details)
        raise AbortedError


def watching(health: Health, watcher: Watcher, name: str = "") -> asyncio.Task[None]:
    return asyncio.create_task(health.watch(SimpleNamespace(service=name), watcher))


async def settled() -> None:
    """Everything that can run has run."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_watcher_hears_each_change_once() -> None:
    health, watcher = Health(), Watcher(reads=True)
    health.set_all([""], serving=True)
    task = watching(health, watcher)
    await settled()
    for serving in (True, False, False, True):
        health.set_all([""], serving=serving)
        await settled()
    assert watcher.got == [SERVING, NOT_SERVING, SERVING]
    task.cancel()
    await asyncio.wait({task})


async def test_name_that_appears_later_is_unknown_until_then() -> None:
    health, watcher = Health(), Watcher(reads=True)
    task = watching(health, watcher, "a.B")
    await settled()
    health.set_all(["a.B"], serving=True)
    await settled()
    assert watcher.got == [SERVICE_UNKNOWN, SERVING]
    task.cancel()
    await asyncio.wait({task})


async def test_who_never_reads_blocks_neither_a_change_nor_another_watcher() -> None:
    health, stuck, reader = Health(), Watcher(reads=False), Watcher(reads=True)
    health.set_all([""], serving=True)
    tasks = {watching(health, stuck), watching(health, reader)}
    await settled()
    health.set_all([""], serving=False)
    await settled()
    assert (stuck.got, reader.got) == ([], [SERVING, NOT_SERVING])
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


async def test_slow_reader_gets_the_latest_status_not_the_history() -> None:
    health, watcher = Health(), Watcher(reads=False)
    health.set_all([""], serving=True)
    task = watching(health, watcher)
    await settled()
    for _ in range(1000):
        health.set_all([""], serving=False)
        health.set_all([""], serving=True)
    health.set_all([""], serving=False)
    watcher.reads.set()
    await settled()
    assert watcher.got == [SERVING, NOT_SERVING]
    task.cancel()
    await asyncio.wait({task})


async def test_end_comes_after_the_last_status_even_when_both_come_at_once() -> None:
    health, watcher = Health(), Watcher(reads=True)
    health.set_all([""], serving=True)
    task = watching(health, watcher)
    await settled()
    health.set_all([""], serving=False)
    health.close()
    with pytest.raises(AbortedError):
        await task
    assert watcher.got == [SERVING, NOT_SERVING]
    assert watcher.ended == (grpc.StatusCode.UNAVAILABLE, "the replica stops")


async def test_watcher_who_comes_after_the_end_hears_the_status_and_is_sent_away() -> None:
    health, watcher = Health(), Watcher(reads=True)
    health.set_all([""], serving=False)
    health.close()
    with pytest.raises(AbortedError):
        await watching(health, watcher)
    assert watcher.got == [NOT_SERVING]


async def test_watchers_that_left_are_forgotten() -> None:
    health = Health()
    tasks = {watching(health, Watcher(reads=True), name) for name in ("", "a", "a")}
    await settled()
    assert {name: len(watchers) for name, watchers in health._watchers.items()} == {"": 1, "a": 2}
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    assert health._watchers == {}


@pytest.mark.skipif(
    not hasattr(health_pb2, "HealthListResponse"), reason="grpcio-health-checking before 1.83 has no class for List"
)
@pytest.mark.parametrize("names", [[], [""], ["", "a.B"], ["x" * 127, "y" * 128, "z" * 20_000, "ü"]])
def test_list_is_what_the_generated_class_reads(names: list[str]) -> None:
    expected = {name: [SERVING, NOT_SERVING, 0][number % 3] for number, name in enumerate(names)}
    parsed = health_pb2.HealthListResponse.FromString(list_response(expected.items()))
    assert {name: response.status for name, response in parsed.statuses.items()} == expected
