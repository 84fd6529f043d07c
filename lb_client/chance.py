"""What chance allows: bounds for counts that were drawn, at one in a million. Pure arithmetic.

A count outside is no chance: whoever draws honestly is wrongly blamed once in a million runs at most.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

ALPHA = 1e-6

ENOUGH = 500
"""Expected calls for each cell from which on the chi-squared distribution is close enough, at so small a level."""


def bounds(calls: int, share: float, alpha: float = ALPHA) -> tuple[int, int]:
    """The least and the most of so many calls that a share of them can come to by chance.

    By Chernoff's bound, P(X/n beyond q) <= exp(-n KL(q, p)) on either side, which holds for every n and p.
    """
    if calls <= 0 or share <= 0:
        return 0, 0
    if share >= 1:
        return calls, calls
    limit = math.log(2 / alpha) / calls
    middle = calls * share

    def is_possible(count: int) -> bool:
        return _divergence(count / calls, share) <= limit

    low, high = 0, math.floor(middle)
    while low < high:  # the least possible count at or below the middle
        half = (low + high) // 2
        low, high = (low, half) if is_possible(half) else (half + 1, high)
    least = low
    low, high = math.ceil(middle), calls
    while low < high:
        half = (low + high + 1) // 2
        low, high = (half, high) if is_possible(half) else (low, half - 1)
    return least, low


def _divergence(q: float, p: float) -> float:
    """Kullback and Leibler's, of two Bernoulli distributions."""
    left = q * math.log(q / p) if q > 0 else 0.0
    right = (1 - q) * math.log((1 - q) / (1 - p)) if q < 1 else 0.0
    return left + right


def is_possible(counts: Sequence[int], shares: Sequence[float]) -> bool:
    """Whether counts can have been drawn with these shares, which add up to 1.

    By chi-squared where enough is expected of each, else each by its bounds.
    """
    calls = sum(counts)
    if any(count and share <= 0 for count, share in zip(counts, shares, strict=True)):
        return False
    cells = [(count, calls * share) for count, share in zip(counts, shares, strict=True) if share > 0]
    if not calls or len(cells) < 2:
        return True
    if min(expected for _, expected in cells) >= ENOUGH:
        statistic = sum((count - expected) ** 2 / expected for count, expected in cells)
        return chi_squared_tail(statistic, len(cells) - 1) >= ALPHA
    each = ALPHA / len(cells)
    for count, expected in cells:
        least, most = bounds(calls, expected / calls, each)
        if not least <= count <= most:
            return False
    return True


def chi_squared_tail(statistic: float, degrees: int) -> float:
    """How probable so large a statistic, or a larger one, is: the regularized upper incomplete gamma function Q.

    By its series below, by Lentz's continued fraction above (Abramowitz and Stegun 6.5.29 and 6.5.31).
    """
    a, x = degrees / 2, statistic / 2
    if x <= 0:
        return 1.0
    factor = math.exp(a * math.log(x) - x - math.lgamma(a))
    if x < a + 1:
        term = total = 1 / a
        n = a
        while abs(term) > abs(total) * 1e-15:
            n += 1
            term *= x / n
            total += term
        return max(0.0, 1 - total * factor)
    tiny = 1e-300
    b = x + 1 - a
    c, d = 1 / tiny, 1 / b
    h = d
    for i in range(1, 10_000):
        an = -i * (i - a)
        b += 2
        d = an * d + b
        d = 1 / (d if abs(d) > tiny else tiny)
        c = b + an / c
        c = c if abs(c) > tiny else tiny
        delta = d * c
        h *= delta
        if abs(delta - 1) < 1e-15:
            break
    return factor * h
