"""A run's history as JSON: `events`, `timeline`, `ledger`. Keys are a contract: they are added to, never renamed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lb_client.history.happenings import noticed
from lb_client.ledger import words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lb_client.history.happenings import Happening, Impact
    from lb_client.history.history import History
    from lb_client.history.traffic import Traffic
    from lb_client.membership import Event
    from lb_client.stats import LatencyHistogram


def as_dict(history: History | None, events: Sequence[Event], begin_s: float) -> dict[str, Any]:
    """The three keys; without a history only the events of the members are known."""
    happenings = [noticed(event) for event in events] if history is None else history.happenings
    ledger = None if history is None or history.ledger is None else words.as_dict(history.ledger)
    return {
        "events": [_event(happening, begin_s) for happening in happenings],
        "timeline": None if history is None else _timeline(history.traffic),
        "ledger": ledger,
    }


def _event(happening: Happening, begin_s: float) -> dict[str, Any]:
    return {
        "at_s": round(happening.at_s - begin_s, 3),
        "kind": happening.kind,
        "id": happening.replica or None,
        "address": happening.address or None,
        "source": happening.source,
        "text": happening.text,
        "detail": happening.detail,
        "noticed_ms": _ms(happening.noticed_s),
        "calls": None if happening.impact is None else _impact(happening.impact),
    }


def _impact(impact: Impact) -> dict[str, Any]:
    return {
        "in_flight": impact.in_flight,
        "in_flight_failed": impact.in_flight_failed,
        "after": impact.after,
        "after_failed": impact.failed_after,
        "last_after_ms": _ms(impact.last_s),
    }


def _timeline(traffic: Traffic) -> dict[str, Any]:
    return {
        "slice_s": traffic.width_s,
        "backends": [
            {
                "id": key[0] or None,
                "address": key[1] or None,
                "calls": row,
                "failed": traffic.failed.get(key, [0] * traffic.slices),
            }
            for key, row in traffic.ordered()
        ],
        "p50_ms": [_percentile(histogram, 50) for histogram in traffic.latency],
        "p99_ms": [_percentile(histogram, 99) for histogram in traffic.latency],
    }


def _percentile(histogram: LatencyHistogram, percent: float) -> float | None:
    return _ms(histogram.percentile(percent))


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 3)
