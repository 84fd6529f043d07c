"""Capped exponential back-off with jitter, as a value that is asked for the next delay. It does not sleep itself."""

from __future__ import annotations

import random
from dataclasses import dataclass, field


@dataclass(slots=True)
class Backoff:
    """Delays of `first_s`, twice that, and so on up to `cap_s`, each shortened by up to a fifth at random.

    The jitter keeps many watchers of one dead registry from returning in step.
    """

    first_s: float = 0.05
    cap_s: float = 5.0
    jitter: random.Random = field(default_factory=random.Random, repr=False)
    _next_s: float = 0.0

    def next_s(self) -> float:
        """Seconds to wait before the next try."""
        delay = self._next_s or self.first_s
        self._next_s = min(delay * 2, self.cap_s)
        return delay * self.jitter.uniform(0.8, 1.0)

    def reset(self) -> None:
        """The last try was good: begin again with `first_s`."""
        self._next_s = 0.0
