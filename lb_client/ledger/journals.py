"""The replicas' side of the ledger: what each process wrote down, in arrays of 15 bytes an attempt. Values only."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field

OPEN, ANSWERED, ERROR, CANCELLED = range(4)
"""How an attempt ended on the replica, as cluster.proto numbers it."""


@dataclass(slots=True)
class ProcessJournal:
    """The attempts that reached one process of one replica.

    Attributes:
        replica: Its name.
        pid: The process.
        alive: Whether it still runs; None where nobody knows.
        ended_s: When it died (`time.monotonic`); None where it lives, or nobody knows.
        full: Whether attempts are missing for want of room.
        calls: For each attempt, the number of its call.
        earlier: The attempts before it.
        outcomes: How it ended.
        begins: When it came.
    """

    replica: str
    pid: int = 0
    alive: bool | None = None
    ended_s: float | None = None
    full: bool = False
    calls: array[int] = field(default_factory=lambda: array("I"))
    earlier: array[int] = field(default_factory=lambda: array("H"))
    outcomes: array[int] = field(default_factory=lambda: array("B"))
    begins: array[float] = field(default_factory=lambda: array("d"))

    def add(self, call: int, earlier: int, outcome: int, begin_s: float) -> None:
        """One attempt more."""
        self.calls.append(call)
        self.earlier.append(earlier)
        self.outcomes.append(outcome)
        self.begins.append(begin_s)

    def __len__(self) -> int:
        return len(self.calls)


@dataclass(frozen=True, slots=True)
class Journals:
    """All processes that wrote down something of a run.

    Attributes:
        processes: One for each.
        missing: Why attempts may be missing, in a few words; "" when they are all there.
    """

    processes: tuple[ProcessJournal, ...] = ()
    missing: str = ""

    @property
    def complete(self) -> bool:
        """Whether an attempt that is not here never reached a replica."""
        return not self.missing and not any(process.full for process in self.processes)

    @property
    def gap(self) -> str:
        """What is missing and why; "" for nothing."""
        full = sorted({process.replica for process in self.processes if process.full})
        return self.missing or (f"the journal of {', '.join(full)} is full" if full else "")
