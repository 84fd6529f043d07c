"""What is to be done about a fleet as it is: processes to start, to drain and to kill. The supervisor does it."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from backends import rolling
from backends.fault import NO_FAULT
from backends.member import After, Member
from backends.phase import Phase

if TYPE_CHECKING:
    from backends.fleet import Fleet

STARTING_MAX = 16
"""How many replicas may be starting at once: a machine asked for hundreds of them stays usable."""

START_LIMIT_S = 1.0
"""How long a replica that is to end while it is starting may take before it is killed."""


@dataclass(frozen=True, slots=True)
class Start:
    """Start a process for the replica."""

    id: str


@dataclass(frozen=True, slots=True)
class Drain:
    """Tell the replica's process to drain and end."""

    id: str


@dataclass(frozen=True, slots=True)
class Kill:
    """End the replica's process at once: it had its time to drain."""

    id: str


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do now.

    Attributes:
        fleet: The fleet once `actions` are under way.
        actions: In this order.
        wake_at: When to decide again although nothing happened; None for never.
    """

    fleet: Fleet
    actions: tuple[Start | Drain | Kill, ...]
    wake_at: float | None


def decide(fleet: Fleet, now: float) -> Decision:
    """What to do about the fleet as it is: end what is too much, start what is missing, kill what overstays."""
    if not fleet.stopping:
        fleet = rolling.stepped(fleet, now)
    members = {m.number: _without_old_fault(m, now) for m in fleet.members}
    for number in _surplus(fleet):
        if members[number].has_process:
            members[number] = members[number].told_to_end(After.LEAVE)
        else:
            del members[number]
    ends, members = _ended(fleet, members, now)
    starts, members = _started(fleet, members, now)
    after = replace(fleet, members=tuple(members[n] for n in sorted(members)))
    return Decision(after, (*ends, *starts), min(_waits(after, now), default=None))


def _surplus(fleet: Fleet) -> list[int]:
    """The numbers of those that have to leave: of each version the highest, and spares that are needed no more."""
    staying = [m for m in fleet.members if not m.retiring]
    if fleet.stopping:
        return [m.number for m in staying]
    numbers = []
    for version in {m.version for m in staying}:
        ordinary = [m for m in staying if m.version == version and not m.spare]
        wanted = fleet.wanted_of.get(version, 0)
        numbers += [m.number for m in ordinary[wanted:]]
        # What stands in for one that did not come up stays until all are as they should be.
        well = len(ordinary) >= wanted and all(
            m.phase in (Phase.RUNNING, Phase.STOPPED) and m.after is None for m in ordinary
        )
        if rolling.spare_version(fleet) != version:
            numbers += [m.number for m in fleet.spares if m.version == version and (well or not m.has_process)]
    return numbers


def _ended(fleet: Fleet, members: dict[int, Member], now: float) -> tuple[list[Drain | Kill], dict[int, Member]]:
    """Tell those who are to end, and kill those whose time for it is over."""
    actions: list[Drain | Kill] = []
    members = dict(members)
    for number in sorted(members, reverse=True):
        member = members[number]
        if member.after is None or not member.has_process or member.due_at:
            continue
        # A replica that drains already is not told twice: to it a second signal means "at once".
        if member.phase is not Phase.DRAINING:
            actions.append(Drain(member.id))
        # Who does not serve yet has no calls to finish, and may be stuck in an import that no signal interrupts.
        limit_s = START_LIMIT_S if member.phase is Phase.STARTING else fleet.drain_limit_s
        members[number] = replace(member, phase=Phase.DRAINING, due_at=now + limit_s)
    for number, member in sorted(members.items()):
        if member.after is not None and member.due_at <= now:
            actions.append(Kill(member.id))
            members[number] = replace(member, due_at=now + fleet.drain_limit_s, overstayed=True)
    return actions, members


def _started(fleet: Fleet, members: dict[int, Member], now: float) -> tuple[list[Start], dict[int, Member]]:
    """Start what waits for it and may, and what is missing, under the lowest free numbers."""
    members = dict(members)
    starts: list[Start] = []
    slots = STARTING_MAX - sum(m.phase is Phase.STARTING for m in members.values())
    for number, member in sorted(members.items()):
        if member.phase is Phase.BACKING_OFF and member.due_at <= now and slots > 0:
            starts.append(Start(member.id))
            members[number] = replace(member, phase=Phase.STARTING, restarts=member.restarts + 1, due_at=0.0)
            slots -= 1
    missing = [] if fleet.stopping else _missing(fleet, list(members.values()))
    free = (n for n in itertools.count(1) if n not in members)
    for number, (version, spare) in zip(free, missing[: max(0, slots)], strict=False):
        members[number] = Member(number=number, version=version, spare=spare)
        starts.append(Start(members[number].id))
    return starts, members


def _missing(fleet: Fleet, members: list[Member]) -> list[tuple[str, bool]]:
    """The version of each that is missing, and whether it is a spare."""
    staying = [(m.version, m.spare) for m in members if not m.retiring]
    missing = [
        (version, False)
        for version, wanted in fleet.wanted_of.items()
        for _ in range(wanted - staying.count((version, False)))
    ]
    version = rolling.spare_version(fleet)
    if version is not None and (version, True) not in staying:
        missing.append((version, True))
    return missing


def _waits(fleet: Fleet, now: float) -> list[float]:
    """When something is due although nothing happens."""
    waits = [m.due_at for m in fleet.members if m.after is not None]
    waits += [m.due_at for m in fleet.members if m.phase is Phase.BACKING_OFF and m.due_at > now]
    waits += [m.fault_over_at for m in fleet.members if m.fault_over_at]
    if fleet.roll is not None and not fleet.roll.over and fleet.roll.due_at:
        waits.append(fleet.roll.due_at)
    return waits


def _without_old_fault(member: Member, now: float) -> Member:
    if member.fault_over_at and member.fault_over_at <= now:
        return replace(member, fault=NO_FAULT, fault_over_at=0.0)
    return member
