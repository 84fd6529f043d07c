"""The question beside a Watch stream: when it is asked, what silence is, and how often all together are asked."""

from __future__ import annotations

import asyncio
import math
import random
from collections import Counter
from contextlib import aclosing
from typing import TYPE_CHECKING

import pytest

from resolver.model import Health, Verdict
from resolver.probes import ANSWER_S, EVERY_S, MOST_PER_S, Pace, attended
from tests.support.eventually import aeventually

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

WELL, ILL = Verdict(Health.HEALTHY), Verdict(Health.UNHEALTHY, "it says NOT_SERVING")
SILENT = Verdict(Health.UNHEALTHY, "it does not answer", silent=True)


class AtOnce(Pace):
    """Asks without waiting."""

    def interval_s(self) -> float:
        return 0.0


class Server:
    """A Watch stream and the answers to questions, worked by hand."""

    def __init__(self) -> None:
        self.news: asyncio.Queue[Verdict | None] = asyncio.Queue()
        self.answers: asyncio.Queue[bool | None] = asyncio.Queue()
        self.questions = 0
        self.closed = False
        self.heard: list[Verdict] = []

    async def watch(self) -> AsyncGenerator[Verdict, None]:
        try:
            while (verdict := await self.news.get()) is not None:
                yield verdict
        finally:
            self.closed = True

    async def probe(self) -> bool | None:
        self.questions += 1
        return await self.answers.get()

    async def hear(self, pace: Pace) -> None:
        async with aclosing(attended(self.watch(), self.probe, pace)) as verdicts:
            async for verdict in verdicts:
                self.heard.append(verdict)

    async def says(self, *expected: Verdict) -> None:
        await aeventually(lambda: _assert_equal(self.heard, list(expected)))


async def test_silence_is_told_once_and_so_is_its_end() -> None:
    server, pace = Server(), AtOnce()
    hearing = asyncio.create_task(server.hear(pace))
    server.news.put_nowait(WELL)
    for answered in (True, False, False, False):
        server.answers.put_nowait(answered)
    await server.says(WELL, SILENT)
    server.answers.put_nowait(True)
    await server.says(WELL, SILENT, WELL)
    server.news.put_nowait(None)
    await hearing
    assert (server.closed, pace.asked) == (True, 0)


async def test_nobody_is_asked_who_is_not_well_or_does_not_know_the_question() -> None:
    server = Server()
    hearing = asyncio.create_task(server.hear(AtOnce()))
    server.news.put_nowait(ILL)
    await server.says(ILL)
    assert server.questions == 0
    server.news.put_nowait(WELL)
    server.answers.put_nowait(None)
    await aeventually(lambda: _assert_equal(server.questions, 1))
    server.news.put_nowait(ILL)
    await server.says(ILL, WELL, ILL)
    server.news.put_nowait(None)
    await hearing
    assert server.questions == 1


async def test_news_of_its_own_end_a_silence_without_an_answer() -> None:
    server = Server()
    hearing = asyncio.create_task(server.hear(AtOnce()))
    server.news.put_nowait(WELL)
    server.answers.put_nowait(False)
    await server.says(WELL, SILENT)
    server.news.put_nowait(ILL)
    await server.says(WELL, SILENT, ILL)
    hearing.cancel()
    await asyncio.gather(hearing, return_exceptions=True)
    assert server.closed


class Clock:
    """Seconds, as told."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def paced(asked: int, seed: int = 1, clock: Clock | None = None) -> Pace:
    return Pace(asked=asked, jitter=random.Random(seed), clock=clock or Clock())  # noqa: S311 -- to be the same each time


def test_few_servers_are_asked_so_often_that_two_seconds_suffice() -> None:
    clock = Clock()
    pace = paced(3, clock=clock)
    clock.now_s += pace.first_s()
    for _ in range(1000):
        clock.now_s += 0.001  # until the answer
        wait_s = pace.next_s()
        assert EVERY_S * 0.9 <= wait_s <= EVERY_S
        clock.now_s += wait_s
    assert EVERY_S + ANSWER_S < 2.0
    assert pace.again_s() == 0.0


def test_few_servers_are_asked_at_the_same_moment_and_stay_together() -> None:
    clock = Clock()
    pace = paced(8, clock=clock)
    due_s = []
    for _ in range(8):
        clock.now_s += 0.01  # they join one after the other
        due_s.append(clock.now_s + pace.first_s())
    assert max(due_s) - min(due_s) < 1e-6
    clock.now_s = due_s[0]
    for answered_s in (0.0005, 0.002, 0.3):
        assert clock.now_s + answered_s + _after(pace, clock, answered_s) == pytest.approx(due_s[0] + EVERY_S)


def test_processes_do_not_ask_in_step() -> None:
    first_s = sorted(paced(3, seed=seed).first_s() for seed in range(100))
    assert all(sum(at // 0.25 == part for at in first_s) > 20 for part in range(3))


@pytest.mark.parametrize("asked", [9, 30, 75])
def test_more_servers_are_spread_over_the_interval_a_few_at_a_time(asked: int) -> None:
    clock = Clock()
    pace = paced(asked, clock=clock)
    moments = Counter(round(pace.first_s(), 6) for _ in range(asked))
    assert 1 < len(moments) <= math.ceil(asked / 8)
    before_s = pace.next_s()
    assert before_s <= EVERY_S
    assert before_s > EVERY_S * (1 - 1 / math.ceil(asked / 8))


def test_a_thousand_servers_are_not_asked_more_often_than_the_process_can_bear() -> None:
    pace = paced(1000)
    assert pace.asked / pace.interval_s() <= MOST_PER_S
    first = sorted(pace.first_s() for _ in range(1000))
    # Spread over the interval: no tenth of it has more than twice its share.
    tenth = pace.interval_s() / 10
    assert all(sum(at // tenth == slot for at in first) < 200 for slot in range(10))
    assert pace.again_s() + ANSWER_S == pace.interval_s()


def _after(pace: Pace, clock: Clock, seconds: float) -> float:
    """What `next_s` is so long after now."""
    clock.now_s += seconds
    wait_s = pace.next_s()
    clock.now_s -= seconds
    return wait_s


def _assert_equal(actual: object, expected: object) -> None:
    assert actual == expected
