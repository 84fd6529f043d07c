"""A rolling restart as a value: which replica is next, and whether it may go. Plain functions over the fleet.

One *spare* more than wanted is started first and serves in the place of each in turn. So every replica keeps its name,
at every moment as many serve as did before, and however many there are, one process is started more than there are.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from backends.cluster_errors import RefusedError
from backends.member import After
from backends.phase import Phase

if TYPE_CHECKING:
    from collections.abc import Sequence

    from backends.fleet import Fleet

PATIENCE_S = 30.0
"""How long one replica may take to serve, and the roll may wait for room; then it has failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Roll:
    """One rolling restart.

    Attributes:
        todo: The replicas that come yet, by name; those of one version together.
        now: Which is restarted now; "" between two.
        done: Those that serve again.
        floors: How many of each version have to serve at every moment.
        due_at: When patience ends with what is waited for now; 0 when it has not begun.
        cancelled: Whoever asked for it has left: it ends after the one at hand.
        over: It goes on no more.
        error: Why it ended before all were done, one line; "" if it did not.
    """

    todo: tuple[str, ...]
    now: str = ""
    done: tuple[str, ...] = ()
    floors: tuple[tuple[str, int], ...] = ()
    due_at: float = 0.0
    cancelled: bool = False
    over: bool = False
    error: str = ""

    @property
    def progress(self) -> str:
        """How far it is, in a few words."""
        return f"{len(self.done)} of {len(self.done) + bool(self.now) + len(self.todo)} done"


def begun(fleet: Fleet, ids: Sequence[str] = ()) -> Fleet:
    """Restart these one after the other, or all that are not stopped.

    Raises:
        UnknownReplicaError, RefusedError: It cannot be done; the line says why.
    """
    refuse_during(fleet)
    chosen = [fleet.known(name) for name in dict.fromkeys(ids)]
    for member in chosen:
        if member.retiring:
            raise RefusedError(f"{member.id} is leaving: it was scaled away")
    if not ids:
        able = (Phase.RUNNING, Phase.BACKING_OFF, Phase.FAILED)
        chosen = [m for m in fleet.members if m.phase in able and not m.spare]
    if not chosen:
        raise RefusedError("no replica runs that could be replaced: 'lbdemo restart R' starts what is stopped")
    versions = list(fleet.wanted_of)
    chosen.sort(key=lambda m: versions.index(m.version))
    floors = tuple(
        (name, sum(m.answers and not m.spare and m.version == name for m in fleet.members)) for name in versions
    )
    return replace(fleet, roll=Roll(todo=tuple(m.id for m in chosen), floors=floors))


def active(fleet: Fleet) -> Roll | None:
    """The rolling restart that goes on, if one does."""
    return None if fleet.roll is None or fleet.roll.over else fleet.roll


def refuse_during(fleet: Fleet) -> None:
    """Refuse what cannot be done in the middle of a rolling restart.

    Raises:
        RefusedError: One goes on.
    """
    if roll := active(fleet):
        raise RefusedError(
            f"a rolling restart goes on ({roll.progress}): wait for its end, or end it with Ctrl-C where it runs"
        )


def cancelled(fleet: Fleet) -> Fleet:
    """Whoever asked for the roll has left: no further replica begins."""
    roll = active(fleet)
    return fleet if roll is None else replace(fleet, roll=replace(roll, cancelled=True))


def spare_version(fleet: Fleet) -> str | None:
    """Of which version there has to be a spare now: that of the replica at hand."""
    if (roll := active(fleet)) and (member := fleet.find(roll.now or next(iter(roll.todo), ""))):
        return member.version
    return None


def stepped(fleet: Fleet, now: float) -> Fleet:
    """The roll as far as it can go now: one replica more is done, or told to end, or the roll is over."""
    roll = active(fleet)
    if roll is None:
        return fleet
    member = fleet.find(roll.now)
    if not roll.now or member is None or member.phase is Phase.STOPPED:
        pass
    elif member.phase is Phase.RUNNING and member.after is None:
        roll = replace(roll, done=(*roll.done, roll.now))
    elif member.phase is Phase.FAILED:
        return _failed(fleet, f"{member.id} does not come up: {member.reason}")
    elif now >= roll.due_at:
        return _failed(fleet, f"{member.id} does not serve within {PATIENCE_S:g} s")
    else:
        return fleet
    if roll.now:
        roll = replace(roll, now="", due_at=0.0)
    todo = tuple(name for name in roll.todo if (found := fleet.find(name)) is not None and not found.retiring)
    roll = replace(roll, todo=todo, over=not todo)
    return _next(replace(fleet, roll=roll), roll, now) if todo else replace(fleet, roll=roll)


def _next(fleet: Fleet, roll: Roll, now: float) -> Fleet:
    """Let the next replica go if enough others serve; else wait, but not for ever."""
    member = fleet.known(roll.todo[0])
    failed = next((m for m in fleet.spares if m.version == member.version and m.phase is Phase.FAILED), None)
    if roll.cancelled:
        return _failed(fleet, "interrupted")
    if failed is not None:
        return _failed(fleet, f"the spare {failed.id} does not come up: {failed.reason}")
    answering = sum(m.answers and m.after is None and m.version == member.version for m in fleet.members)
    if answering - member.answers >= dict(roll.floors)[member.version]:
        ended = member.told_to_end(After.START) if member.has_process else member.afresh()
        limit_s = fleet.drain_limit_s + PATIENCE_S
        return replace(
            fleet.with_member(ended), roll=replace(roll, now=member.id, todo=roll.todo[1:], due_at=now + limit_s)
        )
    if not roll.due_at:
        return replace(fleet, roll=replace(roll, due_at=now + PATIENCE_S))
    if now >= roll.due_at:
        why = f"nobody serves in the place of {member.id} within {PATIENCE_S:g} s"
        frozen = [m.id for m in fleet.members if m.paused and m.version == member.version and m is not member]
        if frozen:
            why += f", and {', '.join(frozen)} {'is' if len(frozen) == 1 else 'are'} paused"
        return _failed(fleet, why)
    return fleet


def _failed(fleet: Fleet, why: str) -> Fleet:
    roll = fleet.roll
    assert roll is not None  # noqa: S101 -- the callers'
    rest = f"; {', '.join(roll.todo)} as before" if roll.todo else ""
    done = f"{', '.join(roll.done)} done" if roll.done else "none done"
    return replace(fleet, roll=replace(roll, now="", todo=(), over=True, error=f"{why} ({done}{rest})"))
