"""Whether there is room for retries: a budget against what core has counted. Pure; keeping.py counts and acts."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from resolver.retry import RetryBudget


@dataclass(frozen=True, slots=True)
class Spent:
    """What was seen between two looks.

    Attributes:
        at_s: When, at their end.
        calls: Calls of the application that began.
        attempts: What was sent of them.
        in_flight: Calls that have not ended.
    """

    at_s: float
    calls: int
    attempts: int
    in_flight: int


class BudgetMeter:
    """Takes in looks, in the order of time, and says whether calls may be retried.

    Args:
        budget: How many retries there may be.
        waiting: Calls that began before the first look and were not sent by then.
    """

    def __init__(self, budget: RetryBudget, waiting: int = 0) -> None:
        self._budget = budget
        self._looks: deque[tuple[float, int, int]] = deque()  # (when, calls, retries)
        self._calls = 0
        self._retries = 0
        self._waiting = waiting  # calls that have begun and were not sent: as yet, or ever

    @property
    def retries(self) -> int:
        """Retries within the window."""
        return self._retries

    @property
    def allowance(self) -> float:
        """How many there may be."""
        budget = self._budget
        return self._calls * budget.percent / 100 + budget.min_per_s * budget.window_s

    def add(self, spent: Spent) -> bool:
        """Take in a look; returns whether there is room for retries now."""
        # An attempt more than calls is a retry, unless it is that of a call that waited for a connection till now.
        retries = max(0, spent.attempts - spent.calls - self._waiting)
        self._waiting = min(max(0, self._waiting + spent.calls - spent.attempts), spent.in_flight)
        self._looks.append((spent.at_s, spent.calls, retries))
        self._calls += spent.calls
        self._retries += retries
        while self._looks[0][0] <= spent.at_s - self._budget.window_s:
            _, calls, old = self._looks.popleft()
            self._calls -= calls
            self._retries -= old
        return self._retries < self.allowance
