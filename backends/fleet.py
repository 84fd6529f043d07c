"""Which replicas there are and how many there should be: a value, changed by what happens. No process, no clock here.

Orders about single replicas change it in fleet_orders.py; what is to be done then, decision.py says.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from backends import rolling
from backends.cluster_errors import UnknownReplicaError
from backends.layout import FIRST_VERSION, MAX_REPLICAS, MIN_REPLICAS
from backends.member import After, Member
from backends.names import unknown_line
from backends.phase import Phase

if TYPE_CHECKING:
    from collections.abc import Callable

    from backends.rolling import Roll

__all__ = [
    "Fleet",
    "Member",
    "Phase",
    "Version",
    "backoff_s",
    "cannot_start",
    "draining",
    "exited",
    "paused",
    "revived",
    "scaled",
    "serving",
    "started",
    "stopped",
]

BACKOFF_FIRST_S = 0.1
BACKOFF_MAX_S = 10.0
HEALTHY_S = 10.0
"""After this long in service a death counts as the first one again."""

STILLBORN_MAX = 3
"""Deaths in a row before serving, after which a replica counts as unable to start."""

EXIT_CANNOT_START = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """A version that runs beside the fleet's first one.

    Attributes:
        name: As it stands in the records.
        wanted: How many replicas of it there should be.
        share: Its part of the calls in percent, 0 to 100; None for that of any other replica.
        service: What its replicas serve, `package.module:function`; None for the Greeter.
    """

    name: str
    wanted: int
    share: float | None = None
    service: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """All replicas of a cluster, and how many there should be.

    Attributes:
        wanted: How many there should be of the first version.
        members: In the order of their numbers, which are unique.
        stopping: Everything is to end; nothing starts any more.
        drain_limit_s: How long a replica that was told to end may take before it is killed.
        version: The name of the first version.
        service: What its replicas serve; None for the Greeter.
        others: The versions beside it, in the order in which they came.
        roll: The latest rolling restart; None before the first.
    """

    wanted: int
    members: tuple[Member, ...] = ()
    stopping: bool = False
    drain_limit_s: float = 8.0
    version: str = FIRST_VERSION
    service: str | None = None
    others: tuple[Version, ...] = ()
    roll: Roll | None = None

    def find(self, id: str) -> Member | None:
        """The member of that name."""
        return next((m for m in self.members if m.id == id), None)

    def known(self, id: str) -> Member:
        """The member of that name.

        Raises:
            UnknownReplicaError: There is none.
        """
        member = self.find(id)
        if member is None:
            raise UnknownReplicaError(unknown_line((id,), [m.id for m in self.members]))
        return member

    def with_member(self, member: Member) -> Fleet:
        """The same fleet with another state of a member that it has."""
        return replace(self, members=tuple(member if m.number == member.number else m for m in self.members))

    @property
    def spares(self) -> tuple[Member, ...]:
        """Those that serve in the place of others during a rolling restart, unless they leave already."""
        return tuple(m for m in self.members if m.spare and not m.retiring)

    @property
    def serving(self) -> int:
        """How many are in service."""
        return sum(m.phase is Phase.RUNNING for m in self.members)

    @property
    def settled(self) -> bool:
        """Whether exactly the wanted replicas are there and all of them serve."""
        return len(self.members) == self.total == self.serving

    @property
    def total(self) -> int:
        """How many replicas there should be, of all versions."""
        return self.wanted + sum(other.wanted for other in self.others)

    @property
    def wanted_of(self) -> dict[str, int]:
        """How many there should be of each version."""
        return {self.version: self.wanted, **{other.name: other.wanted for other in self.others}}


def backoff_s(deaths: int) -> float:
    """Seconds between a death and the next start: 0.1 after the first of a row, doubled each time, at most 10."""
    return min(BACKOFF_MAX_S, BACKOFF_FIRST_S * 2.0 ** min(deaths - 1, 30))


def scaled(fleet: Fleet, wanted: int) -> Fleet:
    """Another number is wanted. What had FAILED or was STOPPED is started again: somebody asked.

    Raises:
        ValueError: The number is outside 1 to 1000.
        RefusedError: A rolling restart goes on.
    """
    if not MIN_REPLICAS <= wanted <= MAX_REPLICAS:
        raise ValueError(f"{wanted} replicas: {MIN_REPLICAS} to {MAX_REPLICAS} are possible")
    rolling.refuse_during(fleet)
    return revived(replace(fleet, wanted=wanted))


def revived(fleet: Fleet) -> Fleet:
    """Somebody asked for replicas: what had FAILED or was STOPPED is started, what a failed roll left may stay."""
    members = []
    for old in fleet.members:
        member = old
        if member.phase in (Phase.FAILED, Phase.STOPPED):
            member = member.afresh()
        elif member.after is After.STOP:
            member = member.told_to_end(After.START)
        if member.spare and not member.retiring:
            others = sum(m.version == member.version and not (m.spare or m.retiring) for m in fleet.members)
            member = replace(member, spare=others >= fleet.wanted_of.get(member.version, 0))
        members.append(member)
    return replace(fleet, members=tuple(members))


def stopped(fleet: Fleet) -> Fleet:
    """Everything is to end."""
    return replace(fleet, stopping=True)


def started(fleet: Fleet, id: str, *, pid: int, now: float) -> Fleet:
    """The replica's process was started."""
    return _change(fleet, id, lambda m: replace(m, pid=pid, started_at=now))


def serving(fleet: Fleet, id: str, *, address: str, now: float) -> Fleet:
    """The replica answers calls at `address`. One that was told to end meanwhile gets its time to drain."""

    def change(member: Member) -> Member:
        if member.after is not None:
            return replace(member, address=address, due_at=now + fleet.drain_limit_s)
        if member.phase is not Phase.STARTING:
            return member
        return replace(member, phase=Phase.RUNNING, address=address, serving_at=now, stillborn=0, reason="")

    return _change(fleet, id, change)


def draining(fleet: Fleet, id: str) -> Fleet:
    """The replica drains, on our word or somebody else's."""
    return _change(fleet, id, lambda m: replace(m, phase=Phase.DRAINING) if m.has_process else m)


def cut_off(fleet: Fleet, id: str, *, calls: int, after_s: float) -> Fleet:
    """The replica's time to drain was over before all of its calls had ended."""
    how = f"{calls} call{'s were' if calls > 1 else ' was'} cut off after {after_s:g} s"
    return _change(fleet, id, lambda m: replace(m, cut_off=how))


def paused(fleet: Fleet, id: str, *, yes: bool) -> Fleet:
    """The replica's process was frozen, or goes on."""
    return _change(fleet, id, lambda m: replace(m, paused=yes) if m.has_process else m)


def cannot_start(fleet: Fleet, id: str, *, reason: str) -> Fleet:
    """The replica said that it cannot start; its process is about to end."""
    return _change(fleet, id, lambda m: replace(m, doomed=True, reason=reason))


def exited(fleet: Fleet, id: str, *, code: int | None, why: str, now: float) -> Fleet:
    """The replica's process ended.

    Args:
        fleet: The fleet before.
        id: Whose process it was.
        code: Its exit code; None when a signal ended it or it could not even be forked.
        why: One line that tells how it ended.
        now: The clock.
    """
    member = fleet.find(id)
    if member is None:
        return fleet
    if member.retiring or fleet.stopping:
        return replace(fleet, members=tuple(m for m in fleet.members if m.id != id))
    if member.after is After.START:
        return fleet.with_member(member.afresh())
    if member.after is After.STOP:
        # One that was told so early that it never served had nothing to drain, and may not have heard of it gently.
        reason = member.cut_off if code == 0 or not member.address else f"{why} while it drained"
        return fleet.with_member(replace(member.without_past(), phase=Phase.STOPPED, reason=reason))
    served_s = now - member.serving_at if member.serving_at is not None else None
    deaths = 1 if served_s is not None and served_s >= HEALTHY_S else member.deaths + 1
    stillborn = member.stillborn + 1 if served_s is None else 0
    after = replace(member.without_past(), deaths=deaths, stillborn=stillborn)
    if member.doomed or (served_s is None and code == EXIT_CANNOT_START):
        after = replace(after, phase=Phase.FAILED, reason=member.reason if member.doomed else why)
    elif stillborn >= STILLBORN_MAX:
        after = replace(after, phase=Phase.FAILED, reason=f"{why}, {stillborn} times in a row before serving")
    else:
        after = replace(after, phase=Phase.BACKING_OFF, reason=why, due_at=now + backoff_s(deaths))
    return fleet.with_member(after)


def _change(fleet: Fleet, id: str, change: Callable[[Member], Member]) -> Fleet:
    """The fleet with one member changed; unknown names change nothing (late news of one that is gone)."""
    member = fleet.find(id)
    return fleet if member is None else fleet.with_member(change(member))
