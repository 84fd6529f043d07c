"""One replica of a fleet as a value: where it is in its life, and what is done to it. No process and no clock here."""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace

from backends.fault import NO_FAULT, Fault
from backends.layout import FIRST_VERSION
from backends.phase import Phase


class After(enum.Enum):
    """What comes after an end that the replica was told."""

    LEAVE = "leave"
    """It is gone, and its number is free."""
    STOP = "stop"
    """It keeps its number, and no process runs."""
    START = "start"
    """It starts again at once."""


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
        due_at: BACKING_OFF: when to start it again. Told to end: when to kill it. Else 0.
        after: What comes after the end that it was told; None when it was told none.
        overstayed: It did not end in time, and is killed.
        cut_off: One line: which calls its drain did not wait for; "" for none.
        doomed: It said itself that it cannot start.
        reason: One line: why it is BACKING_OFF or FAILED, or how it ended otherwise than asked.
        paused: Its process is frozen.
        told_health: The health that it was told to report; "" for its own.
        fault: What goes wrong with its calls on purpose.
        fault_over_at: When that ends by itself; 0 for never.
        version: Which version of the service it runs.
        spare: It serves in the place of others while they are restarted one after the other.
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
    after: After | None = None
    overstayed: bool = False
    cut_off: str = ""
    doomed: bool = False
    reason: str = ""
    paused: bool = False
    told_health: str = ""
    fault: Fault = NO_FAULT
    fault_over_at: float = 0.0
    version: str = FIRST_VERSION
    spare: bool = False

    @property
    def id(self) -> str:
        """The replica's name in its cluster."""
        return f"r{self.number}"

    @property
    def has_process(self) -> bool:
        """Whether a process runs, or was asked for."""
        return self.phase in (Phase.STARTING, Phase.RUNNING, Phase.DRAINING)

    @property
    def retiring(self) -> bool:
        """Whether it was told to stop for good."""
        return self.after is After.LEAVE

    @property
    def answers(self) -> bool:
        """Whether it is in service and not frozen."""
        return self.phase is Phase.RUNNING and not self.paused

    def told_to_end(self, after: After) -> Member:
        """The same, to end; `decide` tells its process. One that ends already only gets another aim."""
        return replace(self, after=after)

    def afresh(self) -> Member:
        """The same without a process and without a past, to be started at once."""
        return replace(self.without_past(), phase=Phase.BACKING_OFF)

    def without_past(self) -> Member:
        """What remains of it when its process has ended."""
        return Member(number=self.number, version=self.version, restarts=self.restarts, spare=self.spare)
