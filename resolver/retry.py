"""Retries as data, in the field's terms (gRFC A6, A44). How they become xDS: see xds/policies.py."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from resolver.outlier_detection import expect_seconds, in_json

RETRYABLE = ("CANCELLED", "DEADLINE_EXCEEDED", "INTERNAL", "RESOURCE_EXHAUSTED", "UNAVAILABLE")
"""The codes that a route's retry policy can name (gRFC A44)."""

MAX_ATTEMPTS = 5
"""Core makes no more, whatever it is told (gRFC A6)."""

MIN_INTERVAL_S = 0.002
"""With less, core (1.85.1) draws delays below 1 ms, and a call that waits for one is never sent: half of them hung."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryBudget:
    """How many retries there may be beside the calls, so that retries do not bury a service that is down already.

    Within the last `window_s` there may be `percent` retries for each 100 calls, and `min_per_s` a second in any case.
    Where more were made, no call is retried until there is room again.

    Attributes:
        percent: Retries for each 100 calls, 0 to 100.
        min_per_s: Retries a second that are always free.
        window_s: Over how long it is counted.
    """

    percent: float = 20.0
    min_per_s: float = 10.0
    window_s: float = 10.0

    def __post_init__(self) -> None:
        if not 0 <= self.percent <= 100:
            raise ValueError(f"a retry budget's percent must be from 0 to 100, not {self.percent!r}")
        if not 0 <= self.min_per_s <= 1e6:
            raise ValueError(f"a retry budget's min_per_s must be from 0 to 1,000,000, not {self.min_per_s!r}")
        expect_seconds("a retry budget's window_s", self.window_s, at_least=0.5, at_most=3600)


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """Sends a call again that ended with one of these codes, on another pick (gRFC A6, A44).

    A call is retried only while nothing of an answer has come, initial metadata included, and within its deadline.

    Attributes:
        attempts: How often a call is sent at most, the first time included: 2 to 5.
        codes: Names of status codes, of those in `RETRYABLE`.
        base_interval_s: Before the n-th retry core waits this long times 2 to the power of n - 1, a fifth more or less;
            0.002 at least.
        max_interval_s: At most this long.
        budget: How many retries there may be in all; None for no bound.
    """

    attempts: int = 3
    codes: tuple[str, ...] = ("UNAVAILABLE",)
    base_interval_s: float = 0.025
    max_interval_s: float = 0.25
    budget: RetryBudget | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.attempts, int) or not 2 <= self.attempts <= MAX_ATTEMPTS:
            raise ValueError(
                f"attempts must be from 2 to {MAX_ATTEMPTS}, the first one included, not {self.attempts!r}: "
                "gRPC makes no more"
            )
        if not self.codes or not set(self.codes) <= set(RETRYABLE):
            raise ValueError(f"codes must be some of {', '.join(RETRYABLE)}, not {self.codes!r}")
        expect_seconds("base_interval_s", self.base_interval_s, at_least=MIN_INTERVAL_S)
        expect_seconds("max_interval_s", self.max_interval_s, at_least=self.base_interval_s)

    def as_config(self) -> dict[str, Any]:
        """As what a service config says beside its policy. It knows no such budget: see policy.service_config."""
        policy = {
            "maxAttempts": self.attempts,
            "initialBackoff": in_json(self.base_interval_s),
            "maxBackoff": in_json(self.max_interval_s),
            "backoffMultiplier": 2,
            "retryableStatusCodes": list(self.codes),
        }
        return {"methodConfig": [{"name": [{}], "retryPolicy": policy}]}
