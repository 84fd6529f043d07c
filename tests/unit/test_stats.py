from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lb_client.stats import RELATIVE_ERROR, LatencyHistogram, even_share, fairness, merged, spread

latencies = st.lists(st.floats(min_value=1e-6, max_value=3600), min_size=1, max_size=200)


def histogram_of(values: list[float]) -> LatencyHistogram:
    histogram = LatencyHistogram()
    for value in values:
        histogram.add(value)
    return histogram


def nearest_rank(values: list[float], percent: float) -> float:
    return sorted(values)[max(1, math.ceil(percent / 100 * len(values))) - 1]


def test_percentile_of_one_to_a_hundred_is_the_nearest_rank() -> None:
    histogram = histogram_of([n / 1000 for n in range(1, 101)])
    for percent, expected in ((50, 0.050), (90, 0.090), (99, 0.099), (1, 0.001), (100, 0.100), (0, 0.001)):
        assert histogram.percentile(percent) == pytest.approx(expected, rel=RELATIVE_ERROR)


def test_percentile_of_one_value_is_that_value() -> None:
    assert histogram_of([0.0123]).percentile(50) == 0.0123


def test_percentile_of_nothing_is_unknown() -> None:
    assert LatencyHistogram().percentile(99) is None


def test_first_and_last_rank_are_exact() -> None:
    histogram = histogram_of([0.0011, 0.0022, 0.0033])
    assert histogram.percentile(1) == 0.0011
    assert histogram.percentile(99) == 0.0033


@given(latencies, st.sampled_from([0.0, 1.0, 25.0, 50.0, 90.0, 99.0, 99.9, 100.0]))
def test_percentile_stays_within_the_promised_error(values: list[float], percent: float) -> None:
    found = histogram_of(values).percentile(percent)
    assert found == pytest.approx(nearest_rank(values, percent), rel=RELATIVE_ERROR * 1.000001)


@given(latencies, latencies)
def test_merging_equals_adding_everything_to_one(left: list[float], right: list[float]) -> None:
    both, one = merged([histogram_of(left), histogram_of(right)]), histogram_of(left + right)
    assert [both.percentile(p) for p in range(101)] == [one.percentile(p) for p in range(101)]
    assert (both.count, both.min_s, both.max_s) == (one.count, one.min_s, one.max_s)


def test_memory_is_bounded_whatever_is_added() -> None:
    histogram = histogram_of([1e-7 * 1.003**n for n in range(8200)])
    assert histogram.max_s > 3600
    assert len(histogram._buckets) < 2500


def test_values_too_small_to_measure_are_still_counted() -> None:
    histogram = histogram_of([0.0, 0.0, 0.0, 1.0])
    assert histogram.count == 4
    assert histogram.percentile(50) == pytest.approx(0.0, abs=2e-7)


@pytest.mark.parametrize(
    ("counts", "expected"),
    [([5, 5, 5], 1.0), ([9, 0, 0], 1 / 3), ([2, 1], 0.9), ([7], 1.0), ([], None), ([0, 0], None)],
)
def test_fairness_is_jains_index(counts: list[int], expected: float | None) -> None:
    assert fairness(counts) == (None if expected is None else pytest.approx(expected))


@pytest.mark.parametrize(("counts", "expected"), [([34, 33, 33], 1), ([5], 0), ([], 0), ([0, 9], 9)])
def test_spread_is_largest_minus_smallest(counts: list[int], expected: int) -> None:
    assert spread(counts) == expected


@pytest.mark.parametrize(
    ("total", "parts", "expected"),
    [(100, 3, (33, 34)), (99, 3, (33, 33)), (2, 3, (0, 1)), (0, 4, (0, 0)), (7, 1, (7, 7))],
)
def test_even_share_is_floor_and_ceiling(total: int, parts: int, expected: tuple[int, int]) -> None:
    assert even_share(total, parts) == expected
