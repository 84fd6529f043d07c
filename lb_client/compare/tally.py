"""Counts by replica, as the client, the replicas and Envoy each keep them, and where they differ. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lb_client.phrases import and_more, counted

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


@dataclass(frozen=True, slots=True)
class Tally:
    """What one of them counted, by a replica's address.

    Attributes:
        who: `the client`, `the replicas` or `Envoy`.
        what: `call`, `stream`, `message` or `connection`.
        by_address: How many; a replica that got none may be missing.
    """

    who: str
    what: str
    by_address: Mapping[str, int] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """All of them."""
        return sum(self.by_address.values())


def growth(before: Mapping[str, int], after: Mapping[str, int]) -> dict[str, int]:
    """What counters have grown by. One that is smaller than before was started anew."""
    grown = {}
    for key, value in after.items():
        since = before.get(key, 0)
        grown[key] = value - since if value >= since else value
    return grown


def differences(tallies: Iterable[Tally], names: Mapping[str, str]) -> tuple[str, ...]:
    """Where others counted otherwise than the first one, each in a few words; nothing where all agree.

    Args:
        tallies: Of one thing; the first is what the others are held against.
        names: A replica's name by its address.
    """
    first, *others = tallies
    found = []
    for other in others:
        for address in sorted(first.by_address.keys() | other.by_address.keys(), key=lambda a: (names.get(a, a), a)):
            here, there = first.by_address.get(address, 0), other.by_address.get(address, 0)
            if here != there:
                where = names.get(address, address) or "nobody known"
                found.append(f"{where}: {first.who} counted {counted(here, first.what)}, {other.who} {there:,}")
    return tuple(found)


def counts_text(counts: Iterable[int], most: int = 6) -> str:
    """`34/33/33`; of many the range and who got none: `6 or 7 on each of 30`, `300 on 1 of 30`."""
    figures = list(counts)
    if len(figures) <= most:
        return "/".join(f"{figure:,}" for figure in figures)
    taken = [figure for figure in figures if figure]
    low, high = (min(taken), max(taken)) if taken else (0, 0)
    each = f"{low:,}" if low == high else f"{low:,}-{high:,}"
    return f"{each} on {len(taken)} of {len(figures)}"


def spread_text(counts: Mapping[str, int]) -> tuple[str, bool]:
    """How counts by replica's name are spread, in two words, and whether evenly: `even`, `all r1`, `uneven`."""
    figures = list(counts.values())
    taken = [name for name, figure in counts.items() if figure]
    if not taken:
        return "nothing", False
    if len(figures) == 1:
        return "the only one", True
    if len(taken) == 1:  # one call too: it says nothing of how the next ones would spread
        return f"all {taken[0]}", False
    if max(figures) - min(figures) <= 1:
        return "even", True
    if len(taken) < len(figures):
        return f"on {len(taken)} of {len(figures)}", False
    return "uneven", False


def cause(ways: Iterable[str]) -> str:
    """What differences mean, most of the time."""
    return f"Somebody else called these replicas, or one was started anew, while this ran: {and_more(list(ways))}"
