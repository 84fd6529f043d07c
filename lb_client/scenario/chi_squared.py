"""Whether counts are what given shares make likely: Pearson's chi-squared test. Pure arithmetic."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

ALPHA = 1e-6
"""One good run in a million is told to be a bad one."""

_PRECISE = 1e-14
_STEPS = 10_000


def likely(counts: Mapping[str, int], shares: Mapping[str, float]) -> float:
    """The probability of counts at least as far from the shares as these, 0 to 1.

    Whoever has a share of nothing must have got nothing.
    """
    total, parts = sum(counts.values()), sum(shares.values())
    statistic = 0.0
    cells = 0
    for name, part in shares.items():
        expected, seen = total * part / parts, counts.get(name, 0)
        if not expected:
            if seen:
                return 0.0
            continue
        statistic += (seen - expected) ** 2 / expected
        cells += 1
    return upper_tail(statistic, cells - 1) if cells > 1 else 1.0


def upper_tail(statistic: float, freedom: int) -> float:
    """The chance that a chi-squared variable exceeds the statistic: the upper regularized incomplete gamma function.

    Its series below freedom + 2, its continued fraction above (Abramowitz and Stegun, 6.5.29 and 6.5.31).
    """
    if statistic <= 0:
        return 1.0
    a, x = freedom / 2, statistic / 2
    front = math.exp(a * math.log(x) - x - math.lgamma(a))
    if x < a + 1:
        term = total = 1 / a
        for n in range(1, _STEPS):
            term *= x / (a + n)
            total += term
            if term < total * _PRECISE:
                break
        return 1 - front * total
    # Lentz's way through the fraction, from the front.
    b = x + 1 - a
    c, d = math.inf, 1 / b
    value = d
    for n in range(1, _STEPS):
        numerator = -n * (n - a)
        b += 2
        d = 1 / (numerator * d + b)
        c = b + numerator / c
        value *= d * c
        if abs(d * c - 1) < _PRECISE:
            break
    return front * value
