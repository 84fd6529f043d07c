"""What is done to single replicas, as changes of the fleet: drain, restart, health, fault; and what is refused.

Plain functions like those of fleet.py. Each raises UnknownReplicaError for a name that no replica has, and RefusedError
for what cannot be done with this one now; asking for what is so already changes nothing.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from backends import rolling
from backends.cluster_errors import RefusedError
from backends.fault import HEALTHS
from backends.member import After, Member
from backends.phase import Phase

if TYPE_CHECKING:
    from collections.abc import Sequence

    from backends.fault import Fault
    from backends.fleet import Fleet


def drained(fleet: Fleet, id: str) -> Fleet:
    """Withdraw the replica, let its calls end, stop it; it stays STOPPED."""
    member = fleet.known(id)
    rolling.refuse_during(fleet)
    _refuse_leaving(fleet, member)
    if member.has_process:
        return fleet.with_member(member.told_to_end(After.STOP))
    return fleet.with_member(replace(member.without_past(), phase=Phase.STOPPED))


def restarted(fleet: Fleet, ids: Sequence[str]) -> Fleet:
    """Drain these and start them again, all at once; none named means all."""
    members = [fleet.known(id) for id in ids] or list(fleet.members)  # noqa: A001 -- as in A002
    rolling.refuse_during(fleet)
    for member in members:
        _refuse_leaving(fleet, member)
        fleet = fleet.with_member(member.told_to_end(After.START) if member.has_process else member.afresh())
    return fleet


def killable(fleet: Fleet, id: str) -> Member:
    """The replica, if a process of it can be ended by SIGKILL."""
    return _with_process(fleet.known(id), "kill")


def pausable(fleet: Fleet, id: str) -> Member:
    """The replica, if it can be frozen: in service, frozen already or not."""
    return _in_service(fleet, id, "can be paused")


def resumable(fleet: Fleet, id: str) -> Member:
    """The replica, if it has a process that can go on, frozen or not."""
    return _with_process(fleet.known(id), "resume")


def askable(fleet: Fleet, id: str, *, health: str = "") -> Member:
    """The replica, if it can hear what it is told: in service and not frozen.

    Raises:
        ValueError: `health` is none of `HEALTHS`, nor empty.
    """
    if health and health not in HEALTHS:
        raise ValueError(f"{health!r} is no health: {', '.join(HEALTHS)}")
    member = _in_service(fleet, id, "can be told anything")
    if member.paused:
        raise RefusedError(f"{id} is paused and hears nothing: 'lbdemo resume {id}' first")
    return member


def told_health(fleet: Fleet, id: str, health: str) -> Fleet:
    """The replica reports this health now, or its own again."""
    return fleet.with_member(replace(fleet.known(id), told_health=health))


def faulted(fleet: Fleet, id: str, fault: Fault, now: float) -> Fleet:
    """The replica has this fault now, or none."""
    over_at = now + fault.for_ms / 1000 if fault and fault.for_ms else 0.0
    return fleet.with_member(replace(fleet.known(id), fault=fault, fault_over_at=over_at))


def _refuse_leaving(fleet: Fleet, member: Member) -> None:
    if fleet.stopping:
        raise RefusedError(f"{member.id} is leaving: the cluster is going down")
    if member.retiring:
        raise RefusedError(f"{member.id} is leaving: it was scaled away")


def _with_process(member: Member, verb: str) -> Member:
    if not member.has_process:
        raise RefusedError(f"{member.id} {_without_process(member)}: there is no process to {verb}")
    return member


def _in_service(fleet: Fleet, id: str, what: str) -> Member:
    member = fleet.known(id)
    if member.phase is Phase.RUNNING:
        return member
    if member.phase is Phase.DRAINING:
        why = "the cluster is going down" if fleet.stopping else "it drains"
        raise RefusedError(f"{id} is going ({why}): only what is in service {what}")
    state = "is starting" if member.phase is Phase.STARTING else _without_process(member)
    raise RefusedError(f"{id} {state}: only what is in service {what}")


def _without_process(member: Member) -> str:
    match member.phase:
        case Phase.STOPPED:
            return f"is stopped ('lbdemo restart {member.id}' starts it)"
        case Phase.FAILED:
            return f"cannot start ({member.reason}; 'lbdemo restart {member.id}' tries again)"
        case _:
            return f"died ({member.reason or 'it starts again'}) and starts again soon"


def restart_result(before: Fleet, now: Fleet, ids: Sequence[str]) -> tuple[bool, str]:
    """Whether a restart of these is over, and what went wrong with it, one line.

    Args:
        before: The fleet when it was asked for.
        now: The fleet after that.
        ids: Whose; none named means all that there were.
    """
    over = True
    for old in [before.known(id) for id in ids] or before.members:  # noqa: A001 -- as in A002
        member = now.find(old.id)
        if member is None or member.retiring:
            return True, f"{old.id} does not come back: it was scaled away meanwhile"
        if member.phase is Phase.STOPPED or member.after is After.STOP:
            return True, f"{old.id} does not come back: it was drained meanwhile"
        if member.phase is Phase.FAILED:
            return True, f"{old.id} does not come up: {member.reason}"
        over = over and member.phase is Phase.RUNNING and member.after is None and member.restarts > old.restarts
    return over, ""
