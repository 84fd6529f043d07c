"""Who may get calls, over time: members of a target, and what changed between two looks. Values only; no gRPC here."""

from __future__ import annotations

import enum
import itertools
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from lb_client.aim import LIKE_ANY, Aim

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from lb_client.aim import Expected
    from resolver.model import Snapshot


MOMENT_S = 0.1
MOMENT_MAX_S = 0.5
"""Events no further than MOMENT_S from the next one, and MOMENT_MAX_S from the first, belong together."""


class MemberState(enum.Enum):
    """What is known of a member. Its value is how a report says it."""

    READY = "takes calls"
    UNHEALTHY = "unhealthy"
    DRAINING = "draining"
    DISCONNECTED = "not connected"
    STANDBY = "stands by"
    EJECTED = "ejected"


@dataclass(frozen=True, slots=True, order=True)
class Member:
    """One endpoint as the channel's side sees it.

    Attributes:
        address: `host:port`, or a socket's path with its scheme.
        id: The replica's name, "" where nobody told.
        state: Only READY members are expected to get calls. STANDBY ones could, and others come first; EJECTED ones
            are well by the registry's word, and by outlier detection's not.
        zone: What the registry tells of it, likewise `version` and `weight`.
        expected: What it is to get.
    """

    address: str
    id: str = ""
    state: MemberState = MemberState.READY
    zone: str = ""
    version: str = ""
    weight: int = 1
    expected: Expected = LIKE_ANY

    @property
    def label(self) -> str:
        """The name for a sentence: the id where there is one, else the address."""
        return self.id or self.address


@dataclass(frozen=True, slots=True)
class Membership:
    """All members at one moment.

    Attributes:
        at_s: When it was seen, on the clock of `time.monotonic`.
        members: Sorted by address.
    """

    at_s: float
    members: tuple[Member, ...]

    @classmethod
    def of_snapshot(cls, snapshot: Snapshot, at_s: float, aim: Aim | None = None) -> Membership:
        """What a resolver's snapshot says to a client with that aim."""
        states = {"unhealthy": MemberState.UNHEALTHY, "draining": MemberState.DRAINING}
        expected = (aim or Aim()).expected(snapshot.endpoints)
        found = (
            Member(
                e.address,
                e.id,
                states.get(e.health.value, MemberState.READY if e.address in expected else MemberState.STANDBY),
                e.zone,
                e.version,
                e.weight,
                expected.get(e.address, LIKE_ANY),
            )
            for e in snapshot.endpoints
        )
        return cls(at_s, tuple(sorted(found, key=lambda member: member.address)))

    def with_ejected(self, addresses: frozenset[str]) -> Membership:
        """The same, but for those who could take calls and are ejected."""
        if not addresses:
            return self
        members = (
            replace(m, state=MemberState.EJECTED) if m.state is MemberState.READY and m.address in addresses else m
            for m in self.members
        )
        return replace(self, members=tuple(members))

    @property
    def is_drawn(self) -> bool:
        """Whether chance decides who gets a call: then nobody can be reached on purpose."""
        return any(member.expected.share is not None for member in self.ready)

    @property
    def ready(self) -> tuple[Member, ...]:
        """The members that may get calls."""
        return tuple(member for member in self.members if member.state is MemberState.READY)

    @property
    def ready_addresses(self) -> frozenset[str]:
        """Their addresses."""
        return frozenset(member.address for member in self.ready)


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened to one member during a run.

    Attributes:
        at_s: When it was seen, on the clock of `time.monotonic`.
        kind: `joined`, `left`, `ready`, `standby`, `unhealthy`, `draining`, `disconnected`, `ejected` or `let-back`.
        member: As it was after the event; for `left`, as it was before.
    """

    at_s: float
    kind: str
    member: Member

    @property
    def verb(self) -> str:
        """What it did, for a sentence."""
        if self.kind == "joined" and self.member.state is MemberState.STANDBY:
            return "joined and stands by"
        late = self.kind == "joined" and self.member.state is not MemberState.READY
        return "joined and was never ready" if late else _VERBS[self.kind]

    @property
    def text(self) -> str:
        """Subject and verb: `r4 joined`."""
        return f"{self.member.label} {self.verb}"


_VERBS = {
    "joined": "joined",
    "left": "left",
    "ready": "takes calls",
    "unhealthy": "went unhealthy",
    "draining": "is draining",
    "disconnected": "lost its connection",
    "standby": "stands by",
    "ejected": "was ejected (inferred from the traffic)",
    "let-back": "was let back",
}
_KINDS = {
    MemberState.READY: "ready",
    MemberState.UNHEALTHY: "unhealthy",
    MemberState.DRAINING: "draining",
    MemberState.DISCONNECTED: "disconnected",
    MemberState.STANDBY: "standby",
    MemberState.EJECTED: "ejected",
}


def events_between(before: Membership, after: Membership) -> tuple[Event, ...]:
    """What happened from one look to the next, sorted by name; a changed id counts as left and joined."""
    old = {(member.address, member.id): member for member in before.members}
    new = {(member.address, member.id): member for member in after.members}
    found = []
    for key in sorted(old.keys() | new.keys(), key=lambda key: natural_key(key[1], key[0])):
        was, now = old.get(key), new.get(key)
        if now is None and was is not None:
            found.append(Event(after.at_s, "left", was))
        elif was is None and now is not None:
            found.append(Event(after.at_s, "joined", now))
        elif was is not None and now is not None and was.state is not now.state:
            let_back = was.state is MemberState.EJECTED and now.state is MemberState.READY
            found.append(Event(after.at_s, "let-back" if let_back else _KINDS[now.state], now))
    return tuple(found)


def in_order(events: Iterable[Event]) -> list[Event]:
    """Events for somebody to read: in the order of time, and of names where they belong together."""
    moments: list[list[Event]] = []
    for event in sorted(events, key=lambda event: event.at_s):
        last = moments[-1] if moments else None
        if last and event.at_s - last[-1].at_s <= MOMENT_S and event.at_s - last[0].at_s <= MOMENT_MAX_S:
            last.append(event)
        else:
            moments.append([event])
    by_name = [sorted(moment, key=lambda e: natural_key(e.member.id, e.member.address)) for moment in moments]
    return list(itertools.chain.from_iterable(by_name))


def natural_key(replica: str, address: str) -> tuple[bool, str, int, str, str, str]:
    """Sorts r2 before r10, and what has no name last."""
    stem = replica.rstrip("0123456789")
    digits = replica[len(stem) :].lstrip("0")
    # By length first is by value; a server may send more digits than Python makes a number of.
    return (not replica, stem, len(digits), digits, replica, address)


def events_of(looks: Sequence[Membership]) -> tuple[Event, ...]:
    """All events of a sequence of looks, in their order."""
    return tuple(event for before, after in itertools.pairwise(looks) for event in events_between(before, after))
