"""Who gets which part of the calls: versions with their shares, zones in the order in which they are asked. Pure.

How it becomes xDS stands in xds/resources.py and xds/assignments.py; what it means for a report, in lb_client.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from resolver.model import MAX_WEIGHT

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from resolver.model import Endpoint

TOTAL = 10_000
"""Weights of parts add up to this at most: shares are kept to a hundredth of a percent."""

VERSION_HEADER = "x-version"
"""The metadata key by which a call asks for a version."""


@dataclass(frozen=True, slots=True)
class Part:
    """Endpoints that are called as one: a cluster of the route.

    Attributes:
        key: The version's name; "" for the endpoints of all versions without a share.
        weight: Its part of the calls that ask for no version, of the sum of all weights; 0 for none.
        endpoints: Sorted.
    """

    key: str
    weight: int
    endpoints: tuple[Endpoint, ...]

    @property
    def takes_calls(self) -> bool:
        """Whether any of its endpoints does."""
        return any(endpoint.health.takes_calls for endpoint in self.endpoints)


@dataclass(frozen=True, slots=True)
class Split:
    """How the calls to one target split over its versions.

    Attributes:
        parts: The one without a key first, then by key.
        by_version: For each version that calls can ask for, the part that they go to.
        versions: All that are in one of the parts, sorted.
    """

    parts: tuple[Part, ...]
    by_version: tuple[tuple[str, str], ...] = ()
    versions: tuple[str, ...] = ()

    def part(self, key: str) -> Part:
        """The part of a key."""
        return next(part for part in self.parts if part.key == key)

    def asked(self, version: str) -> Part | None:
        """Where a call goes that asks for a version; None where there is no such one: it goes with the others."""
        key = dict(self.by_version).get(version)
        return None if key is None else self.part(key)


def split(endpoints: Iterable[Endpoint], known: Collection[str] | None = None) -> Split:
    """The parts of a target's endpoints, by their versions and shares.

    A version's share is what its endpoints say; where they disagree, the least. What is left goes to all other
    endpoints alike. A part of which no endpoint takes calls leaves its share to the others, and where none has a share
    that could be used, whoever is there gets the calls. Calls that ask for a version go to it and to nobody else.

    Args:
        endpoints: All of them, sorted.
        known: The versions that were there before. Another one is there once one of its endpoints takes calls: a call
            that asks for it should not fail because it is about to come. None: all are.
    """
    found = tuple(endpoints)
    versions = sorted({e.version for e in found if known is None or e.version in known or e.health.takes_calls})
    if len(versions) < 2:
        return Split((Part("", TOTAL, _of(found, versions) if versions else found),), versions=tuple(versions))
    shares: dict[str, float] = {}
    for endpoint in found:
        if endpoint.share is not None and endpoint.version:
            shares[endpoint.version] = min(endpoint.share, shares.get(endpoint.version, endpoint.share))
    others = [version for version in versions if version not in shares]
    weights = {version: round(share * TOTAL / 100) for version, share in shares.items()}
    parts = [Part("", max(0, TOTAL - sum(weights.values())), _of(found, others))]
    by_version = []
    for version in versions:
        if version in shares:
            parts.append(Part(version, weights[version], _of(found, [version])))
        elif version and len(others) > 1:
            parts.append(Part(version, 0, _of(found, [version])))
        if version:
            by_version.append((version, "" if others == [version] else version))
    return Split(_usable(parts), tuple(by_version), tuple(versions))


def priorities(endpoints: Iterable[Endpoint], zone: str) -> tuple[tuple[Endpoint, ...], ...]:
    """The endpoints in the order in which they are asked: those of the zone, then all others. None of them is empty.

    A zone of which no endpoint takes calls keeps its place, so that calls return to it when one does.
    """
    found = tuple(endpoints)
    own = tuple(endpoint for endpoint in found if zone and endpoint.zone == zone)
    others = tuple(endpoint for endpoint in found if not zone or endpoint.zone != zone)
    return tuple(each for each in (own, others) if each)


def in_use(endpoints: Iterable[Endpoint], zone: str) -> tuple[Endpoint, ...]:
    """The endpoints that get calls now: those that take some, of the first priority in which there are any."""
    for each in priorities(endpoints, zone):
        if ready := tuple(endpoint for endpoint in each if endpoint.health.takes_calls):
            return ready
    return ()


def shared_weights(endpoints: Iterable[Endpoint], zone: str = "") -> tuple[Endpoint, ...]:
    """The endpoints that calls can go to which ask for no version, with weights by which the shares come out.

    For whoever keeps to weights and knows no versions: an Envoy of ours. The shares hold within each zone's priority.
    Without shares the endpoints are as they were.
    """
    return tuple(sorted(each for level in priorities(endpoints, zone) for each in _shared(level)))


def _shared(endpoints: tuple[Endpoint, ...]) -> Iterator[Endpoint]:
    parts = [part for part in split(endpoints).parts if part.weight]
    if len(parts) < 2:
        yield from parts[0].endpoints
        return
    total = sum(part.weight for part in parts)
    for part in parts:
        weights = sum(e.weight for e in part.endpoints if e.health.takes_calls)
        for endpoint in part.endpoints:
            weight = round(MAX_WEIGHT * part.weight / total * endpoint.weight / weights)
            yield replace(endpoint, weight=min(MAX_WEIGHT, max(1, weight)))


def _of(endpoints: Iterable[Endpoint], versions: Sequence[str]) -> tuple[Endpoint, ...]:
    return tuple(endpoint for endpoint in endpoints if endpoint.version in versions)


def _usable(parts: list[Part]) -> tuple[Part, ...]:
    """The parts with the weights that can be used now; at least one has a weight."""
    weights = {part.key: part.weight if part.takes_calls else 0 for part in parts}
    if not any(weights.values()):
        # Whoever is there; and where nobody is, the calls fail as they would with one part.
        there = [part for part in parts if part.takes_calls] or parts[:1]
        weights = {part.key: TOTAL if part is there[0] else 0 for part in parts}
    return tuple(Part(part.key, weights[part.key], part.endpoints) for part in parts)
