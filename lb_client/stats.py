"""Statistics of a run: latency percentiles, fairness, spread. Pure arithmetic; records.py collects the figures."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

RELATIVE_ERROR = 0.005
"""A percentile is at most this share away from the value it stands for; min and max are exact."""

_SMALLEST_S = 1e-7
# Buckets (g^(i-1), g^i] whose middle is within RELATIVE_ERROR of all values inside (the scheme of DDSketch, VLDB 2019).
_GAMMA = (1 + RELATIVE_ERROR) / (1 - RELATIVE_ERROR)
_PER_LOG = 1 / math.log(_GAMMA)
_OFFSET = -math.log(_SMALLEST_S)
_MIDDLE = 2 / (_GAMMA + 1)


class LatencyHistogram:
    """Latencies in seconds, any number of them in bounded memory.

    From 100 ns to an hour there are 2,431 buckets; only those hit take room. Two histograms merge without loss.

    Attributes:
        count: How many values were added.
        min_s: The smallest value, exact; inf when there is none.
        max_s: The largest value, exact; 0.0 when there is none.
    """

    __slots__ = ("_buckets", "count", "max_s", "min_s")

    def __init__(self) -> None:
        self._buckets: dict[int, int] = {}
        self.count = 0
        self.min_s = math.inf
        self.max_s = 0.0

    def add(self, value_s: float) -> None:
        """Count one value; what is below 100 ns counts as 100 ns, except in `min_s`."""
        index = math.ceil((math.log(value_s) + _OFFSET) * _PER_LOG) if value_s > _SMALLEST_S else 0
        buckets = self._buckets
        buckets[index] = buckets.get(index, 0) + 1
        self.count += 1
        # Comparing beats min() and max() here, and this is paid for each call.
        if value_s < self.min_s:  # noqa: PLR1730 -- as said
            self.min_s = value_s
        if value_s > self.max_s:  # noqa: PLR1730 -- as said
            self.max_s = value_s

    def merge(self, other: LatencyHistogram) -> None:
        """Take in everything that `other` counted."""
        for index, number in other._buckets.items():
            self._buckets[index] = self._buckets.get(index, 0) + number
        self.count += other.count
        self.min_s = min(self.min_s, other.min_s)
        self.max_s = max(self.max_s, other.max_s)

    def percentile(self, percent: float) -> float | None:
        """The nearest-rank percentile in seconds: the smallest value with at least `percent` % of all at or below it.

        Within RELATIVE_ERROR of that value; the first and the last rank are exact. None when nothing was counted.
        """
        if not self.count:
            return None
        rank = max(1, math.ceil(percent / 100 * self.count))
        if rank == 1:
            return self.min_s
        if rank >= self.count:
            return self.max_s
        below = 0
        for index in sorted(self._buckets):
            below += self._buckets[index]
            if below >= rank:
                break
        middle = _SMALLEST_S * _GAMMA**index * _MIDDLE
        return min(max(middle, self.min_s), self.max_s)


def merged(histograms: Iterable[LatencyHistogram]) -> LatencyHistogram:
    """One histogram of all values of the given ones."""
    total = LatencyHistogram()
    for histogram in histograms:
        total.merge(histogram)
    return total


def fairness(counts: Iterable[int]) -> float | None:
    """Jain's index: 1.0 when all counts are equal, 1/n when one of n has everything; None without any call.

    R. Jain, D. Chiu, W. Hawe: A Quantitative Measure of Fairness (DEC-TR-301, 1984).
    """
    values = list(counts)
    squares = sum(value * value for value in values)
    return sum(values) ** 2 / (len(values) * squares) if squares else None


def spread(counts: Iterable[int]) -> int:
    """Largest count minus smallest; 0 when there are none."""
    values = list(counts)
    return max(values) - min(values) if values else 0


def even_share(total: int, parts: int) -> tuple[int, int]:
    """The smallest and the largest part when `total` is dealt out one by one to `parts` takers in turn."""
    low, rest = divmod(total, parts)
    return low, low + (rest > 0)
