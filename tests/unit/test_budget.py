"""A retry budget: what counts as a retry, and when there is room."""

from __future__ import annotations

from lb_client.policy import RetryBudget
from resolver.budget import BudgetMeter, Spent
from resolver.core_counts import Counts


def test_there_is_always_room_for_the_free_ones() -> None:
    meter = BudgetMeter(RetryBudget(percent=0, min_per_s=5, window_s=2))
    assert meter.allowance == 10
    assert meter.add(Spent(1.0, calls=10, attempts=19, in_flight=0))
    assert not meter.add(Spent(1.1, calls=0, attempts=1, in_flight=0))


def test_calls_make_room_and_time_makes_it_again() -> None:
    meter = BudgetMeter(RetryBudget(percent=20, min_per_s=0, window_s=1))
    assert meter.add(Spent(0.0, calls=100, attempts=119, in_flight=0))
    assert not meter.add(Spent(0.5, calls=10, attempts=40, in_flight=0))
    assert meter.retries == 49
    # The first look has left the window: its calls, and its retries.
    assert not meter.add(Spent(1.0, calls=100, attempts=100, in_flight=0))
    assert meter.add(Spent(1.5, calls=100, attempts=100, in_flight=0))
    assert (meter.retries, meter.allowance) == (0, 40)


def test_a_call_that_waited_for_its_connection_is_no_retry() -> None:
    meter = BudgetMeter(RetryBudget(percent=0, min_per_s=10, window_s=1))
    assert meter.add(Spent(0.0, calls=64, attempts=0, in_flight=64))
    assert meter.add(Spent(0.1, calls=0, attempts=64, in_flight=64))
    assert meter.retries == 0
    assert not meter.add(Spent(0.2, calls=0, attempts=10, in_flight=64))


def test_a_call_that_was_never_sent_hides_no_retry() -> None:
    meter = BudgetMeter(RetryBudget(percent=0, min_per_s=10, window_s=1))
    meter.add(Spent(0.0, calls=500, attempts=0, in_flight=0))
    assert not meter.add(Spent(0.1, calls=10, attempts=20, in_flight=0))


def test_counts_grow_by_what_is_new_and_forget_what_is_gone() -> None:
    before = Counts({1: 10, 2: 5}, {7: 10, 8: 10}, 0)
    assert Counts({1: 15, 3: 4}, {7: 12, 9: 3}, 1).since(before) == (9, 5)
