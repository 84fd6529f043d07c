"""Bounds of what chance allows: closed forms, exact sums, and draws."""

from __future__ import annotations

import math
import random

import pytest

from lb_client.chance import ALPHA, bounds, chi_squared_tail, is_possible


def binomial_tails(calls: int, share: float, low: int, high: int) -> float:
    """P(X < low) + P(X > high), summed up."""
    inside = sum(
        math.exp(
            math.lgamma(calls + 1)
            - math.lgamma(k + 1)
            - math.lgamma(calls - k + 1)
            + k * math.log(share)
            + (calls - k) * math.log(1 - share)
        )
        for k in range(low, high + 1)
    )
    return max(0.0, 1 - inside)


@pytest.mark.parametrize(("calls", "share"), [(10, 0.5), (100, 0.1), (1000, 0.1), (1000, 0.5), (5000, 0.01)])
def test_bounds_are_passed_less_than_once_in_a_million_and_no_wider_than_needed(calls: int, share: float) -> None:
    low, high = bounds(calls, share)
    assert low <= calls * share <= high
    assert binomial_tails(calls, share, low, high) <= ALPHA + 1e-9  # what the sum itself is wrong by
    assert high - calls * share <= 1.35 * 4.9 * math.sqrt(calls * share * (1 - share)) + 6


@pytest.mark.parametrize(("calls", "share", "expected"), [(0, 0.5, (0, 0)), (7, 0.0, (0, 0)), (7, 1.0, (7, 7))])
def test_bounds_of_nothing_and_of_everything_are_exact(calls: int, share: float, expected: tuple[int, int]) -> None:
    assert bounds(calls, share) == expected


@pytest.mark.parametrize("statistic", [0.1, 1.0, 5.0, 27.6, 60.0])
def test_the_tail_of_chi_squared_agrees_with_its_closed_forms(statistic: float) -> None:
    assert chi_squared_tail(statistic, 1) == pytest.approx(math.erfc(math.sqrt(statistic / 2)), rel=1e-9)
    assert chi_squared_tail(statistic, 2) == pytest.approx(math.exp(-statistic / 2), rel=1e-9)
    assert chi_squared_tail(statistic, 4) == pytest.approx(math.exp(-statistic / 2) * (1 + statistic / 2), rel=1e-9)


def test_nothing_is_certain_at_zero() -> None:
    assert chi_squared_tail(0.0, 3) == 1.0


@pytest.mark.parametrize("calls", [20, 2000, 20_000])
def test_honest_draws_are_possible_and_other_weights_are_not(calls: int) -> None:
    source = random.Random(7)  # noqa: S311 -- no secret
    shares = (0.5, 0.3, 0.2)
    for _ in range(50):
        drawn = source.choices(range(3), shares, k=calls)
        assert is_possible([drawn.count(n) for n in range(3)], shares)
    if calls > 20:
        assert not is_possible([calls // 3, calls // 3, calls - 2 * (calls // 3)], shares)


def test_what_should_get_nothing_must_get_nothing() -> None:
    assert is_possible([10, 0], [1.0, 0.0])
    assert not is_possible([10, 1], [1.0, 0.0])
    assert is_possible([], [])
    assert is_possible([0, 0], [0.5, 0.5])
