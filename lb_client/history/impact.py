"""What each event of the cluster did to calls: those in flight, and those that still went there. Pure."""

from __future__ import annotations

import bisect
from dataclasses import replace
from typing import TYPE_CHECKING

from lb_client.history.happenings import Happening, Impact, turn_s
from lb_client.ledger.journals import OPEN
from lb_client.ledger.reconcile import NEAR_S, died_meanwhile

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lb_client.ledger.book import CallBook
    from lb_client.ledger.journals import Journals
    from lb_client.ledger.reconcile import Fate, Trail

Sent = tuple[float, bool]
"""When a call was sent, and whether it failed."""

Fallen = tuple[float, float, bool]
"""When a call was sent, when it ended, whether it failed."""


def sent_to(book: CallBook, trail: Trail, fates: Mapping[int, Fate], sent: int) -> dict[str, list[Sent]]:
    """By replica, the calls that went there in the end, in the order of their sending."""
    found: dict[str, list[Sent]] = {}
    for call in range(1, sent + 1):
        start_s = book.start_s(call)
        if not start_s:
            continue
        replica = book.backend(call)[0]
        if not replica:
            replica = fates[call].replica if call in fates else ""
        if not replica and (process := trail.process(call)) is not None:
            replica = process.replica
        if replica:
            found.setdefault(replica, []).append((start_s, call in fates))
    for calls in found.values():
        calls.sort()
    return found


def fallen_with(
    book: CallBook, journals: Journals, trail: Trail, fates: Mapping[int, Fate], deaths: Sequence[tuple[float, str]]
) -> dict[str, list[Fallen]]:
    """By replica, the calls that were there, or on their way there, when a process of it died.

    Args:
        book: How the client saw its calls end.
        journals: What the replicas wrote down.
        trail: The same by call.
        fates: Of each call that was not answered well.
        deaths: (moment, replica) of each that died.
    """
    found: dict[str, dict[int, Fallen]] = {}
    for process in journals.processes:
        if process.ended_s is None and process.alive is not False:
            continue
        for call, outcome in zip(process.calls, process.outcomes, strict=True):
            if outcome == OPEN:
                found.setdefault(process.replica, {})[call] = _fallen(book, call, failed=call in fates)
    for call, fate in fates.items():
        if fate.kind in ("on-its-way", "in-flight", "answer-lost"):
            found.setdefault(fate.replica, {})[call] = _fallen(book, call, failed=True)
    for call in book.ended() if deaths else ():
        # Answered by an attempt before which more were made than arrived: those were in the sockets of who died.
        if call not in fates and book.attempts(call) >= trail.arrived[call]:
            died = died_meanwhile(book, call, deaths)
            if len(died) == 1:
                found.setdefault(died[0], {})[call] = _fallen(book, call, failed=False)
    return {replica: sorted(calls.values()) for replica, calls in found.items()}


def _fallen(book: CallBook, call: int, *, failed: bool) -> Fallen:
    return book.start_s(call), book.end_s(call) or float("inf"), failed


def with_impact(
    happenings: Sequence[Happening], sent: Mapping[str, Sequence[Sent]], fallen: Mapping[str, Sequence[Fallen]]
) -> tuple[Happening, ...]:
    """The happenings, each by which a replica goes with what it did to calls.

    Args:
        happenings: In the order of time.
        sent: As `sent_to` has it.
        fallen: As `fallen_with` has it.
    """
    cluster = [happening for happening in happenings if happening.source == "cluster"]
    return tuple(
        replace(event, impact=_impact(event, turn_s(event, cluster), sent, fallen)) if event.is_going else event
        for event in happenings
    )


def _impact(
    event: Happening, turn: float, sent: Mapping[str, Sequence[Sent]], fallen: Mapping[str, Sequence[Fallen]]
) -> Impact:
    calls = sent.get(event.replica, ())
    after = [call for call in calls[bisect.bisect_right(calls, (event.at_s, True)) :] if call[0] < turn]
    in_flight = [
        failed
        for start_s, end_s, failed in fallen.get(event.replica, ())
        if event.kind == "died" and start_s <= event.at_s <= end_s + NEAR_S
    ]
    return Impact(
        in_flight=len(in_flight),
        in_flight_failed=sum(in_flight),
        after=len(after),
        failed_after=sum(failed for _, failed in after),
        last_s=after[-1][0] - event.at_s if after else None,
    )
