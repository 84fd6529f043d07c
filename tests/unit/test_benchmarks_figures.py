from __future__ import annotations

import json
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.benchmarks.figures import (
    Spread,
    first_answer_after,
    last_answer_after,
    median_interval,
    paired_ratios,
    percentile,
    random_counts,
    rotated,
    slope,
)
from tests.benchmarks.row import Bound, Row, Side
from tests.benchmarks.table import as_json, bound_text, number, quantity, spread_text


def test_ratios_are_taken_round_by_round() -> None:
    assert paired_ratios([2.0, 30.0], [1.0, 10.0]) == [2.0, 3.0]


def test_ratios_of_unequal_rounds_are_refused() -> None:
    with pytest.raises(ValueError, match="shorter"):
        paired_ratios([1.0, 2.0], [1.0])


def test_each_side_comes_first_in_turn_and_after_each_other() -> None:
    rounds = ["".join(rotated(("a", "b", "c"), number)) for number in range(7)]
    assert rounds == ["abc", "cba", "bca", "acb", "cab", "bac", "abc"]


@pytest.mark.parametrize(("percent", "expected"), [(50, 50), (99, 99), (99.5, 100), (100, 100), (0, 1)])
def test_percentile_of_one_to_a_hundred_is_the_nearest_rank(percent: float, expected: int) -> None:
    assert percentile(range(100, 0, -1), percent) == expected


# Ranks of the 95 % interval of a median, from tables of the binomial distribution with p = 1/2.
@pytest.mark.parametrize(
    ("count", "ranks"),
    [(1, (1, 1)), (5, (1, 5)), (6, (1, 6)), (9, (2, 8)), (10, (2, 9)), (15, (4, 12)), (30, (10, 21))],
)
def test_interval_of_a_median_has_the_ranks_of_the_tables(count: int, ranks: tuple[int, int]) -> None:
    assert median_interval(range(count, 0, -1)) == ranks


@pytest.mark.parametrize("count", range(6, 40))
def test_interval_of_a_median_is_the_narrowest_that_is_sure_enough(count: int) -> None:
    def doubt(rank: int) -> float:
        """How likely the median is outside of rank … count + 1 - rank."""
        return sum(math.comb(count, below) for below in range(rank)) / float(2 ** (count - 1))

    low, high = median_interval(range(1, count + 1))
    assert high == count + 1 - low
    assert doubt(int(low)) <= 0.05 < doubt(int(low) + 1)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1))
def test_interval_of_a_median_contains_the_median(values: list[float]) -> None:
    low, high = median_interval(values)
    assert low <= percentile(values, 50) <= high


def test_slope_of_a_line_is_its_own_and_that_of_a_plain_is_zero() -> None:
    assert slope([(0, 5), (10, 25), (20, 45)]) == pytest.approx(2.0)
    assert slope([(0, 5), (10, 5), (20, 5)]) == 0.0


def _counts(number: int, most: int) -> list[int]:
    return random_counts(random.Random(1), number, most)  # noqa: S311 -- nothing secret


def test_random_counts_stay_within_their_ends_and_reach_them() -> None:
    assert set(_counts(2000, 8)) == set(range(1, 9))
    assert set(_counts(50, 1)) == {1}
    assert max(_counts(2000, 1000)) <= 1000


def test_random_counts_come_again_with_their_seed() -> None:
    assert _counts(100, 1000) == _counts(100, 1000)


def test_random_counts_are_as_often_small_as_large() -> None:
    assert sum(count < 32 for count in _counts(2000, 1000)) == pytest.approx(1000, rel=0.1)


def test_first_answer_counts_from_the_change_to_the_end_of_the_call() -> None:
    calls = [(1.0, 1.5), (9.0, 10.5), (10.2, 10.25)]
    assert first_answer_after(10.0, calls) == pytest.approx(0.25)
    assert first_answer_after(11.0, calls) is None
    assert first_answer_after(0.0, []) is None


def test_last_answer_counts_from_the_change_to_the_end_of_the_call() -> None:
    calls = [(1.0, 1.5), (9.9, 10.5), (10.2, 10.25)]
    assert last_answer_after(10.0, calls) == pytest.approx(0.5)


def test_last_answer_is_zero_when_nobody_was_called_too_late() -> None:
    assert last_answer_after(10.0, [(1.0, 1.5)]) == 0.0
    assert last_answer_after(10.0, []) == 0.0


def test_last_answer_passes_over_calls_that_began_when_it_served_again() -> None:
    calls = [(9.9, 10.1), (20.0, 20.1)]
    assert last_answer_after(10.0, calls, until_s=15.0) == pytest.approx(0.1)
    assert last_answer_after(10.0, calls, until_s=20.0) == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("bound", "figure", "holds"),
    [
        (Bound(high=2), 2.0, True),
        (Bound(high=2), 2.0001, False),
        (Bound(low=0.97), 0.97, True),
        (Bound(low=0.97), 0.9699, False),
        (Bound(low=0.97, high=1.03), 1.0, True),
        (Bound(low=0.97, high=1.03), 1.04, False),
        (Bound(high=0), 0, True),
    ],
)
def test_bound_holds_to_its_very_ends(bound: Bound, figure: float, holds: bool) -> None:
    assert bound.holds(figure) is holds
    assert Row(benchmark="b", what="w", figure=figure, bound=bound).verdict == ("holds" if holds else "MISSED")


def test_row_without_a_bound_is_not_judged() -> None:
    assert Row(benchmark="b", what="w", figure=1e9).verdict == ""


@pytest.mark.parametrize(
    ("value", "text"), [(1.0, "1"), (0, "0"), (1.0049, "1.005"), (12.34, "12.3"), (1234.5, "1,234"), (-0.25, "-0.250")]
)
def test_number_is_shown_to_what_it_is_worth(value: float, text: str) -> None:
    assert number(value) == text


def test_quantity_without_a_unit_is_a_number() -> None:
    assert quantity(1.5, "") == "1.500"
    assert quantity(25.0, "ms") == "25 ms"


@pytest.mark.parametrize(
    ("bound", "unit", "text"),
    [
        (Bound(high=25), "ms", "≤ 25 ms"),
        (Bound(low=0.97), "", "≥ 0.97"),
        (Bound(low=0.97, high=1.03), "", "0.97 … 1.03"),
        (None, "ms", ""),
    ],
)
def test_bound_is_shown_as_it_is_read(bound: Bound | None, unit: str, text: str) -> None:
    assert bound_text(bound, unit) == text


def test_spread_tells_range_number_and_how_sure_the_median_is() -> None:
    assert spread_text(Spread.of([3.0, 1.0, 2.0]), "ms") == "1 … 3 ms, of 3"
    assert spread_text(Spread.of([3.0, 1.0, 2.0], of_median=True), "") == "1 … 3, of 3; 95 %: 1 … 3"
    assert spread_text(None, "ms") == ""


def test_json_repeats_every_input_and_the_verdict() -> None:
    row = Row(
        benchmark="calls",
        what="calls/s",
        inputs={"rounds": 3},
        a=Side("ours", 990.0, "/s"),
        b=Side("bare", 1000.0, "/s"),
        figure=0.99,
        spread=Spread.of([0.98, 0.99, 1.0], of_median=True),
        bound=Bound(low=0.97),
    )
    told = json.loads(json.dumps(as_json([row, Row(benchmark="b", what="w", figure=1)], {"python": "3.11"})))
    assert told["python"] == "3.11"
    first, second = told["rows"]
    assert first["inputs"] == {"rounds": 3}
    assert first["a"] == {"label": "ours", "value": 990.0, "unit": "/s"}
    assert first["spread"] == {"count": 3, "low": 0.98, "high": 1.0, "likely": [0.98, 1.0]}
    assert (first["figure"], first["bound"], first["verdict"]) == (0.99, {"low": 0.97, "high": None}, "holds")
    assert (second["bound"], second["verdict"]) == (None, None)


def test_every_name_is_a_benchmark() -> None:
    import importlib  # noqa: PLC0415 -- the benchmarks bring gRPC

    from tests.benchmarks.__main__ import NAMES  # noqa: PLC0415 -- the same

    modules = [importlib.import_module(f"tests.benchmarks.{name}") for name in NAMES]
    assert tuple(module.NAME for module in modules) == NAMES
