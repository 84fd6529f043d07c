"""What changed between two states of the fleet, as events and as lines for the supervisor's log. Pure text."""

from __future__ import annotations

import logging
import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING

from backends import rolling
from backends.fleet import backoff_s
from backends.member import After
from backends.phase import Phase

if TYPE_CHECKING:
    from collections.abc import Iterator

    from backends.fleet import Fleet, Member


@dataclass(frozen=True, slots=True)
class News:
    """One thing that happened.

    Attributes:
        kind: As in `lbdemo.v1.ClusterEvent`.
        replica: Its name; "" for the cluster as a whole.
        address: Where it serves, or served.
        detail: One line, where there is more to say.
        line: The whole of it, for the log.
        level: Of that line.
    """

    kind: str
    replica: str = ""
    address: str = ""
    detail: str = ""
    line: str = ""
    level: int = logging.INFO


def transitions(before: Fleet, after: Fleet) -> list[News]:
    """What changed between two fleets and is worth telling. How a replica ended on our word, `ending` tells."""
    news = []
    known = {m.id: m for m in before.members}
    for member in after.members:
        old = known.pop(member.id, None)
        if old is None or old.phase is not member.phase:
            news.append(_phase(member, old))
        elif old.pid == member.pid:
            news += _acts(old, member)
    # At the same moment: the one that serves now is why another may go.
    news.sort(key=lambda each: each.kind != "serving")
    gone = [News("stopped", m.id, m.address, "", f"{m.id} is gone") for m in known.values() if not m.has_process]
    return [*_orders(before, after), *news, *gone, *_ends(before, after)]


def ending(member: Member, *, code: int | None, why: str, stopping: bool) -> News | None:
    """How a replica ended that was told to end; None for a death out of the blue, which its next phase tells."""
    if member.after is None and not stopping:
        return None
    if code == 0 or not member.address:
        gone = stopping or member.after is After.LEAVE
        detail = member.cut_off if member.address else "before it served"
        line = f"{member.id} {'is gone' if gone else 'has drained'}"
        if member.cut_off:
            return News("drained", member.id, member.address, detail, f"{line}; {detail}", logging.WARNING)
        return News("drained", member.id, member.address, detail, f"{line} {detail}".rstrip())
    how = f"{why}: it did not end in time" if member.overstayed else f"{why} while it drained"
    return News("died", member.id, member.address, how, f"{member.id} {how}; its calls are lost", logging.WARNING)


def _orders(before: Fleet, after: Fleet) -> Iterator[News]:
    several = len(before.wanted_of) > 1 or len(after.wanted_of) > 1
    for version in {**before.wanted_of, **after.wanted_of}:
        was, wanted = before.wanted_of.get(version, 0), after.wanted_of.get(version, 0)
        if was != wanted:
            line = f"{wanted} replicas{f' of {version}' if several else ''} are wanted, {was} were"
            yield News("scaled", detail=line, line=line)
    shares, were = ({v.name: v.share for v in fleet.others} for fleet in (after, before))
    for version, share in shares.items():
        if share is not None and share != were.get(version):
            line = f"{version} gets {share:g} % of the calls"
            yield News("scaled", detail=line, line=line)
    roll = rolling.active(after)
    if roll is not None and rolling.active(before) is None:
        names = ", ".join(roll.todo if not roll.now else (roll.now, *roll.todo))
        yield News("rolling-begun", detail=names, line=f"rolling restart of {names}")


def _ends(before: Fleet, after: Fleet) -> Iterator[News]:
    roll = after.roll
    if roll is None or not roll.over or rolling.active(before) is None:
        return
    if roll.error:
        yield News("rolling-failed", detail=roll.error, line=f"rolling restart: {roll.error}", level=logging.WARNING)
    else:
        names = ", ".join(roll.done)
        yield News("rolling-done", detail=names, line=f"rolling restart: {names} done")


def _acts(old: Member, member: Member) -> Iterator[News]:
    name, address = member.id, member.address
    if member.paused is not old.paused:
        if member.paused:
            yield News("paused", name, address, "", f"{name} is frozen", logging.WARNING)
        else:
            yield News("resumed", name, address, "", f"{name} goes on")
    if member.told_health != old.told_health:
        what = f"told to report {member.told_health}" if member.told_health else "reports its own health again"
        yield News(
            "health", name, address, what, f"{name}: {what}", logging.WARNING if member.told_health else logging.INFO
        )
    if (member.fault, member.fault_over_at) != (old.fault, old.fault_over_at):
        if member.fault:
            span = f", for {member.fault.for_ms / 1000:g} s" if member.fault.for_ms else ""
            what = f"{member.fault}{span}"
            yield News("fault", name, address, what, f"{name} has a fault: {what}", logging.WARNING)
        else:
            yield News("fault-over", name, address, "", f"{name} has no fault any more")


def _phase(member: Member, old: Member | None) -> News:
    name, address = member.id, member.address
    match member.phase:
        case Phase.STARTING:
            again = f"again ({member.restarts})" if member.restarts else ""
            spare = "in the place of those that are restarted" if member.spare and not again else ""
            what = again or spare
            return News("starting", name, "", what, f"{name} starts {what}".rstrip())
        case Phase.RUNNING:
            return News("serving", name, address, f"pid {member.pid}", f"{name} serves at {address}, pid {member.pid}")
        case Phase.DRAINING:
            aim = {None: "", After.LEAVE: "to leave", After.STOP: "to be stopped", After.START: "to be started again"}
            return News("drain-begun", name, address, aim[member.after], f"{name} drains")
        case Phase.BACKING_OFF:
            wait = f"; next start in {backoff_s(member.deaths):g} s" if member.deaths else ""
            why = f"{member.reason or 'gets another try'}{wait}"
            kind = "died" if member.deaths else ""
            if old is not None and old.phase is Phase.DRAINING and member.reason == "exited with code 0":
                kind = "drained"  # by a signal of somebody else's
            return News(kind, name, old.address if old else "", why, f"{name} {why}", logging.WARNING)
        case Phase.FAILED:
            return News("failed", name, "", member.reason, f"{name} failed: {member.reason}", logging.ERROR)
        case Phase.STOPPED:
            return News("stopped", name, "", member.reason, f"{name} is stopped")


def signal_name(number: int) -> str:
    """SIGKILL for 9; real-time signals have numbers only."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
