"""What `lbdemo run` shows on stderr while it plays: a few lines on a terminal, a line for each step in a pipe."""

from __future__ import annotations

import asyncio
import math
import sys
import time
from typing import TYPE_CHECKING, Self

from lb_client.cli.call_screen import Screen
from lb_client.paper import BOLD, DIM, GREEN, RED, Paper
from lb_client.phrases import counted, printable

if TYPE_CHECKING:
    from lb_client.measurement import Measurement
    from lb_client.scenario.model import Scenario
    from lb_client.scenario.played import Done

TICK_S = 0.1
_LATEST = 4


class PlayScreen:
    """Shows one play. Leaving the block clears what was drawn; lines in a pipe stay."""

    def __init__(self, scenario: Scenario, *, quiet: bool = False) -> None:
        self._scenario = scenario
        self._begin_s = 0.0
        self._latest: list[str] = []
        self._quiet = quiet
        self._screen = Screen(sys.stderr) if sys.stderr.isatty() and not quiet else None

    def __enter__(self) -> Self:
        if self._screen is not None:
            self._screen.__enter__()
        return self

    def __exit__(self, *exc: object) -> None:
        if self._screen is not None:
            self._screen.__exit__(*exc)

    def starting(self) -> None:
        """The cluster is being started."""
        many = counted(self._scenario.plan.replicas, "replica")
        if self._screen is not None:
            self._draw([f"starting {many}"])
        else:
            self._print(f"{self._scenario.source}: starting {many}")

    def begin(self, begin_s: float) -> None:
        """The calls begin."""
        self._begin_s = begin_s
        calls = self._scenario.calls
        how_long = calls.length if calls.until else f"for {calls.length}"
        self._print(f"{self._scenario.source}: calls {how_long}")

    def told(self, done: Done) -> None:
        """A step is begun, or done."""
        if done.error:
            line = f"{done.begin_s - self._begin_s:7.2f} s  {done.step.text}: {done.error}"
        elif done.end_s:
            return
        else:
            line = f"{done.begin_s - self._begin_s:7.2f} s  {done.step.text}"
        self._latest = [*self._latest[1 - _LATEST :], line]
        self._print(line)

    async def follow(self, measurement: Measurement) -> None:
        """Draw how far it is, until cancelled."""
        if self._screen is None:
            return
        duration_s = self._scenario.calls.duration_s
        while True:
            await measurement.flush()
            paper = self._screen.paper
            now_s = time.monotonic() - self._begin_s
            recorder = measurement.recorder
            failed = paper.paint(f"{recorder.failed:,} failed", RED) if recorder.failed else "0 failed"
            bar = f" {now_s:.1f} s"
            if math.isfinite(duration_s):
                part = min(1.0, now_s / duration_s)
                bar = f" {paper.paint(paper.bar(part, 24), GREEN)} {min(now_s, duration_s):.1f} s of {duration_s:g} s"
            over = "  waiting for the last step" if now_s > duration_s + 1 else ""
            steps = [paper.paint(f" {printable(line)}", DIM) for line in self._latest]
            self._draw([f"{bar}  {counted(recorder.calls, 'call')}  {failed}{over}", *steps])
            await asyncio.sleep(TICK_S)

    def _draw(self, lines: list[str]) -> None:
        if self._screen is not None:
            paper: Paper = self._screen.paper
            self._screen.draw([f" {paper.paint(printable(self._scenario.name), BOLD)}", *lines])

    def _print(self, line: str) -> None:
        if self._screen is None and not self._quiet:
            print(printable(line), file=sys.stderr, flush=True)
