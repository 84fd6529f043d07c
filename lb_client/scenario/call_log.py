"""Every call of a play, a few bytes each, so that any window of it can be looked at afterwards. Judges nothing."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, NamedTuple

from lb_client.records import CallRecorder

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from lb_client.records import CallRecord


class Call(NamedTuple):
    """One call that ended.

    Attributes:
        start_s: When it was due (`time.monotonic`).
        end_s: When it ended.
        status: The status code's name.
        replica: Who ended it, or had it when it failed; "" where nobody knows.
        attempts: How many attempts gRPC had made before the last.
    """

    start_s: float
    end_s: float
    status: str
    replica: str
    attempts: int = 0


class CallLog(CallRecorder):
    """Takes records as a recorder does, and keeps each: 24 bytes a call. Used on one loop."""

    def __init__(self) -> None:
        super().__init__()
        self._starts = array("d")
        self._latencies = array("d")
        self._kinds = array("H")
        self._attempts = array("B")
        self._numbers = array("I")
        self._known: dict[tuple[str, str], int] = {}
        self._found: Mapping[int, str] = {}

    def add(self, record: CallRecord) -> None:
        """Count and keep one call."""
        super().add(record)
        # By what can repeat: as many kinds as there are replicas times statuses.
        kind = self._known.setdefault((record.status, record.replica or record.address), len(self._known))
        self._starts.append(record.start_s)
        self._latencies.append(record.latency_s)
        self._kinds.append(kind)
        self._attempts.append(min(255, record.previous_attempts))
        self._numbers.append(record.number)

    def attribute(self, found: Mapping[int, str]) -> None:
        """Where calls were that nobody answered, by their numbers: what the ledger has found out since."""
        self._found = found

    def between(self, begin_s: float, end_s: float) -> Iterator[Call]:
        """The calls that started then, in the order in which they ended."""
        kinds = list(self._known)
        columns = (self._starts, self._latencies, self._kinds, self._attempts, self._numbers)
        for start_s, latency_s, kind, attempts, number in zip(*columns, strict=True):
            if begin_s <= start_s < end_s:
                status, replica = kinds[kind]
                replica = replica or self._found.get(number, "")
                yield Call(start_s, start_s + latency_s, status, replica, attempts)
