"""What is kept of calls: one record for each, counts and latencies by backend, counts between membership changes.

Memory is bounded by the number of backends and changes, not by that of calls. What it all means is verdict.py's matter.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

from lb_client.stats import LatencyHistogram

SETTLE_S = 0.5
"""How long after a membership change picks are not judged: the change is on its way and new endpoints connect."""

LEAD_S = 0.3
"""How long before it they are not judged either: one hears of a change late, and a call may be picked late."""

SLICE_S = 0.1

MAX_SEGMENTS = 500
_MAX_FAILURES = 8


class CallRecord(NamedTuple):
    """One call that ended. A failure is a record like any other.

    Attributes:
        start_s: When it was due: as it was sent in a closed loop, as scheduled in an open one (`time.monotonic`).
        latency_s: From `start_s` to its end.
        status: The status code's name, `OK` for an answer.
        details: The status message, "" for an answer.
        replica: Who answered, as its metadata says; "" when nobody did or it did not say.
        address: The answering replica's announced address, likewise.
        previous_attempts: How many attempts gRPC had made before the one that ended the call.
        number: Its number among the named calls of a run; 0 for a call without a name.
    """

    start_s: float
    latency_s: float
    status: str = "OK"
    details: str = ""
    replica: str = ""
    address: str = ""
    previous_attempts: int = 0
    number: int = 0


@dataclass(slots=True)
class BackendTally:
    """What one backend did.

    Attributes:
        calls: Calls it ended, failed ones included.
        failed: Calls of these that ended with another status than OK.
        latency: Of its OK calls.
    """

    calls: int = 0
    failed: int = 0
    latency: LatencyHistogram = field(default_factory=LatencyHistogram)


@dataclass(slots=True)
class Segment:
    """Calls that started between two moments.

    Attributes:
        begin_s: From when on (`time.monotonic`).
        settled: Whether it is far enough from the last membership change to be judged.
        look: Index of the membership that held.
        counts: Calls by (replica, address); ("", "") holds those that nobody is known to have answered.
    """

    begin_s: float
    settled: bool
    look: int
    counts: dict[tuple[str, str], int] = field(default_factory=dict)


@dataclass(slots=True)
class _Slice:
    """The latest calls, held back from their segment until no change can be heard of that came before them."""

    begin_s: float
    end_s: float
    counts: dict[tuple[str, str], int]

    @classmethod
    def none(cls) -> _Slice:
        return cls(math.inf, -math.inf, {})


def _add_counts(into: dict[tuple[str, str], int], counts: dict[tuple[str, str], int]) -> None:
    for key, number in counts.items():
        into[key] = into.get(key, 0) + number


class CallRecorder:
    """Takes records, keeps sums. Used on one loop; not thread-safe.

    Attributes:
        calls: All calls that ended.
        failed: Those with another status than OK.
        retried: Those that took more than one attempt.
        statuses: Count by status code's name.
        failures: The first few distinct (status, details), with their counts.
        backends: Tally by (replica, address); ("", "") where nobody is known to have answered.
        hold_s: How late one may hear of a change: calls of so long can still be told apart by when they began.
    """

    def __init__(self) -> None:
        self.hold_s = 2 * LEAD_S
        self.calls = 0
        self.failed = 0
        self.retried = 0
        self.statuses: dict[str, int] = {}
        self.failures: dict[tuple[str, str], int] = {}
        self.backends: dict[tuple[str, str], BackendTally] = {}
        self._segments = [Segment(-math.inf, settled=True, look=0)]
        self._slices: deque[_Slice] = deque()  # the latest calls, by time; those before LEAD_S ago are in segments
        self._slice = _Slice.none()  # the last of them

    @property
    def segments(self) -> tuple[Segment, ...]:
        """In the order of time. The first begins with the run and counts as settled: warm-up went before it."""
        for piece in self._slices:
            self._keep(piece)
            piece.counts.clear()
        return tuple(self._segments)

    def add(self, record: CallRecord) -> None:
        """Count one call."""
        start_s, latency_s, status, _, replica, address, previous_attempts, _ = record
        key = (replica, address)
        self.calls += 1
        self.statuses[status] = self.statuses.get(status, 0) + 1
        tally = self.backends.get(key)
        if tally is None:
            tally = self.backends[key] = BackendTally()
        tally.calls += 1
        if status == "OK":
            tally.latency.add(latency_s)
        else:
            tally.failed += 1
            self._add_failure(record)
        if previous_attempts:
            self.retried += 1
        if start_s >= self._slice.end_s:
            self._begin_slice(start_s)
        counts = self._slice.counts if start_s >= self._slice.begin_s else self._counts_at(start_s)
        counts[key] = counts.get(key, 0) + 1

    def mark(self, at_s: float, look: int) -> None:
        """The membership changed at `at_s` to the look of that index; calls from then on are counted apart.

        Marks come in the order of time. From MAX_SEGMENTS on they are ignored, and what follows is not judged.
        """
        if len(self._segments) >= MAX_SEGMENTS:
            self._segments[-1].settled = False
            return
        touched = [piece for piece in self._slices if piece.end_s > at_s - LEAD_S]
        for piece in self._slices:
            if piece not in touched:
                self._keep(piece)
        begin_s = min([at_s, *(piece.begin_s for piece in touched)])
        changing = Segment(begin_s, settled=False, look=look)
        while self._segments[-1].begin_s >= begin_s:
            _add_counts(changing.counts, self._segments.pop().counts)
        for piece in touched:
            _add_counts(changing.counts, piece.counts)
        self._segments += [changing, Segment(at_s + SETTLE_S, settled=True, look=look)]
        self._slices.clear()
        self._slice = _Slice.none()

    def _begin_slice(self, start_s: float) -> None:
        while self._slices and self._slices[0].end_s < start_s - self.hold_s:
            self._keep(self._slices.popleft())
        tick_s = start_s // SLICE_S * SLICE_S
        # It does not reach over the border of a segment.
        begin_s = max(tick_s, *(s.begin_s for s in self._segments[-2:] if s.begin_s <= start_s), -math.inf)
        end_s = min(tick_s + SLICE_S, *(s.begin_s for s in self._segments[-2:] if s.begin_s > start_s), math.inf)
        self._slice = _Slice(begin_s, end_s, {})
        self._slices.append(self._slice)

    def _keep(self, piece: _Slice) -> None:
        if piece.counts:
            _add_counts(self._segment_at(piece.begin_s).counts, piece.counts)

    def _counts_at(self, start_s: float) -> dict[tuple[str, str], int]:
        # Calls end in another order than they start: this one began before the slice in hand.
        for piece in reversed(self._slices):
            if piece.begin_s <= start_s < piece.end_s:
                return piece.counts
        return self._segment_at(start_s).counts

    def _segment_at(self, start_s: float) -> Segment:
        return next(segment for segment in reversed(self._segments) if segment.begin_s <= start_s)

    def _add_failure(self, record: CallRecord) -> None:
        self.failed += 1
        key = (record.status, record.details)
        if key in self.failures or len(self.failures) < _MAX_FAILURES:
            self.failures[key] = self.failures.get(key, 0) + 1

    @property
    def latency(self) -> LatencyHistogram:
        """Of all OK calls."""
        total = LatencyHistogram()
        for tally in self.backends.values():
            total.merge(tally.latency)
        return total
