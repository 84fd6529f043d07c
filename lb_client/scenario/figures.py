"""Figures of calls: how many, how fast, how even. Pure arithmetic; judge.py says what they mean."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

from lb_client.phrases import and_more

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from lb_client.scenario.call_log import Call

_PERCENTILES = {"min": 0, "p50": 50, "p90": 90, "p99": 99, "max": 100}
_COUNTED: Mapping[str, Callable[[Call], bool]] = {
    "calls": lambda _call: True,
    "answered": lambda call: call.status == "OK",
    "failed": lambda call: call.status != "OK",
    "retried": lambda call: call.attempts > 0,
}
_MANY = 8

EVEN_LEAST = 2
EVEN_PART = 0.05


def value(metric: str, calls: Sequence[Call], *, total: int, span_s: float) -> float | None:
    """One figure of these calls.

    Args:
        metric: Its name, one of `words.METRICS`.
        calls: Those that it is about.
        total: All calls of that time.
        span_s: How long that was.

    Returns:
        Numbers, seconds, or a share of 1; None where there is none.
    """
    if metric == "share":
        return len(calls) / total if total else None
    if metric == "rate":
        return len(calls) / span_s
    if metric in _COUNTED:
        return sum(map(_COUNTED[metric], calls))
    latencies = sorted(call.end_s - call.start_s for call in calls if call.status == "OK")
    if not latencies:
        return None
    # The nearest rank, as in stats.py; here all values are at hand.
    return latencies[max(1, math.ceil(_PERCENTILES[metric] / 100 * len(latencies))) - 1]


def counts(calls: Iterable[Call], names: Collection[str]) -> dict[str, int]:
    """How many calls each of these ended."""
    found = dict.fromkeys(names, 0)
    for call in calls:
        if call.replica in found:
            found[call.replica] += 1
    return found


def even_within(numbers: Collection[int], changes: int) -> float:
    """By how much even counts may differ: each new picker begins anywhere, and few calls are a coarse measure."""
    mean = sum(numbers) / len(numbers)
    return max(EVEN_LEAST, 1 + changes, EVEN_PART * mean)


def told(numbers: Mapping[str, int]) -> str:
    """`r1 25, r2 25, r3 26`; of many the smallest and the largest."""
    if len(numbers) <= _MANY:
        return ", ".join(f"{name} {number:,}" for name, number in numbers.items())
    return f"{min(numbers.values()):,} to {max(numbers.values()):,} calls on each of {len(numbers)}"


def statuses(calls: Iterable[Call]) -> str:
    """The end of a line about failed calls: ` (UNAVAILABLE 3)`."""
    found = Counter(call.status for call in calls if call.status != "OK")
    return f" ({and_more([f'{status} {number:,}' for status, number in found.most_common()])})" if found else ""
