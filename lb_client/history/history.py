"""The history of a finished run: traffic, events and ledger, put together from all that was recorded and told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lb_client.history.happenings import Happening, grouped, noticed, one_axis

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from lb_client.driver import Run
    from lb_client.history.recording import RunRecording, Told
    from lb_client.history.traffic import Traffic
    from lb_client.ledger.book import CallBook
    from lb_client.ledger.journals import Journals
    from lb_client.ledger.labels import CallLabels
    from lb_client.ledger.reconcile import Ledger
    from lb_client.membership import Event

LEAD_S = 0.25
"""Events of the cluster so shortly before the first call belong to the run: their effect may."""


@dataclass(frozen=True, slots=True)
class History:
    """A run over time.

    Attributes:
        begin_s: When it began (`time.monotonic`).
        elapsed_s: How long it took.
        traffic: In slices from its beginning.
        happenings: In the order of time.
        ledger: None where none was asked for.
    """

    begin_s: float
    elapsed_s: float
    traffic: Traffic
    happenings: tuple[Happening, ...]
    ledger: Ledger | None = None

    @property
    def shown(self) -> tuple[Happening, ...]:
        """The happenings for somebody to read: what belongs together as one."""
        return grouped(self.happenings)


def history_of(
    run: Run,
    recording: RunRecording,
    events: Iterable[Event],
    told: Told,
    *,
    seen: Sequence[Happening] = (),
) -> History:
    """Put it together.

    Args:
        run: How the run ended.
        recording: What was recorded of it.
        events: What became of the members, as the client saw it.
        told: What the cluster says.
        seen: What else the client saw; what the cluster said to it meanwhile is in `told` too.
    """
    end_s = run.begin_s + run.elapsed_s
    traffic = recording.traffic.traffic(end_s)
    own = [happening for happening in seen if happening.source == "client"]
    mine = [*(noticed(event) for event in events), *own]
    theirs = [event for event in told.events if run.begin_s - LEAD_S <= event.at_s <= end_s]
    happenings = one_axis(mine, theirs)
    ledger = None
    if recording.book is not None and recording.labels is not None:
        deaths = [(event.at_s, event.replica) for event in theirs if event.kind == "died"]
        ledger, happenings = _accounted(recording.book, recording.labels, told, happenings, deaths)
    return History(run.begin_s, run.elapsed_s, traffic, happenings, ledger)


def _accounted(
    book: CallBook,
    labels: CallLabels,
    told: Told,
    happenings: tuple[Happening, ...],
    deaths: Sequence[tuple[float, str]],
) -> tuple[Ledger, tuple[Happening, ...]]:
    """The ledger, and the happenings with what they did to calls."""
    from lb_client.history.impact import fallen_with, sent_to, with_impact  # noqa: PLC0415 -- only a ledger needs them
    from lb_client.ledger.journals import Journals  # noqa: PLC0415 -- the same
    from lb_client.ledger.reconcile import reconcile  # noqa: PLC0415 -- the same

    journals = told.journals or Journals(missing="these servers keep no journal that this client can ask for")
    _date_deaths(journals, deaths)
    ledger, trail, fates = reconcile(labels.run, book, labels.used, journals, deaths=deaths)
    fallen = fallen_with(book, journals, trail, fates, deaths)
    return ledger, with_impact(happenings, sent_to(book, trail, fates, labels.used), fallen)


def _date_deaths(journals: Journals, deaths: Sequence[tuple[float, str]]) -> None:
    """Give each process of a replica that died the first death after its last attempt."""
    for process in journals.processes:
        last_s = process.begins[-1] if len(process) else 0.0
        dates = [at_s for at_s, replica in deaths if replica == process.replica and at_s >= last_s]
        if process.ended_s is None and process.alive is not True and dates:
            process.ended_s = min(dates)
