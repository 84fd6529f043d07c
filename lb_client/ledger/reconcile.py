"""The reconciled ledger: the client's book against the replicas' journals, each call accounted for. Pure."""

from __future__ import annotations

from array import array
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lb_client.ledger.journals import ANSWERED, CANCELLED, ERROR, OPEN
from lb_client.membership import natural_key

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lb_client.ledger.book import CallBook
    from lb_client.ledger.journals import Journals, ProcessJournal

NEAR_S = 0.1
"""A call that ended so soon after a replica died may have been on its way there."""


_KINDS = {OPEN: "unfinished", ANSWERED: "answer-lost", ERROR: "error-lost", CANCELLED: "cancelled"}


@dataclass(frozen=True, slots=True, order=True)
class Fate:
    """What became of calls that were not answered well.

    Attributes:
        kind: `refused` a replica answered with an error; `in-flight` it was at work when its replica died;
            `answer-lost` a replica answered, and the answer did not arrive; `error-lost` the same for an error, or it
            was tried again and reached nobody; `cancelled` the replica was told to give it up; `late` it reached the
            replica when the client had given up; `unfinished` a replica was still at work; `on-its-way` it reached no
            replica, and one died meanwhile; `never-arrived` it reached no replica; `unknown` nobody can tell.
        replica: Where; "" where nobody knows.
        status: How it ended for the client; "" for a call that was cut off.
        details: The status message.
    """

    kind: str
    replica: str = ""
    status: str = ""
    details: str = ""


@dataclass(frozen=True, slots=True)
class ReplicaLine:
    """One replica's line of the ledger.

    Attributes:
        replica: Its name.
        processes: How many processes of it wrote something down; 0 for one that keeps no journal.
        attempts: Attempts that reached it.
        answered: Of these, those that it answered well.
        errors: Those that it answered with an error.
        cancelled: Those that it was told to give up.
        open: Those without an end: it was at work, or died in the middle.
        taken: Calls that the client has from it, errors included.
    """

    replica: str
    processes: int
    attempts: int
    answered: int
    errors: int
    cancelled: int
    open: int
    taken: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """What became of every call of a run, and of every attempt.

    Attributes:
        run: The run's name.
        recorded: Whether any replica wrote anything down.
        gap: Why something may be missing; "" when nothing is.
        sent: Calls that were sent and are in the ledger.
        answered: Those that were answered well.
        failed: Those that ended otherwise.
        cut_off: Those that the client gave up at the end of the run.
        retried: Those that took more than one attempt.
        attempts: Attempts that reached replicas.
        answered_twice: Calls that replicas answered well more than once: a retry that was not needed.
        executed_unanswered: Calls that a replica answered well, and whose answer never reached the client.
        never_arrived: Calls that reached no replica; None where nobody can tell.
        lost: Failed calls that the client has no answer of at all, not even an error from a replica.
        unaccounted: Calls whose fate nobody can tell, and answers that no journal knows of.
        beyond: Calls after the last that could be named; they are in no other figure.
        fates: What became of failed and cut off calls, with how many each, the most frequent first.
        replicas: One line for each, r2 before r10.
    """

    run: str
    recorded: bool
    gap: str
    sent: int
    answered: int
    failed: int
    cut_off: int
    retried: int
    attempts: int
    answered_twice: int
    executed_unanswered: int
    never_arrived: int | None
    lost: int
    unaccounted: int
    beyond: int
    fates: tuple[tuple[Fate, int], ...]
    replicas: tuple[ReplicaLine, ...]


class Trail:
    """The attempts of each call, found by the call's number.

    Attributes:
        arrived: How many attempts reached a replica.
        answered: How many of them were answered well.
        outcome: How the last of them ended.
        begin_s: When it came.
    """

    def __init__(self, journals: Journals, sent: int) -> None:
        size = sent + 1
        self.arrived = array("H", bytes(2 * size))
        self.answered = array("B", bytes(size))
        self.outcome = array("B", bytes(size))
        self.begin_s = array("d", bytes(8 * size))
        self._where = array("H", bytes(2 * size))
        self._processes = journals.processes
        for index, process in enumerate(journals.processes[:65_535]):
            self._take(index, process, size)

    def _take(self, index: int, process: ProcessJournal, size: int) -> None:
        columns = zip(process.calls, process.earlier, process.outcomes, process.begins, strict=True)
        for call, _earlier, outcome, begin_s in columns:
            if call >= size:
                continue
            self.arrived[call] = min(self.arrived[call] + 1, 65_535)
            if outcome == ANSWERED:
                self.answered[call] = min(self.answered[call] + 1, 255)
            # The last is the one that came last: attempts of one call follow each other.
            if begin_s >= self.begin_s[call]:
                self.begin_s[call], self.outcome[call], self._where[call] = begin_s, outcome, index

    def process(self, call: int) -> ProcessJournal | None:
        """The process that got the call's last attempt; None where none did."""
        return self._processes[self._where[call]] if self.arrived[call] else None


def reconcile(
    run: str, book: CallBook, sent: int, journals: Journals, *, deaths: Sequence[tuple[float, str]] = ()
) -> tuple[Ledger, Trail, Mapping[int, Fate]]:
    """Account for every call.

    Args:
        run: The run's name.
        book: How the client saw its calls end.
        sent: How many calls were named: their numbers are 1 to this.
        journals: What the replicas wrote down.
        deaths: (moment, replica) of each that died meanwhile.

    Returns:
        The ledger, the attempts by call, and the fate of each call that was not answered well.
    """
    trail, keepers = Trail(journals, sent), {process.replica for process in journals.processes}
    # Who answers and wrote nothing down may have had more calls than it answered: no word then of what never arrived.
    silent = sorted({replica for call in book.ended() if (replica := book.backend(call)[0])} - keepers)
    gap = journals.gap or (f"no journal of {', '.join(silent)}" if silent else "")
    complete = not gap
    answered = failed = cut_off = retried = twice = executed = lost = unaccounted = never = 0
    fates: dict[int, Fate] = {}
    taken: Counter[str] = Counter()
    for call in range(1, sent + 1):
        status, details = book.status(call)
        replica = book.backend(call)[0]
        arrived, well = trail.arrived[call], trail.answered[call]
        if replica:
            taken[replica] += 1
        if book.attempts(call) or arrived > 1:
            retried += 1
        if well > 1:
            twice += 1
        if status == "OK":
            answered += 1
            if not arrived and journals.complete and replica in keepers:
                unaccounted += 1
            continue
        if status:
            failed += 1
        else:
            cut_off += 1
        ending, near = (status, details), died_meanwhile(book, call, deaths)
        fate = _fate(call, book.end_s(call), ending, replica, trail, complete=complete, deaths=near)
        fates[call] = fate
        executed += well > 0
        lost += bool(status) and fate.kind != "refused"
        never += not arrived and not replica
        unaccounted += fate.kind == "unknown"
    counted = sorted(Counter(fates.values()).items(), key=lambda item: (-item[1], item[0]))
    ledger = Ledger(
        run=run,
        recorded=bool(journals.processes),
        gap=gap,
        sent=sent,
        answered=answered,
        failed=failed,
        cut_off=cut_off,
        retried=retried,
        attempts=sum(len(process) for process in journals.processes),
        answered_twice=twice,
        executed_unanswered=executed,
        never_arrived=never if complete else None,
        lost=lost,
        unaccounted=unaccounted,
        beyond=book.unnamed,
        fates=tuple(counted),
        replicas=_lines(journals, taken),
    )
    return ledger, trail, fates


def _fate(
    call: int,
    end_s: float,
    ending: tuple[str, str],
    replica: str,
    trail: Trail,
    *,
    complete: bool,
    deaths: Sequence[str],
) -> Fate:
    status, details = ending
    if replica:
        return Fate("refused", replica, status, details)
    process = trail.process(call)
    if process is not None:
        kind = _KINDS.get(trail.outcome[call], "unknown")  # a damaged journal's
        if kind == "unfinished" and _died_under(process, end_s):
            kind = "in-flight"
        elif kind == "unfinished" and 0 < end_s < trail.begin_s[call]:
            kind = "late"
        return Fate(kind, process.replica, status, details)
    if len(deaths) == 1:
        return Fate("on-its-way", deaths[0], status, details)
    return Fate("never-arrived" if complete else "unknown", "", status, details)


def _died_under(process: ProcessJournal, end_s: float) -> bool:
    """Whether the process had died by the time that the client heard; a call that was cut off has no such time."""
    if process.ended_s is None:
        return process.alive is False
    return not end_s or process.ended_s <= end_s + NEAR_S


def died_meanwhile(book: CallBook, call: int, deaths: Sequence[tuple[float, str]]) -> list[str]:
    """Who died while the call was under way, or so shortly before its end that nobody had heard of it."""
    if not deaths or not (end_s := book.end_s(call)):
        return []
    start_s = book.start_s(call)
    return sorted({replica for at_s, replica in deaths if start_s - NEAR_S <= at_s <= end_s + NEAR_S})


def _lines(journals: Journals, taken: Mapping[str, int]) -> tuple[ReplicaLine, ...]:
    outcomes: dict[str, Counter[int]] = {replica: Counter() for replica in taken}
    processes: Counter[str] = Counter()
    for process in journals.processes:
        outcomes.setdefault(process.replica, Counter()).update(process.outcomes)
        processes[process.replica] += 1
    return tuple(
        ReplicaLine(
            replica=replica,
            processes=processes[replica],
            attempts=sum(found.values()),
            answered=found[ANSWERED],
            errors=found[ERROR],
            cancelled=found[CANCELLED],
            open=found[OPEN],
            taken=taken.get(replica, 0),
        )
        for replica, found in sorted(outcomes.items(), key=lambda item: natural_key(item[0], ""))
    )
