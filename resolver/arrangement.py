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
    """Endpoints among which calls go that ask for no version: a cluster of the route.

    Attributes:
        key: The version's name; "" for the endpoints of all versions without a share.
        weight: Its part of these calls, of the sum of all weights; 0 for none.
        endpoints: Sorted.
    """

    key: str
    weight: int
    endpoints: tuple[Endpoint, ...]


@dataclass(frozen=True, slots=True)
class Split:
    """How the calls to one target split over its versions.

    Attributes:
        parts: The one without a key first, then by key.
        asked: The versions that calls can ask for, sorted: those with a name, where there are several.
        versions: All that there are, sorted.
    """

    parts: tuple[Part, ...]
    asked: tuple[str, ...] = ()
    versions: tuple[str, ...] = ()

    def levels(self, part: Part) -> tuple[tuple[Endpoint, ...], ...]:
        """Who gets a part's calls: its own endpoints; while none of them takes any, the others', large shares first."""
        others = sorted((each for each in self.parts if each is not part), key=lambda each: (-each.weight, each.key))
        return tuple(each.endpoints for each in (part, *others) if each.endpoints)

    def only(self, version: str) -> tuple[Endpoint, ...]:
        """Who gets the calls that ask for a version, and nobody else does."""
        return tuple(sorted(e for part in self.parts for e in part.endpoints if e.version == version))


def split(endpoints: Iterable[Endpoint], known: Collection[str] | None = None) -> Split:
    """The parts of a target's endpoints, by their versions and shares.

    A version's share is what its endpoints say; where they disagree, the least. What is left goes to all other
    endpoints alike.

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
        if endpoint.share is not None and endpoint.version in versions and endpoint.version:
            shares[endpoint.version] = min(endpoint.share, shares.get(endpoint.version, endpoint.share))
    weights = {version: round(share * TOTAL / 100) for version, share in sorted(shares.items())}
    others = _of(found, [version for version in versions if version not in shares])
    parts = [Part("", max(0, TOTAL - sum(weights.values())) if others else 0, others)]
    parts += [Part(version, weight, _of(found, [version])) for version, weight in weights.items()]
    if not any(part.weight for part in parts):
        parts = [Part(part.key, TOTAL if part.endpoints else 0, part.endpoints) for part in parts]
    return Split(tuple(parts), tuple(version for version in versions if version), tuple(versions))


def priorities(endpoints: Iterable[Endpoint], zone: str) -> tuple[tuple[Endpoint, ...], ...]:
    """The endpoints in the order in which they are asked: those of the zone, then all others. None of them is empty.

    A zone of which no endpoint takes calls keeps its place, so that calls return to it when one does.
    """
    found = tuple(endpoints)
    own = tuple(endpoint for endpoint in found if zone and endpoint.zone == zone)
    others = tuple(endpoint for endpoint in found if not zone or endpoint.zone != zone)
    return tuple(each for each in (own, others) if each)


def in_use(levels: Iterable[Iterable[Endpoint]], zone: str) -> tuple[Endpoint, ...]:
    """The endpoints that get calls now: those that take some, of the first priority in which there are any."""
    for level in levels:
        for each in priorities(level, zone):
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
    found = split(endpoints)
    if len(found.parts) < 2:
        yield from found.parts[0].endpoints
        return
    well = [part for part in found.parts if any(e.health.takes_calls for e in part.endpoints)]
    parts = [part for part in well if part.weight] or well[:1]
    total = sum(part.weight for part in parts)
    for part in parts:
        weights = sum(e.weight for e in part.endpoints if e.health.takes_calls)
        for endpoint in part.endpoints:
            weight = round(MAX_WEIGHT * part.weight / total * endpoint.weight / weights) if total else endpoint.weight
            yield replace(endpoint, weight=min(MAX_WEIGHT, max(1, weight)))


def _of(endpoints: Iterable[Endpoint], versions: Sequence[str]) -> tuple[Endpoint, ...]:
    return tuple(endpoint for endpoint in endpoints if endpoint.version in versions)
