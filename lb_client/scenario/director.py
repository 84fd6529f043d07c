"""Plays the steps of a scenario at their moments, beside the calls. What a step does, it leaves to who is passed in."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from lb_client.scenario.errors import StepError
from lb_client.scenario.played import Done

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from lb_client.scenario.model import Moment, Scenario, Step, Whom

TOO_LATE = "the calls were over before it"
LAST_S = 90.0
"""How long a step that is under way when the calls end may still take."""


class Director:
    """Plays one scenario's steps once. Used on one loop.

    Args:
        scenario: Whose steps.
        choose: From whom a step is about to the replicas' names.
        do: Does a step to these, and returns when it is done. Both raise StepError where they cannot.
        told: Hears each doing, when it begins (its `end_s` is 0) and when it is done.
        clock: What moments are measured by.
        sleep: Waits so many seconds of that clock.
    """

    def __init__(
        self,
        scenario: Scenario,
        *,
        choose: Callable[[Whom], Awaitable[tuple[str, ...]]],
        do: Callable[[Step, Sequence[str]], Awaitable[None]],
        told: Callable[[Done], None] = lambda _done: None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._scenario = scenario
        self._choose = choose
        self._do = do
        self._told = told
        self._clock = clock
        self._sleep = sleep
        self._begin_s = 0.0
        self._moments: dict[tuple[str, bool], asyncio.Future[float]] = {}
        self._tasks: list[tuple[Step, asyncio.Task[None]]] = []
        self._busy: set[asyncio.Task[Any]] = set()
        self._begun: list[Step] = []
        self.done: list[Done] = []

    def begin(self, begin_s: float) -> None:
        """The calls begin now: steps are done from here on."""
        self._begin_s = begin_s
        self._tasks = [(step, asyncio.create_task(self._play(step))) for step in self._scenario.steps]

    async def end(self) -> list[Done]:
        """The calls are over: begin nothing more, let what is under way be done, and return all that was done.

        Raises:
            Exception: What somebody raised who may raise StepError only.
        """
        for step, task in self._tasks:
            if task.done():
                continue
            task.cancel()
            if step not in self._begun:
                now = self._clock()
                self._keep(Done(step, now, now, error=TOO_LATE))
        if self._busy:
            await asyncio.wait(set(self._busy), timeout=LAST_S)
        await self.cancel()
        for _, task in self._tasks:
            if not task.cancelled():
                task.result()
        return sorted(self.done, key=lambda one: one.begin_s)

    async def cancel(self) -> None:
        """Drop everything."""
        tasks = [*(task for _, task in self._tasks), *self._busy]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def time_of(self, moment: Moment) -> float:
        """Wait until it is known when that is, and return it.

        Raises:
            StepError: Its step was not done.
        """
        if moment.anchor == "start":
            return self._begin_s + moment.offset_s
        if moment.anchor == "end":
            return self._begin_s + self._scenario.calls.duration_s + moment.offset_s
        return await asyncio.shield(self._future(moment.anchor, moment.done)) + moment.offset_s

    async def _play(self, step: Step) -> None:
        try:
            at_s = await self.time_of(step.at)
        except StepError as error:
            now = self._clock()
            self._keep(Done(step, now, now, error=str(error)))
            self._never(step)
            return
        done: Done | None = None
        while True:
            await self._sleep(max(0.0, at_s - self._clock()))
            # What it lasts until may have come meanwhile.
            if done is not None and self._is_over(step.until, at_s):
                break
            # A task of its own: what is under way is done even when no further step begins.
            doing = asyncio.create_task(self._once(step))
            self._busy.add(doing)
            doing.add_done_callback(self._busy.discard)
            done = await asyncio.shield(doing)
            if step.every_s is None or self._is_over(step.until, at_s + step.every_s):
                break
            at_s += step.every_s
        if done.error:
            self._never(step)
        else:
            self._reach(step, True, done.end_s)

    async def _once(self, step: Step) -> Done:
        self._begun.append(step)
        begin_s = self._clock()
        self._told(Done(step, begin_s, 0.0))
        whom: tuple[str, ...] = ()
        error = ""
        try:
            whom = await self._choose(step.whom)
            self._reach(step, False, begin_s)
            await self._do(step, whom)
        except StepError as failure:
            error = str(failure)
        done = Done(step, begin_s, self._clock(), whom, error)
        self._keep(done)
        return done

    def _keep(self, done: Done) -> None:
        self.done.append(done)
        self._told(done)

    def _reach(self, step: Step, done: bool, at_s: float) -> None:
        future = self._future(step.name, done)
        if not future.done():
            future.set_result(at_s)

    def _never(self, step: Step) -> None:
        for done in (False, True):
            future = self._future(step.name, done)
            if not future.done():
                future.set_exception(StepError(f"{step.name!r} was not done"))
                future.exception()  # nobody need have waited for it

    def _future(self, name: str, done: bool) -> asyncio.Future[float]:
        found = self._moments.get((name, done))
        if found is None:
            found = self._moments[name, done] = asyncio.get_running_loop().create_future()
        return found

    def _is_over(self, until: Moment, at_s: float) -> bool:
        """Whether `until` is no later than that, as far as it is known."""
        end_s = self._begin_s + self._scenario.calls.duration_s
        if at_s >= end_s:
            return True
        if until.anchor in ("start", "end"):
            return at_s >= (end_s if until.anchor == "end" else self._begin_s) + until.offset_s
        future = self._future(until.anchor, until.done)
        return future.done() and future.exception() is None and at_s >= future.result() + until.offset_s
