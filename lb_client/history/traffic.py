"""Traffic in slices of time: how many calls ended, by backend, how many failed, how long they took. Bounded. Pure.

Slices double their width when there are too many: any run fits. A call is counted when it ends, so that what broke it
stands above the failure and not beside it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from lb_client.membership import natural_key
from lb_client.stats import LatencyHistogram

if TYPE_CHECKING:
    from lb_client.records import CallRecord

FIRST_WIDTH_S = 0.05
MOST_SLICES = 300
MOST_BACKENDS = 64
"""Backends that have a row of their own; all others share one."""

OTHERS = ("", "others")

Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Traffic:
    """What was counted.

    Attributes:
        begin_s: Where the first slice begins (`time.monotonic`).
        width_s: Of one slice.
        calls: By (replica, address), calls in each slice; ("", "") where nobody is known to have answered.
        failed: The same, for those of them that failed; only backends with failures.
        latency: Of the OK calls in each slice.
    """

    begin_s: float
    width_s: float
    calls: dict[Key, list[int]]
    failed: dict[Key, list[int]]
    latency: list[LatencyHistogram]

    @property
    def slices(self) -> int:
        """How many there are."""
        return len(self.latency)

    def ordered(self) -> list[tuple[Key, list[int]]]:
        """The rows of `calls`: r2 before r10, what has no name last."""
        return sorted(self.calls.items(), key=lambda item: natural_key(*item[0]))

    def total(self) -> list[int]:
        """All calls in each slice."""
        return [sum(row[index] for row in self.calls.values()) for index in range(self.slices)]

    def failures(self) -> list[int]:
        """All failed calls in each slice."""
        return [sum(row[index] for row in self.failed.values()) for index in range(self.slices)]

    def but_the_last(self) -> Traffic:
        """The same without the slice that is still being filled."""
        calls, failed = ({key: row[:-1] for key, row in rows.items()} for rows in (self.calls, self.failed))
        return replace(self, calls=calls, failed=failed, latency=self.latency[:-1])

    def coarser(self, most: int) -> Traffic:
        """The same in at most so many slices, each as wide as a whole number of these."""
        by = -(-self.slices // most) if self.slices > most else 1
        if by == 1:
            return self
        starts = range(0, self.slices, by)
        latency = [LatencyHistogram() for _ in starts]
        for number, histogram in enumerate(self.latency):
            latency[number // by].merge(histogram)
        calls, failed = (
            {key: [sum(row[start : start + by]) for start in starts] for key, row in rows.items()}
            for rows in (self.calls, self.failed)
        )
        return Traffic(self.begin_s, self.width_s * by, calls, failed, latency)


@dataclass(slots=True)
class _Slice:
    calls: dict[Key, int] = field(default_factory=dict)
    failed: dict[Key, int] = field(default_factory=dict)
    latency: LatencyHistogram = field(default_factory=LatencyHistogram)


class TrafficRecorder:
    """Takes records, keeps slices. Used on one loop.

    Args:
        begin_s: Where the first slice begins.
        width_s: Of a slice at first.
        most: How many slices there may be.
        with_latency: Whether to keep latencies too.

    Attributes:
        begin_s: As given; may be set as long as nothing was recorded.
    """

    def __init__(
        self,
        begin_s: float = 0.0,
        *,
        width_s: float = FIRST_WIDTH_S,
        most: int = MOST_SLICES,
        with_latency: bool = True,
    ) -> None:
        self.begin_s = begin_s
        self._with_latency = with_latency
        self._slice = _Slice()
        self._from_s = self._to_s = 0.0  # of `_slice`: none yet
        self._width_s = width_s
        self._most = most
        self._slices: list[_Slice] = []
        self._keys: set[Key] = set()

    def add(self, record: CallRecord) -> None:
        """Count one call that ended."""
        start_s, latency_s, status, _, replica, address, _, _ = record
        end_s = start_s + latency_s
        # Looking for the slice is dearer than staying in it.
        piece = self._slice if self._from_s <= end_s < self._to_s else self._find(end_s)
        key = (replica, address)
        if key in piece.calls:
            piece.calls[key] += 1
        else:
            piece.calls[self._key(key)] = piece.calls.get(self._key(key), 0) + 1
        if status != "OK":
            key = self._key(key)
            piece.failed[key] = piece.failed.get(key, 0) + 1
        elif self._with_latency:
            piece.latency.add(latency_s)

    def _find(self, end_s: float) -> _Slice:
        index = max(0, int((end_s - self.begin_s) / self._width_s))
        if index >= len(self._slices):
            index = self._reach(index)
        self._from_s = self.begin_s + index * self._width_s
        self._to_s = self._from_s + self._width_s
        self._slice = self._slices[index]
        return self._slice

    def _key(self, key: Key) -> Key:
        if key not in self._keys and len(self._keys) >= MOST_BACKENDS:
            return OTHERS
        self._keys.add(key)
        return key

    def _reach(self, index: int) -> int:
        """Make slices up to this one; where it is by now."""
        while index >= self._most:
            self._slices = [_merged(self._slices[number : number + 2]) for number in range(0, len(self._slices), 2)]
            self._width_s *= 2
            self._from_s = self._to_s = 0.0
            index //= 2
        while len(self._slices) <= index:
            self._slices.append(_Slice())
        return index

    def traffic(self, until_s: float | None = None, *, last: int = MOST_SLICES) -> Traffic:
        """What was counted so far.

        Args:
            until_s: There are empty slices up to this moment.
            last: Only so many slices, the last ones.
        """
        if until_s is not None and until_s > self.begin_s:
            self._reach(int((until_s - self.begin_s) / self._width_s))
        slices = self._slices[-last:]
        begin_s = self.begin_s + (len(self._slices) - len(slices)) * self._width_s
        calls, failed = (
            {key: [counts.get(key, 0) for counts in column] for key in dict.fromkeys(k for row in column for k in row)}
            for column in ([piece.calls for piece in slices], [piece.failed for piece in slices])
        )
        return Traffic(begin_s, self._width_s, calls, failed, [piece.latency for piece in slices])


def _merged(pieces: list[_Slice]) -> _Slice:
    whole = _Slice()
    for piece in pieces:
        for into, counts in ((whole.calls, piece.calls), (whole.failed, piece.failed)):
            for key, number in counts.items():
                into[key] = into.get(key, 0) + number
        whole.latency.merge(piece.latency)
    return whole
