"""A retry budget: what counts as a retry, and when there is room."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from lb_client.policy import Retry, RetryBudget, RoundRobin
from resolver import keeping
from resolver.budget import BudgetMeter, Spent
from resolver.core_counts import Counts
from resolver.services import Service

if TYPE_CHECKING:
    import pytest

SERVICE = Service("key", "source", RoundRobin(retry=Retry(budget=RetryBudget())), is_own=False)


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


def test_calls_that_waited_before_the_first_look_are_no_retries_either() -> None:
    assert Counts({1: 10, 2: 5}, {7: 9}, 3).waiting == 3
    assert Counts({1: 10}, {7: 30}, 3).waiting == 0
    meter = BudgetMeter(RetryBudget(percent=0, min_per_s=10, window_s=1), waiting=3)
    meter.add(Spent(0.0, calls=0, attempts=5, in_flight=3))
    assert meter.retries == 2


async def test_what_was_retried_before_there_was_a_budget_is_not_held_against_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(keeping, "counts_of", lambda _uri: Counts({1: 300}, {7: 900}, 0))
    told: list[bool] = []
    following = asyncio.create_task(keeping.keep_budget(RetryBudget(), "xds:///any", told.append))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not following.done()
    following.cancel()
    assert told == []


async def test_keeper_that_ended_by_itself_begins_again_with_retries_allowed() -> None:
    told: list[tuple[str, bool]] = []
    keepers = keeping.BudgetKeepers(lambda key, allowed: told.append((key, allowed)))
    keepers.follow(SERVICE)
    (task,) = asyncio.all_tasks() - {asyncio.current_task()}
    keepers.mend()
    assert told == []
    task.cancel()
    await asyncio.wait({task})
    keepers.mend()
    assert told == [("key", True)]
    (again,) = asyncio.all_tasks() - {asyncio.current_task()}
    assert not again.done()
    keepers.forget("key")
    await asyncio.wait({again})
    keepers.mend()
    assert told == [("key", True)]
