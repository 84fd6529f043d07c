"""What processes hold: memory, threads, descriptors. Looked at from outside, and judged against an earlier look."""

from __future__ import annotations

import contextlib
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psutil

from tests.support.leaks import strays

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

POOL_THREADS = 8
"""So many threads more or less are gRPC's pools, which grow with the work and shrink after a while."""


@dataclass(frozen=True, slots=True)
class Held:
    """What one process holds.

    Attributes:
        rss_mb: Memory.
        threads: All of them.
        descriptors: All of them.
    """

    rss_mb: float
    threads: int
    descriptors: int

    @classmethod
    def by(cls, pid: int) -> Held:
        """By that process now."""
        process = psutil.Process(pid)
        with process.oneshot():
            return cls(process.memory_info().rss / 2**20, process.num_threads(), process.num_fds())

    def more_than(self, before: Held) -> list[str]:
        """What it holds more than before, in words; memory is judged over time, see `growth_mb`."""
        more = []
        if self.descriptors > before.descriptors:
            more.append(f"{self.descriptors} descriptors, {before.descriptors} before")
        if self.threads > before.threads + POOL_THREADS:
            more.append(f"{self.threads} threads, {before.threads} before")
        return more


def growth_mb(samples: Sequence[float]) -> float:
    """By how much the last third of the samples lies above the middle one: what comes at first is no leak."""
    third = len(samples) // 3
    if not third:
        return 0.0
    return statistics.median(samples[-third:]) - statistics.median(samples[third : 2 * third])


def processes_below(folder: Path) -> dict[int, str]:
    """Who works in the folder, by pid: the supervisor and the replicas of a cluster there."""
    found = {}
    for pid, command in strays(folder).items():
        with contextlib.suppress(psutil.NoSuchProcess):
            if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                found[pid] = command
    return found
