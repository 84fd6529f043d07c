"""What changed between two states of the fleet, as lines for the supervisor's log. Plain text, no process here."""

from __future__ import annotations

import logging
import signal
from typing import TYPE_CHECKING

from backends.fleet import Phase, backoff_s

if TYPE_CHECKING:
    from backends.fleet import Fleet, Member


def transitions(before: Fleet, after: Fleet) -> list[tuple[int, str]]:
    """What changed between two fleets that is worth a line in the log, with its level."""
    known = {m.id: m for m in before.members}
    lines = []
    for member in after.members:
        old = known.pop(member.id, None)
        if old is None or old.phase is not member.phase:
            lines.append(_transition(member))
    lines += [(logging.INFO, f"{name} is gone") for name in known]
    return lines


def _transition(member: Member) -> tuple[int, str]:
    match member.phase:
        case Phase.STARTING:
            return logging.INFO, f"{member.id} starts" + (f" again ({member.restarts})" if member.restarts else "")
        case Phase.RUNNING:
            return logging.INFO, f"{member.id} serves at {member.address}, pid {member.pid}"
        case Phase.DRAINING:
            return logging.INFO, f"{member.id} drains"
        case Phase.BACKING_OFF:
            wait = f"; next start in {backoff_s(member.deaths):g} s" if member.deaths else ""
            return logging.WARNING, f"{member.id} {member.reason or 'gets another try'}{wait}"
        case Phase.FAILED:
            return logging.ERROR, f"{member.id} failed: {member.reason}"
        case Phase.STOPPED:
            return logging.INFO, f"{member.id} is stopped"


def signal_name(number: int) -> str:
    """SIGKILL for 9; real-time signals have numbers only."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
