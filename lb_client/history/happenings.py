"""What happened during a run, on one clock: what the client noticed, what the cluster says, and how the two meet. Pure.

The clock is CLOCK_MONOTONIC, which all processes of one machine share.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from lb_client.membership import Event

TOGETHER_S = 0.25
EARLY_S = 0.5
"""The client may hear before the cluster does: a replica withdraws, and tells its supervisor then."""

GOING = frozenset({"drain-begun", "died", "paused", "not-serving"})
COMING = frozenset({"serving", "resumed", "well"})
_GONE = frozenset({"left", "unhealthy", "draining", "disconnected", "ejected"})
_THERE = frozenset({"joined", "ready", "connected"})

_SAID = {
    "starting": "starts",
    "serving": "serves",
    "drain-begun": "begins to drain",
    "drained": "has drained",
    "died": "died",
    "stopped": "has stopped",
    "failed": "cannot start",
    "paused": "is frozen",
    "resumed": "goes on",
    "health": "is told what health to report",
    "fault": "gets a fault",
    "fault-over": "has no fault any more",
    "load": "is told what load to report",
}
_CLUSTER_SAID = {
    "scaled": "the cluster is scaled",
    "rolling-begun": "a rolling restart begins",
    "rolling-done": "the rolling restart is done",
    "rolling-failed": "the rolling restart has failed",
    "stopping": "the cluster stops",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Impact:
    """What an event did to calls.

    Attributes:
        in_flight: Calls that a replica had, or that were on their way there, when it died.
        in_flight_failed: Those of them that failed; the others were tried again.
        after: Calls that were sent after it and still went there, until the replica was back.
        failed_after: Those of them that failed.
        last_s: When the last of them was sent, in seconds after the event; None when there is none.
    """

    in_flight: int = 0
    in_flight_failed: int = 0
    after: int = 0
    failed_after: int = 0
    last_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Happening:
    """One thing that happened.

    Attributes:
        at_s: When (`time.monotonic`).
        source: `client` for what this client noticed, `cluster` for what the cluster says.
        kind: The client's: joined, left, ready, standby, unhealthy, draining, ejected, connected, disconnected, nack.
            The cluster's: as cluster.proto has them.
        replica: Its name; "" for none.
        address: Its address; "" for none.
        detail: One line more; "" for none.
        text: What happened, in a few words.
        noticed_s: How much later the client noticed; a little below 0 when it heard first, None when it never did, or
            there is nothing to notice.
        impact: What it did to calls; None where that is not known.
    """

    at_s: float
    source: str
    kind: str
    replica: str = ""
    address: str = ""
    detail: str = ""
    text: str
    noticed_s: float | None = None
    impact: Impact | None = None

    @property
    def is_going(self) -> bool:
        """Whether a replica stops taking calls by it, as the cluster says."""
        return self.source == "cluster" and _sense(self) in GOING

    @property
    def is_coming(self) -> bool:
        """Whether one begins to take calls by it."""
        return self.source == "cluster" and _sense(self) in COMING


def noticed(event: Event) -> Happening:
    """What the client saw of one member."""
    member = event.member
    return Happening(
        at_s=event.at_s, source="client", kind=event.kind, replica=member.id, address=member.address, text=event.text
    )


def told(at_s: float, kind: str, replica: str = "", address: str = "", detail: str = "") -> Happening:
    """What the cluster says."""
    text = f"{replica} {_SAID.get(kind, kind)}" if replica else _CLUSTER_SAID.get(kind, kind)
    return Happening(at_s=at_s, source="cluster", kind=kind, replica=replica, address=address, detail=detail, text=text)


def _sense(happening: Happening) -> str:
    """The kind, with a change of health as what it comes to."""
    if happening.kind != "health":
        return happening.kind
    return "not-serving" if "NOT_SERVING" in happening.detail or "UNKNOWN" in happening.detail else "well"


def one_axis(client: Iterable[Happening], cluster: Iterable[Happening]) -> tuple[Happening, ...]:
    """All of both in the order of time, each of the cluster's with when the client noticed."""
    mine, theirs = sorted(client, key=_at), sorted(cluster, key=_at)
    joined = [
        replace(event, noticed_s=_noticed_after(event, mine, theirs)) if event.is_going or event.is_coming else event
        for event in theirs
    ]
    return tuple(sorted([*mine, *joined], key=_at))


def grouped(happenings: Sequence[Happening]) -> tuple[Happening, ...]:
    """The same with what the client saw of one replica within a moment as one: `r2 went unhealthy, left`.

    Its going and its coming stay apart, however close. Of a start only its end is told; a stop after a drain is not.
    """
    found: list[Happening] = []
    last: dict[str, tuple[int, bool]] = {}
    served = {happening.replica: happening.at_s for happening in happenings if happening.kind == "serving"}
    drained = {happening.replica for happening in happenings if happening.kind == "drained"}
    for happening in happenings:
        if happening.kind == "starting" and served.get(happening.replica, 0.0) >= happening.at_s:
            continue
        if happening.kind == "stopped" and happening.replica in drained:
            continue
        who, there = happening.replica or happening.address, happening.kind in _THERE
        if happening.source != "client" or not who:
            found.append(happening)
            continue
        index, was_there = last.get(who, (-1, False))
        if index >= 0 and was_there is there and happening.at_s - found[index].at_s <= TOGETHER_S:
            before = found[index]
            found[index] = replace(before, text=f"{before.text}, {happening.text.removeprefix(f'{who} ')}")
        else:
            last[who] = len(found), there
            found.append(happening)
    return tuple(found)


def _at(happening: Happening) -> float:
    return happening.at_s


def _noticed_after(event: Happening, mine: Sequence[Happening], theirs: Sequence[Happening]) -> float | None:
    """Seconds from the event to the first that the client saw of it, before the replica turned again."""
    kinds = _GONE if event.is_going else _THERE
    end_s = turn_s(event, theirs)
    for seen in mine:
        if event.at_s - EARLY_S <= seen.at_s < end_s and seen.kind in kinds and _same(event, seen):
            return seen.at_s - event.at_s
    return None


def turn_s(event: Happening, theirs: Sequence[Happening]) -> float:
    """When the same replica goes the other way after the event."""
    for later in theirs:
        turned = later.is_coming if event.is_going else later.is_going
        if later.at_s > event.at_s and turned and later.replica == event.replica:
            return later.at_s
    return float("inf")


def _same(event: Happening, seen: Happening) -> bool:
    return event.replica == seen.replica if seen.replica else bool(event.address) and event.address == seen.address
