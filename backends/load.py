"""What a replica reports as its load: measured over a window, or told by hand. identity.py sends it with answers."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING

from protos.orca import ORCA_KEY, Load

if TYPE_CHECKING:
    from collections.abc import Callable

    from backends.identity import Counters, Metadata

WINDOW_S = 2.0
"""Over how long load is measured: a call more or less, or a collection of garbage, is not to move the traffic."""

FRESH_S = 0.1
"""How long a report is good. Core looks at weights no more often."""

TOLD_RPS = 1000.0
"""A load that is told is that of so many requests a second. With those that are measured, an endpoint that gets more
calls would weigh more, get more again, and in the end all."""


class LoadMeter:
    """Measures its process when a call asks for it: without calls it does nothing.

    Args:
        counters: Of the replica's calls.
        clock: Seconds.
        cpu: Seconds of processor time that the process has used.
    """

    def __init__(
        self,
        counters: Counters,
        *,
        clock: Callable[[], float] = time.monotonic,
        cpu: Callable[[], float] = time.process_time,
    ) -> None:
        self._counters = counters
        self._clock = clock
        self._cpu = cpu
        self._told: float | None = None
        self._samples: deque[tuple[float, float, int, int]] = deque()
        self._due_s = 0.0
        self._load = Load(0.0, 0.0)
        self._metadata: Metadata = ()

    @property
    def load(self) -> Load:
        """As of the last report."""
        return self._load

    def tell(self, utilization: float | None) -> None:
        """Report this from now on; None to measure again.

        Raises:
            ValueError: It is no utilization.
        """
        if utilization is not None and not 0 < utilization <= 1000:
            raise ValueError(f"a utilization is above 0 and up to 1000, with 1 for all there is; not {utilization:g}")
        self._told = utilization
        self._due_s = 0.0
        self.metadata()

    def metadata(self) -> Metadata:
        """The report for an answer that is given now."""
        now_s = self._clock()
        if now_s >= self._due_s:
            self._due_s = now_s + FRESH_S
            self._load = self._measured(now_s) if self._told is None else Load(self._told, TOLD_RPS, is_told=True)
            self._metadata = ((ORCA_KEY, self._load.as_orca()),)
        return self._metadata

    def _measured(self, now_s: float) -> Load:
        counters = self._counters
        now = (now_s, self._cpu(), counters.calls, counters.failed)
        # One sample stays from before the window, so that after a pause there is something to compare with.
        while len(self._samples) > 1 and self._samples[1][0] <= now_s - WINDOW_S:
            self._samples.popleft()
        self._samples.append(now)
        then_s, cpu_s, calls, failed = self._samples[0]
        span_s = now_s - then_s
        if span_s <= 0:
            return Load(0.0, 0.0)
        return Load((now[1] - cpu_s) / span_s, (counters.calls - calls) / span_s, (counters.failed - failed) / span_s)
