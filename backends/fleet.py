"""Which replicas should run and what is to be done about it: values and plain functions, no process and no clock here.

Events change the fleet (`started`, `serving`, `exited`, …); `decide` then says what to do and when to look again.
"""

from __future__ import annotations

import enum
import itertools
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from backends.layout import FIRST_VERSION

if TYPE_CHECKING:
    from collections.abc import Callable

MIN_REPLICAS = 1
MAX_REPLICAS = 1000

BACKOFF_FIRST_S = 0.1
BACKOFF_MAX_S = 10.0
HEALTHY_S = 10.0
"""After this long in service a death counts as the first one again."""

STILLBORN_MAX = 3
"""Deaths in a row before serving, after which a replica counts as unable to start."""

STARTING_MAX = 16
"""How many replicas may be starting at once: a machine asked for hundreds of them stays usable."""

START_LIMIT_S = 1.0
"""How long a replica that retires while it is starting may take before it is killed."""

EXIT_CANNOT_START = 3


class Phase(enum.Enum):
    """Where a replica is in its life; the names are those of `lbdemo.v1.Phase`."""

    STARTING = "starting"
    RUNNING = "running"
    DRAINING = "draining"
    BACKING_OFF = "backing off"
    FAILED = "failed"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One replica of the fleet.

    Attributes:
        number: 1 for r1, …
        phase: Where it is in its life.
        address: host:port while it serves or drains, else "".
        pid: Its process; 0 when none runs or it is not known yet.
        started_at: When its process started; 0 when none runs.
        serving_at: When it began to serve; None when it does not, or has not yet.
        restarts: How often it was started again.
        deaths: Deaths in a row, none of them after `HEALTHY_S` in service.
        stillborn: Deaths in a row before serving.
        due_at: BACKING_OFF: when to start it again. Retiring: when to kill it.
        retiring: It was told to stop for good.
        doomed: It said itself that it cannot start.
        reason: One line: why it is BACKING_OFF or FAILED.
        version: Which version of the service it runs.
    """

    number: int
    phase: Phase = Phase.STARTING
    address: str = ""
    pid: int = 0
    started_at: float = 0.0
    serving_at: float | None = None
    restarts: int = 0
    deaths: int = 0
    stillborn: int = 0
    due_at: float = 0.0
    retiring: bool = False
    doomed: bool = False
    reason: str = ""
    version: str = FIRST_VERSION

    @property
    def id(self) -> str:
        """The replica's name in its cluster."""
        return f"r{self.number}"

    @property
    def has_process(self) -> bool:
        """Whether a process runs, or was asked for."""
        return self.phase in (Phase.STARTING, Phase.RUNNING, Phase.DRAINING)


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
        drain_limit_s: How long a retiring replica may take before it is killed.
        version: The name of the first version.
        service: What its replicas serve; None for the Greeter.
        others: The versions beside it, in the order in which they came.
    """

    wanted: int
    members: tuple[Member, ...] = ()
    stopping: bool = False
    drain_limit_s: float = 8.0
    version: str = FIRST_VERSION
    service: str | None = None
    others: tuple[Version, ...] = ()

    def find(self, id: str) -> Member | None:
        """The member of that name."""
        return next((m for m in self.members if m.id == id), None)

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


def backoff_s(deaths: int) -> float:
    """Seconds between a death and the next start: 0.1 after the first of a row, doubled each time, at most 10."""
    return min(BACKOFF_MAX_S, BACKOFF_FIRST_S * 2.0 ** min(deaths - 1, 30))


def scaled(fleet: Fleet, wanted: int) -> Fleet:
    """Another number is wanted. What had FAILED gets another try: somebody asked.

    Raises:
        ValueError: The number is outside 1 to 1000.
    """
    if not MIN_REPLICAS <= wanted <= MAX_REPLICAS:
        raise ValueError(f"{wanted} replicas: {MIN_REPLICAS} to {MAX_REPLICAS} are possible")
    fresh = (
        Member(number=m.number, version=m.version, phase=Phase.BACKING_OFF, restarts=m.restarts)
        if m.phase is Phase.FAILED
        else m
        for m in fleet.members
    )
    return replace(fleet, wanted=wanted, members=tuple(fresh))


def stopped(fleet: Fleet) -> Fleet:
    """Everything is to end."""
    return replace(fleet, stopping=True)


def started(fleet: Fleet, id: str, *, pid: int, now: float) -> Fleet:
    """The replica's process was started."""
    return _change(fleet, id, lambda m: replace(m, pid=pid, started_at=now))


def serving(fleet: Fleet, id: str, *, address: str, now: float) -> Fleet:
    """The replica answers calls at `address`. One that was told to retire meanwhile gets its time to drain."""

    def change(member: Member) -> Member:
        if member.retiring:
            return replace(member, address=address, due_at=now + fleet.drain_limit_s)
        if member.phase is not Phase.STARTING:
            return member
        return replace(member, phase=Phase.RUNNING, address=address, serving_at=now, stillborn=0, reason="")

    return _change(fleet, id, change)


def draining(fleet: Fleet, id: str) -> Fleet:
    """The replica drains, on our word or somebody else's."""
    return _change(fleet, id, lambda m: replace(m, phase=Phase.DRAINING) if m.has_process else m)


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
    served_s = now - member.serving_at if member.serving_at is not None else None
    deaths = 1 if served_s is not None and served_s >= HEALTHY_S else member.deaths + 1
    stillborn = member.stillborn + 1 if served_s is None else 0
    after = Member(
        number=member.number, version=member.version, restarts=member.restarts, deaths=deaths, stillborn=stillborn
    )
    if member.doomed or (served_s is None and code == EXIT_CANNOT_START):
        after = replace(after, phase=Phase.FAILED, reason=member.reason if member.doomed else why)
    elif stillborn >= STILLBORN_MAX:
        after = replace(after, phase=Phase.FAILED, reason=f"{why}, {stillborn} times in a row before serving")
    else:
        after = replace(after, phase=Phase.BACKING_OFF, reason=why, due_at=now + backoff_s(deaths))
    return _change(fleet, id, lambda _: after)


def decide(fleet: Fleet, now: float) -> Decision:
    """What to do about the fleet as it is: retire what is too much, start what is missing, kill what overstays."""
    members = {m.number: m for m in fleet.members}
    actions: list[Start | Drain | Kill] = []

    for number in reversed(_surplus(fleet)):
        member = members[number]
        if not member.has_process:
            del members[number]
            continue
        # A replica that drains already is not told twice: to it a second signal means "at once".
        if member.phase is not Phase.DRAINING:
            actions.append(Drain(member.id))
        # Who does not serve yet has no calls to finish, and may be stuck in an import that no signal interrupts.
        limit_s = START_LIMIT_S if member.phase is Phase.STARTING else fleet.drain_limit_s
        members[number] = replace(member, phase=Phase.DRAINING, retiring=True, due_at=now + limit_s)

    for number, member in sorted(members.items()):
        if member.retiring and member.due_at <= now:
            actions.append(Kill(member.id))
            members[number] = replace(member, due_at=now + fleet.drain_limit_s)

    slots = STARTING_MAX - sum(m.phase is Phase.STARTING for m in members.values())
    for number, member in sorted(members.items()):
        if member.phase is Phase.BACKING_OFF and member.due_at <= now and slots > 0:
            actions.append(Start(member.id))
            members[number] = replace(member, phase=Phase.STARTING, restarts=member.restarts + 1)
            slots -= 1
    number = 0
    for version in _missing(fleet)[: max(0, slots)]:
        number = next(n for n in itertools.count(number + 1) if n not in members)
        members[number] = Member(number=number, version=version)
        actions.append(Start(members[number].id))

    waits = [m.due_at for m in members.values() if m.retiring or (m.phase is Phase.BACKING_OFF and m.due_at > now)]
    after = replace(fleet, members=tuple(members[n] for n in sorted(members)))
    return Decision(after, tuple(actions), min(waits, default=None))


def _wanted(fleet: Fleet) -> dict[str, int]:
    if fleet.stopping:
        return {}
    return {fleet.version: fleet.wanted, **{other.name: other.wanted for other in fleet.others}}


def _staying(fleet: Fleet, version: str) -> list[int]:
    return sorted(m.number for m in fleet.members if m.version == version and not m.retiring)


def _surplus(fleet: Fleet) -> list[int]:
    """The numbers that are too many: of each version the highest."""
    wanted = _wanted(fleet)
    return sorted(
        number
        for version in {m.version for m in fleet.members}
        for number in _staying(fleet, version)[wanted.get(version, 0) :]
    )


def _missing(fleet: Fleet) -> list[str]:
    """The version of each replica that is missing."""
    return [
        version for version, number in _wanted(fleet).items() for _ in range(number - len(_staying(fleet, version)))
    ]


def _change(fleet: Fleet, id: str, change: Callable[[Member], Member]) -> Fleet:
    """The fleet with one member changed; unknown names change nothing (late news of one that is gone)."""
    return replace(fleet, members=tuple(change(m) if m.id == id else m for m in fleet.members))
