"""How much is measured: a whole run within a quarter of an hour, or a quick one within a few minutes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """What every benchmark is given.

    Attributes:
        quick: Fewer rounds, wider spreads.
        seed: For everything random.
    """

    quick: bool
    seed: int

    def of(self, full: int, quick: int) -> int:
        """The one or the other."""
        return quick if self.quick else full
