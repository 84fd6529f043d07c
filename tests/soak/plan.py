"""What is done, and when: drawn from a seed before anything begins, the same for the same seed. Pure."""

from __future__ import annotations

import random
from dataclasses import dataclass

GAP_S = (0.2, 1.2)
"""Between two faults, at least and at most."""

_WEIGHTS = {
    "kill": 3,
    "drain": 2,
    "restart": 1,
    "roll": 1,
    "pause": 2,
    "health": 2,
    "error": 2,
    "latency": 1,
    "scale": 2,
    "record": 1,
    "accident": 2,
    "client": 1,
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is done.

    Attributes:
        at_s: Since the begin.
        kind: One of the above.
        draw: From 0 to below 1: which replica of those that there are then, or which part of the control plane.
        for_s: How long it lasts, where it lasts.
        number: How many replicas there shall be, or how many percent of calls fail.
    """

    at_s: float
    kind: str
    draw: float
    for_s: float
    number: int


def drawn(seed: int, duration_s: float) -> list[Fault]:
    """The faults of so many seconds, in order."""
    rng = random.Random(seed)  # noqa: S311 -- to be repeated by its seed, not to be secret
    faults: list[Fault] = []
    at_s = rng.uniform(*GAP_S)
    while at_s < duration_s:
        kind = rng.choices(list(_WEIGHTS), list(_WEIGHTS.values()))[0]
        number = rng.randint(2, 5) if kind == "scale" else rng.randint(5, 60)
        faults.append(Fault(round(at_s, 3), kind, rng.random(), round(rng.uniform(0.2, 3.0), 3), number))
        at_s += rng.uniform(*GAP_S)
    return faults
