"""Which zone, weight and version each replica of a cluster has: by number, so that it outlasts restarts and scaling."""

from __future__ import annotations

import re
from dataclasses import dataclass

FIRST_VERSION = "v1"
"""What the replicas of a cluster are when nobody says otherwise."""

MIN_REPLICAS = 1
MAX_REPLICAS = 1000
MAX_WEIGHT = 65535

# Zones and versions are shown on terminals, travel in headers and stand in names of resources.
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
NAME_RULE = "1 to 63 letters, digits, '.', '_' and '-'"


def is_name(text: str) -> bool:
    """Whether a zone or a version may be called so."""
    return _NAME.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class Layout:
    """How a cluster's replicas are laid out.

    Attributes:
        zones: Taken in turn: of a and b, r1 is in a, r2 in b, r3 in a. Without any, records name no zone.
        weights: Of r1, r2, …; replicas beyond them weigh 1.
        version: Of the replicas that a cluster starts with.
    """

    zones: tuple[str, ...] = ()
    weights: tuple[int, ...] = ()
    version: str = FIRST_VERSION

    def zone(self, number: int) -> str:
        """The zone of a replica; "" where there are none."""
        return self.zones[(number - 1) % len(self.zones)] if self.zones else ""

    def weight(self, number: int) -> int:
        """The weight of a replica."""
        return self.weights[number - 1] if 1 <= number <= len(self.weights) else 1

    def metadata(self, number: int, version: str) -> tuple[tuple[str, str], ...]:
        """What the record of a replica says of it, as sorted pairs."""
        found = {"version": version, "weight": str(self.weight(number)), "zone": self.zone(number)}
        return tuple((key, value) for key, value in sorted(found.items()) if value)


def layout_from_json(data: object) -> Layout:
    """The layout as it comes out of JSON, where tuples are lists."""
    fields = dict(data)  # type: ignore[call-overload]  # our own JSON: an object
    return Layout(tuple(fields["zones"]), tuple(fields["weights"]), fields["version"])
