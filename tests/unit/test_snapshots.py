"""The joining of registry and health, with a hand-made watcher and hand-made checks: no sockets."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from resolver import snapshots
from resolver.model import Endpoint, Health, Snapshot, Verdict
from resolver.snapshots import SnapshotSource, next_version
from tests.support.eventually import aeventually

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Sequence

    import pytest

A, B, C = (Endpoint("127.0.0.1", port) for port in (1, 2, 3))
WELL, ILL = Health.HEALTHY, Health.UNHEALTHY
SILENT = Verdict(ILL, "it does not answer", silent=True)


class Hands:
    """A registry and a health monitor worked by hand, and what the source made of them."""

    def __init__(self) -> None:
        self.sets: asyncio.Queue[Sequence[Endpoint] | Exception | None] = asyncio.Queue()
        self.verdicts: dict[str, asyncio.Queue[Health | Verdict | Exception]] = {}
        self.checked: list[str] = []
        self.ended: list[str] = []
        self.published: list[Snapshot] = []
        self.watchers = 0

    async def watch(self) -> AsyncGenerator[Sequence[Endpoint], None]:
        self.watchers += 1
        while (item := await self.sets.get()) is not None:
            if isinstance(item, Exception):
                raise item
            yield item

    async def check(self, endpoint: Endpoint) -> AsyncGenerator[Verdict, None]:
        self.checked.append(endpoint.address)
        try:
            while True:
                verdict = await self.verdicts.setdefault(endpoint.address, asyncio.Queue()).get()
                if isinstance(verdict, Exception):
                    raise verdict
                if isinstance(verdict, Verdict):
                    yield verdict
                else:
                    yield Verdict(verdict, "" if verdict is WELL else "it says so")
        finally:
            self.ended.append(endpoint.address)

    def say(self, endpoint: Endpoint, verdict: Health | Verdict | Exception) -> None:
        self.verdicts.setdefault(endpoint.address, asyncio.Queue()).put_nowait(verdict)

    def seen(self) -> dict[int, str]:
        """The last snapshot, as health by port."""
        assert self.published
        return {endpoint.port: endpoint.health.value for endpoint in self.published[-1].endpoints}

    async def shows(self, expected: dict[int, str]) -> None:
        def check() -> None:
            assert self.published
            assert self.seen() == expected

        await aeventually(check)

    @asynccontextmanager
    async def source(self, *, checked: bool = True) -> AsyncIterator[SnapshotSource]:
        source = SnapshotSource(
            "test", self.watch, check=self.check if checked else None, publish=self.published.append
        )
        task = asyncio.create_task(source.run())
        try:
            yield source
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def settle() -> None:
    """Let everything that is ready run."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_the_first_snapshot_waits_for_the_first_verdicts() -> None:
    hands = Hands()
    async with hands.source():
        hands.sets.put_nowait([A, B])
        await settle()
        assert hands.published == []
        hands.say(A, WELL)
        await settle()
        assert hands.published == []
        hands.say(B, ILL)
        await hands.shows({1: "healthy", 2: "unhealthy"})
        assert len(hands.published) == 1


async def test_an_endpoint_that_answers_late_on_a_busy_machine_is_in_the_first_snapshot() -> None:
    hands = Hands()
    async with hands.source():
        hands.sets.put_nowait([A, B])
        hands.say(A, WELL)
        asyncio.get_running_loop().call_later(0.2, hands.say, B, WELL)
        await hands.shows({1: "healthy", 2: "healthy"})
        assert len(hands.published) == 1


async def test_the_first_snapshot_waits_only_a_moment_for_the_slowest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots, "_FIRST_VERDICTS_S", 0.05)
    hands = Hands()
    async with hands.source():
        hands.sets.put_nowait([A, B])
        hands.say(A, WELL)
        await hands.shows({1: "healthy", 2: "unhealthy"})


async def test_where_nobody_answers_the_first_snapshot_comes_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots, "_NOBODY_YET_S", 0.05)
    hands = Hands()
    async with hands.source():
        hands.sets.put_nowait([A])
        await hands.shows({1: "unhealthy"})


async def test_an_empty_set_is_a_snapshot_at_once() -> None:
    hands = Hands()
    async with hands.source():
        hands.sets.put_nowait([])
        await hands.shows({})
        hands.sets.put_nowait([A])
        hands.say(A, WELL)
        await hands.shows({1: "healthy"})
        hands.sets.put_nowait([])
        await hands.shows({})


async def test_without_checks_endpoints_are_taken_as_told() -> None:
    hands = Hands()
    async with hands.source(checked=False):
        hands.sets.put_nowait([B.with_health(Health.DRAINING), A])
        await hands.shows({1: "unknown", 2: "draining"})
        assert hands.checked == []


async def test_one_who_joins_is_unhealthy_until_checked() -> None:
    hands = Hands()
    async with hands.source():
        hands.sets.put_nowait([A])
        hands.say(A, WELL)
        await hands.shows({1: "healthy"})
        hands.sets.put_nowait([A, B])
        await hands.shows({1: "healthy", 2: "unhealthy"})
        hands.say(B, WELL)
        await hands.shows({1: "healthy", 2: "healthy"})


async def test_one_who_leaves_is_no_longer_checked_and_is_new_when_it_returns() -> None:
    hands = Hands()
    async with hands.source():
        hands.sets.put_nowait([A, B])
        hands.say(A, WELL)
        hands.say(B, WELL)
        await hands.shows({1: "healthy", 2: "healthy"})
        hands.sets.put_nowait([A])
        await hands.shows({1: "healthy"})
        await aeventually(lambda: _same(hands.ended, [B.address]))
        hands.sets.put_nowait([A, B])
        await hands.shows({1: "healthy", 2: "unhealthy"})
        assert hands.checked == [A.address, B.address, B.address]


async def test_a_set_that_replaces_everybody_waits_until_one_of_them_can_be_called() -> None:
    hands = Hands()
    async with hands.source():
        hands.sets.put_nowait([A])
        hands.say(A, WELL)
        await hands.shows({1: "healthy"})
        hands.sets.put_nowait([B, C])
        await settle()
        assert hands.seen() == {1: "healthy"}
        hands.say(C, WELL)
        await hands.shows({2: "unhealthy", 3: "healthy"})


async def test_what_does_not_change_wakes_nobody() -> None:
    hands = Hands()
    async with hands.source():
        hands.sets.put_nowait([A, B])
        hands.say(A, WELL)
        hands.say(B, WELL)
        await hands.shows({1: "healthy", 2: "healthy"})
        for again in ([B, A], [A, B], [A, B, A]):
            hands.sets.put_nowait(again)
        hands.say(A, WELL)
        await settle()
        assert len(hands.published) == 1


async def test_a_changed_weight_is_a_change_but_no_new_check() -> None:
    hands = Hands()
    async with hands.source():
        hands.sets.put_nowait([A])
        hands.say(A, WELL)
        await hands.shows({1: "healthy"})
        hands.sets.put_nowait([Endpoint(A.host, A.port, weight=5)])
        await aeventually(lambda: _same([e.weight for e in hands.published[-1].endpoints], [5]))
        assert hands.seen() == {1: "healthy"}
        assert hands.checked == [A.address]


async def test_a_watcher_that_raises_or_ends_is_made_again_and_nothing_is_lost(
    caplog: pytest.LogCaptureFixture,
) -> None:
    hands = Hands()
    async with hands.source():
        hands.sets.put_nowait([A])
        hands.say(A, WELL)
        await hands.shows({1: "healthy"})
        with caplog.at_level(logging.WARNING):
            hands.sets.put_nowait(OSError("registry on fire"))
            await aeventually(lambda: _same(hands.watchers, 2))
            hands.sets.put_nowait(None)
            await aeventually(lambda: _same(hands.watchers, 3))
        assert "registry on fire" in caplog.text
        assert "watcher ended" in caplog.text
        caplog.clear()
        assert hands.seen() == {1: "healthy"}
        assert hands.ended == []
        hands.sets.put_nowait([A, B])
        hands.say(B, WELL)
        await hands.shows({1: "healthy", 2: "healthy"})


async def test_a_check_that_breaks_is_told_and_made_again(caplog: pytest.LogCaptureFixture) -> None:
    hands = Hands()
    async with hands.source():
        hands.sets.put_nowait([A])
        hands.say(A, WELL)
        await hands.shows({1: "healthy"})
        with caplog.at_level(logging.WARNING):
            hands.say(A, RuntimeError("a fault of ours"))
            await aeventually(lambda: _same(len(hands.checked), 2))
        assert "a fault of ours" in caplog.text
        caplog.clear()
        assert hands.seen() == {1: "healthy"}
        hands.say(A, ILL)
        await hands.shows({1: "unhealthy"})


async def test_why_somebody_is_not_well_stands_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    hands = Hands()
    async with hands.source():
        with caplog.at_level(logging.WARNING):
            hands.sets.put_nowait([A])
            hands.say(A, ILL)
            await hands.shows({1: "unhealthy"})
        assert caplog.messages == ["test: 127.0.0.1:1 is unhealthy: it says so"]


async def test_a_failure_that_goes_on_is_one_line_each_time(caplog: pytest.LogCaptureFixture) -> None:
    hands = Hands()
    with caplog.at_level(logging.WARNING):
        async with hands.source():
            for _ in range(3):
                hands.sets.put_nowait(OSError("away"))
            await aeventually(lambda: _same(hands.watchers, 4))
    assert [record.exc_info is not None for record in caplog.records] == [True, False, False]
    caplog.clear()


async def test_a_watcher_that_never_waits_starves_nobody() -> None:
    async def hasty() -> AsyncGenerator[Sequence[Endpoint], None]:
        while True:
            yield [A]

    published: list[Snapshot] = []
    source = SnapshotSource("test", hasty, check=None, publish=published.append)
    task = asyncio.create_task(source.run())
    await aeventually(lambda: _same(len(published), 1))
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_ending_ends_every_check() -> None:
    hands = Hands()
    async with hands.source():
        hands.sets.put_nowait([A, B, C])
        await aeventually(lambda: _same(len(hands.checked), 3))
    assert sorted(hands.ended) == [A.address, B.address, C.address]


def test_versions_never_repeat_and_sort_in_their_order() -> None:
    versions = [next_version() for _ in range(1000)]
    assert len(set(versions)) == 1000
    assert sorted(versions) == versions


def _same(value: object, expected: object) -> None:
    assert value == expected


async def test_who_is_silent_gets_no_calls_but_where_nobody_answers_the_silent_keep_them() -> None:
    hands = Hands()
    async with hands.source():
        hands.sets.put_nowait([A, B, C])
        hands.say(A, WELL)
        hands.say(B, WELL)
        hands.say(C, ILL)
        await hands.shows({1: "healthy", 2: "healthy", 3: "unhealthy"})
        hands.say(A, SILENT)
        await hands.shows({1: "unhealthy", 2: "healthy", 3: "unhealthy"})
        hands.say(B, SILENT)
        # Whoever said that it is not well gets no calls even then.
        await hands.shows({1: "healthy", 2: "healthy", 3: "unhealthy"})
        hands.say(C, WELL)
        await hands.shows({1: "unhealthy", 2: "unhealthy", 3: "healthy"})
        hands.say(B, ILL)
        hands.say(C, ILL)
        await hands.shows({1: "healthy", 2: "unhealthy", 3: "unhealthy"})
        hands.sets.put_nowait([B, C])
        await hands.shows({2: "unhealthy", 3: "unhealthy"})


async def test_a_check_that_keeps_its_cancellation_to_itself_ends_with_the_source_all_the_same() -> None:
    hands = Hands()
    begun = asyncio.Event()

    async def stubborn(_endpoint: Endpoint) -> AsyncGenerator[Verdict, None]:
        yield Verdict(WELL)
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise RuntimeError("something else went wrong on the way") from None

    source = SnapshotSource("test", hands.watch, check=stubborn, publish=hands.published.append)
    task = asyncio.create_task(source.run())
    hands.sets.put_nowait([A])
    await begun.wait()
    task.cancel()
    await asyncio.wait({task}, timeout=5)
    assert task.done()
