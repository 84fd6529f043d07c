"""What records a run: sums, slices of time and, where a ledger is asked for, every call. One door for the driver."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lb_client.history.traffic import TrafficRecorder

if TYPE_CHECKING:
    from lb_client.history.happenings import Happening
    from lb_client.ledger.book import CallBook
    from lb_client.ledger.journals import Journals
    from lb_client.ledger.labels import CallLabels
    from lb_client.records import CallRecord, CallRecorder


@dataclass(frozen=True, slots=True)
class Told:
    """What others say of a run.

    Attributes:
        events: The cluster's.
        journals: The replicas'; None where there is no cluster to ask.
    """

    events: tuple[Happening, ...] = ()
    journals: Journals | None = None


NOBODY_TOLD = Told()


class RunRecording:
    """Takes each record and hands it on.

    Args:
        recorder: Of the sums.
        labels: The calls' names; None without a ledger.
        with_latency: Whether the slices keep latencies too.

    Attributes:
        traffic: The slices.
        book: Every named call; None without a ledger.
        labels: As given.
        with_latency: As given.
    """

    def __init__(self, recorder: CallRecorder, labels: CallLabels | None = None, *, with_latency: bool = True) -> None:
        self.traffic = TrafficRecorder(with_latency=with_latency)
        self.labels = labels
        self.with_latency = with_latency
        self.book: CallBook | None = None
        if labels is not None:
            from lb_client.ledger.book import CallBook  # noqa: PLC0415 -- only a ledger needs it

            self.book = CallBook()
        self._takers = [recorder.add, self.traffic.add, *([self.book.add] if self.book is not None else [])]

    def add(self, record: CallRecord) -> None:
        """One call that ended."""
        for take in self._takers:
            take(record)
