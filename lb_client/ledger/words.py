"""The ledger in words and as JSON. Pure."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from lb_client.phrases import counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lb_client.ledger.reconcile import Fate, Ledger

_FATES = {
    "refused": "{replica} answered with an error",
    "in-flight": "in flight on {replica} when it died",
    "answer-lost": "{replica} answered, and the answer did not arrive",
    "error-lost": "{replica} answered with an error, and no further attempt arrived",
    "cancelled": "given up while {replica} was at work, and {replica} was told",
    "unfinished": "given up while {replica} was at work, and {replica} has not ended it yet",
    "late": "reached {replica} after it was given up",
    "on-its-way": "on its way when {replica} died",
    "never-arrived": "reached no replica",
    "unknown": "nobody can tell",
}


def told(fate: Fate) -> str:
    """What became of a call: `in flight on r2 when it died`."""
    if fate.kind == "cancelled" and fate.status == "UNAVAILABLE":
        return f"its connection ended while {fate.replica} was at work"  # not the client's wish
    return _FATES[fate.kind].format(replica=fate.replica)


def told_shortly(fate: Fate) -> str:
    """The same with the status that the client saw: `UNAVAILABLE: in flight on r2 when it died`."""
    return f"{fate.status or 'cut off'}: {told(fate)}"


def balance(ledger: Ledger) -> str:
    """Where the calls went, in one line; the parts add up to the whole."""
    parts = [f"{ledger.answered:,} answered", f"{ledger.failed:,} failed"]
    if ledger.cut_off:
        parts.append(f"{ledger.cut_off:,} cut off")
    return f"{counted(ledger.sent, 'call')} sent = {' + '.join(parts)}"


def attempts(ledger: Ledger) -> str:
    """What replicas saw of them, in one line."""
    if not ledger.recorded:
        return "not known here: these servers keep no journal"
    pieces = [f"{counted(ledger.attempts, 'attempt')} reached replicas", f"{counted(ledger.retried, 'call')} retried"]
    if ledger.answered_twice:
        pieces.append(f"{ledger.answered_twice:,} answered twice")
    if ledger.executed_unanswered:
        pieces.append(f"{ledger.executed_unanswered:,} carried out, and the answer lost")
    if ledger.never_arrived:
        pieces.append(f"{ledger.never_arrived:,} never arrived")
    return ", ".join(pieces)


def verdict(ledger: Ledger) -> str:
    """Whether the books balance, in one line."""
    if not ledger.recorded:
        return f"{counted(ledger.lost, 'call')} lost, as far as this side can tell"
    known = "every call is accounted for" if not ledger.unaccounted else f"{ledger.unaccounted:,} not accounted for"
    but = f"; {ledger.gap}" if ledger.gap else ""
    return f"{counted(ledger.lost, 'call')} lost; {known}{but}"


def lines(ledger: Ledger, most: int = 6) -> Iterator[str]:
    """All of it, a line each."""
    yield balance(ledger)
    yield attempts(ledger)
    fates = _without_details(ledger)
    for text, number in fates[:most]:
        yield f"{number:,} {text}"
    if len(fates) > most:
        yield f"{sum(number for _, number in fates[most:]):,} of {counted(len(fates) - most, 'other kind')}"
    if ledger.beyond:
        yield f"{counted(ledger.beyond, 'call')} after these carried no name, and are not in the ledger"
    yield verdict(ledger)


def _without_details(ledger: Ledger) -> list[tuple[str, int]]:
    counts: Counter[str] = Counter()
    for fate, number in ledger.fates:
        counts[told_shortly(fate)] += number
    return counts.most_common()


def as_dict(ledger: Ledger) -> dict[str, Any]:
    """What `--json` says of it. The keys are a contract: they are added to, never renamed."""
    return {
        "run": ledger.run,
        "recorded": ledger.recorded,
        "complete": ledger.recorded and not ledger.gap,
        "gap": ledger.gap or None,
        "sent": ledger.sent,
        "answered": ledger.answered,
        "failed": ledger.failed,
        "cut_off": ledger.cut_off,
        "retried": ledger.retried,
        "attempts": ledger.attempts if ledger.recorded else None,
        "answered_twice": ledger.answered_twice,
        "executed_unanswered": ledger.executed_unanswered,
        "never_arrived": ledger.never_arrived,
        "lost": ledger.lost,
        "unaccounted": ledger.unaccounted,
        "beyond": ledger.beyond,
        "fates": [
            {
                "fate": fate.kind,
                "replica": fate.replica or None,
                "status": fate.status or None,
                "details": fate.details,
                "calls": number,
                "text": told(fate),
            }
            for fate, number in ledger.fates
        ],
        "replicas": [
            {
                "id": line.replica,
                "processes": line.processes,
                "attempts": line.attempts,
                "answered": line.answered,
                "errors": line.errors,
                "cancelled": line.cancelled,
                "open": line.open,
                "calls": line.taken,
            }
            for line in ledger.replicas
        ],
    }
