"""The versions of a fleet: which run beside the first, with which share of the calls. Values only, as in fleet.py."""

from __future__ import annotations

from dataclasses import replace

from backends import rolling
from backends.fleet import Fleet, Version, revived
from backends.layout import MAX_REPLICAS, MIN_REPLICAS


def with_version(
    fleet: Fleet, name: str, *, wanted: int | None = None, share: float | None = None, service: str | None = None
) -> Fleet:
    """A version comes, or has another number of replicas or another share.

    Args:
        fleet: The fleet before.
        name: An old version's name or a new one's.
        wanted: How many replicas of it; None leaves them as many, and makes one of a new version.
        share: Its part of the calls in percent; None leaves it as it is.
        service: What a new version serves; not looked at for one that runs.

    Raises:
        ValueError: The number or the share is outside what is possible, or the share is the first version's.
        RefusedError: A rolling restart goes on.
    """
    rolling.refuse_during(fleet)
    if wanted is not None and not MIN_REPLICAS <= wanted <= MAX_REPLICAS:
        raise ValueError(f"{wanted} replicas: {MIN_REPLICAS} to {MAX_REPLICAS} are possible")
    if name == fleet.version:
        if share is not None:
            raise ValueError(
                f"{name!r} is the first version, which gets what the others leave: give another version its share"
            )
        return revived(replace(fleet, wanted=fleet.wanted if wanted is None else wanted))
    old = next((other for other in fleet.others if other.name == name), None)
    if old is None:
        new = Version(name=name, wanted=1 if wanted is None else wanted, share=share, service=service)
        others = (*fleet.others, new)
    else:
        new = replace(old, wanted=old.wanted if wanted is None else wanted, share=old.share if share is None else share)
        others = tuple(new if other is old else other for other in fleet.others)
    if fleet.wanted + sum(other.wanted for other in others) > MAX_REPLICAS:
        raise ValueError(f"with these there would be more than {MAX_REPLICAS} replicas")
    given = sum(other.share or 0 for other in others)
    if not 0 <= (share or 0) <= 100 or given > 100:
        told = ", ".join(f"{other.name} {other.share:g} %" for other in others if other.share)
        raise ValueError(f"the shares of all versions may be 100 % at most: {told}")
    return revived(replace(fleet, others=others))


def without_version(fleet: Fleet, name: str) -> Fleet:
    """A version goes, with all its replicas. When it was the first, the next one takes its place.

    Raises:
        ValueError: There is no such version, or no other one.
        RefusedError: A rolling restart goes on.
    """
    rolling.refuse_during(fleet)
    names = [fleet.version, *(other.name for other in fleet.others)]
    if name not in names:
        raise ValueError(f"there is no version {name!r}: there {_are(names)}")
    if len(names) == 1:
        raise ValueError(f"{name!r} is the only version: 'lbdemo down' without --version stops it all")
    if name != fleet.version:
        return replace(fleet, others=tuple(other for other in fleet.others if other.name != name))
    heir, *others = fleet.others
    return replace(fleet, version=heir.name, wanted=heir.wanted, service=heir.service, others=tuple(others))


def shares(fleet: Fleet) -> dict[str, float]:
    """The shares that were given, in percent by version."""
    return {other.name: other.share for other in fleet.others if other.share is not None}


def _are(names: list[str]) -> str:
    return f"is {names[0]}" if len(names) == 1 else f"are {', '.join(names)}"
