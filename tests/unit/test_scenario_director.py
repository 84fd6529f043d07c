"""Steps are played at their moments, on a clock that is moved by hand: no second of a test is waited for."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from lb_client.scenario.director import TOO_LATE, Director
from lb_client.scenario.errors import StepError
from lb_client.scenario.model import Moment
from tests.support.scenarios import scenario

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lb_client.scenario.model import Step, Whom


class _Stage:
    """A cluster that writes down what is done to it and when; what takes time takes that of the clock below."""

    def __init__(self, steps: str, *, takes_s: dict[str, float] | None = None, fails: str = "") -> None:
        self._scenario = scenario(f"calls: {{duration: 10s}}\nsteps: [{steps}]\nexpect: [failed: 0]\n")
        self._takes_s = takes_s or {}
        self._fails = fails
        self.now = 0.0
        self._waiting: list[tuple[float, asyncio.Future[None]]] = []
        self.seen: list[tuple[float, str]] = []

    async def sleep(self, seconds: float) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((self.now + seconds, future))
        await future

    async def choose(self, whom: Whom) -> tuple[str, ...]:
        return whom.replicas

    async def do(self, step: Step, whom: Sequence[str]) -> None:
        self.seen.append((round(self.now, 3), f"{step.action} {' '.join(whom) or step.value}"))
        if step.name == self._fails:
            raise StepError("it cannot be")
        if step.name in self._takes_s:
            await self.sleep(self._takes_s[step.name])

    async def turn(self, until_s: float) -> None:
        """Move the clock from one thing that is waited for to the next."""
        while True:
            for _ in range(20):
                await asyncio.sleep(0)
            due = [entry for entry in self._waiting if not entry[1].done() and entry[0] <= until_s]
            if not due:
                break
            at_s, future = min(due, key=lambda entry: entry[0])
            self.now = max(self.now, at_s)
            future.set_result(None)
        self.now = max(self.now, until_s)

    def director(self) -> Director:
        return Director(self._scenario, choose=self.choose, do=self.do, clock=lambda: self.now, sleep=self.sleep)

    def play(self) -> list[str]:
        """Play it; what came of each step."""

        async def run() -> list[str]:
            director = self.director()
            director.begin(0.0)
            await self.turn(10.0)
            ending = asyncio.create_task(director.end())
            await self.turn(1000.0)
            return [f"{done.step.name} {done.end_s:g} {done.error}".strip() for done in await ending]

        return asyncio.run(run())


def test_steps_come_at_their_times_in_whatever_order_they_are_written() -> None:
    stage = _Stage("{at: 4s, kill: r2}, {at: 1s, pause: r1}, {at: 1s before end, resume: r1}")
    assert stage.play() == ["pause r1 1", "kill r2 4", "resume r1 9"]
    assert stage.seen == [(1, "pause r1"), (4, "kill r2"), (9, "resume r1")]


def test_step_after_another_waits_until_that_is_done() -> None:
    stage = _Stage(
        "{at: 1s, restart: rolling}, {at: 1s after restart rolling, kill: r1}, {at: restart rolling done, kill: r2}",
        takes_s={"restart rolling": 3.0},
    )
    assert stage.play() == ["restart rolling 4", "kill r1 2", "kill r2 4"]


def test_slow_step_holds_up_no_other() -> None:
    stage = _Stage("{at: 1s, drain: r1}, {at: 2s, kill: r2}", takes_s={"drain r1": 5.0})
    stage.play()
    assert stage.seen == [(1, "drain r1"), (2, "kill r2")]


def test_repeated_step_ends_before_its_until() -> None:
    stage = _Stage("{at: 1s, every: 1s, until: 4s, kill: r2}")
    stage.play()
    assert stage.seen == [(1, "kill r2"), (2, "kill r2"), (3, "kill r2")]


def test_repeated_step_without_until_goes_on_to_the_end_of_the_calls() -> None:
    stage = _Stage("{at: 7s, every: 1s, kill: r2}")
    stage.play()
    assert [at_s for at_s, _ in stage.seen] == [7, 8, 9]


def test_repeated_step_ends_with_the_step_that_it_lasts_until() -> None:
    stage = _Stage(
        "{at: 2500ms, scale: 4}, {at: 1s, every: 1s, until: scale 4 done, kill: r2}", takes_s={"scale 4": 1.0}
    )
    stage.play()
    assert [at_s for at_s, what in stage.seen if what == "kill r2"] == [1, 2, 3]


def test_step_under_way_at_the_end_of_the_calls_is_done() -> None:
    stage = _Stage("{at: 9s, restart: rolling}", takes_s={"restart rolling": 5.0})
    assert stage.play() == ["restart rolling 14"]


def test_step_that_was_not_reached_is_told() -> None:
    stage = _Stage(
        "{at: 8s, restart: rolling}, {at: 1s after restart rolling done, kill: r2}", takes_s={"restart rolling": 5.0}
    )
    assert stage.play() == ["restart rolling 13", f"kill r2 10 {TOO_LATE}"]


def test_step_after_one_that_failed_is_not_done() -> None:
    stage = _Stage("{at: 1s, pause: r1}, {at: 1s after pause r1 done, resume: r1}", fails="pause r1")
    assert stage.play() == ["pause r1 1 it cannot be", "resume r1 1 'pause r1' was not done"]
    assert stage.seen == [(1, "pause r1")]


def test_moment_of_a_step_can_be_waited_for() -> None:
    async def run() -> float:
        stage = _Stage("{at: 1s, restart: rolling}", takes_s={"restart rolling": 3.0})
        director = stage.director()
        director.begin(0.0)
        waiting = asyncio.create_task(director.time_of(Moment("restart rolling", done=True, offset_s=2.0)))
        await stage.turn(10.0)
        await director.cancel()
        return await waiting

    assert asyncio.run(run()) == 6.0
