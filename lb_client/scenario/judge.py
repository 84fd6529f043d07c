"""Whether a play was as expected: each expectation beside what was seen. Pure; figures of calls are figures.py's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lb_client.membership import natural_key
from lb_client.phrases import and_more, counted, duration
from lb_client.scenario import chi_squared, figures
from lb_client.scenario.model import REPLICA
from lb_client.scenario.quantity import NUMBER, shown
from lb_client.scenario.words import METRICS, TOTALS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from lb_client.scenario.call_log import Call
    from lb_client.scenario.model import Expectation, Moment
    from lb_client.scenario.played import Done, Played

NEWS_S = 0.1
"""How long after a process was ended calls may still be sent to it: the news is on its way to the client."""

_ENDS_CALLS = ("kill", "pause", "drain", "restart", "scale")
_MANY = 6


@dataclass(frozen=True, slots=True)
class Judged:
    """An expectation and what was seen.

    Attributes:
        expectation: What was expected.
        passed: Whether it was so.
        seen: What was so instead, or just so.
    """

    expectation: Expectation
    passed: bool
    seen: str


@dataclass(frozen=True, slots=True)
class _Window:
    begin_s: float
    end_s: float
    calls: tuple[Call, ...]


def judge(played: Played, expectation: Expectation) -> Judged:
    """Look at what an expectation is about."""
    begin_s, end_s = played.when(expectation.begin), played.when(expectation.end)
    if begin_s is None or end_s is None:
        never = expectation.begin if begin_s is None else expectation.end
        return Judged(expectation, passed=False, seen=f"{never.anchor!r} was never done")
    if expectation.metric == "converged" and expectation.end.anchor == "end" and not expectation.end.offset_s:
        end_s = min(end_s, played.next_change(begin_s))
    end_s = min(end_s, played.end_s)
    if begin_s >= end_s:
        seen = f"no time between {_at(played, expectation.begin)} and {_at(played, expectation.end)}"
        return Judged(expectation, passed=False, seen=seen)
    window = _Window(begin_s, end_s, tuple(played.calls.between(begin_s, end_s)))
    passed, seen = _look(played, expectation, window)
    return Judged(expectation, passed, seen)


def _at(played: Played, moment: Moment) -> str:
    at_s = played.when(moment)
    return moment.text if at_s is None else f"{moment.text} ({at_s - played.begin_s:.2f} s)"


def _look(played: Played, expectation: Expectation, window: _Window) -> tuple[bool, str]:
    if expectation.metric == "failed" and expectation.words:
        return _only_in_flight(played, expectation, window)
    return _LOOKS.get(expectation.metric, _figure)(played, expectation, window)


def _figure(played: Played, expectation: Expectation, window: _Window) -> tuple[bool, str]:
    """A figure of the calls, for all together or for each replica."""
    named = _named(played, expectation, window)
    among = _among(played, expectation)
    calls = [c for c in window.calls if not expectation.status or c.status == expectation.status]
    span_s = window.end_s - window.begin_s
    if named is None:
        mine = calls if among is None else [c for c in calls if c.replica in among]
        values = {"": figures.value(expectation.metric, mine, total=len(window.calls), span_s=span_s)}
    else:
        if not named:
            return False, "nobody could take calls then"
        values = {
            name: figures.value(
                expectation.metric, [c for c in calls if c.replica == name], total=len(window.calls), span_s=span_s
            )
            for name in named
        }
    passed, seen = _compare(expectation, values)
    if expectation.metric == "failed" and not passed:
        seen += figures.statuses(c for c in calls if among is None or c.replica in among)
    return passed, seen


def _compare(expectation: Expectation, values: dict[str, float | None]) -> tuple[bool, str]:
    """Whether all of these are as expected; the first is everybody's where it has no name."""
    unit = METRICS[expectation.metric]
    words = {name: "nothing" if value is None else shown(value, unit) for name, value in values.items()}
    wrong = [name for name, value in values.items() if value is None or not _accepts(expectation, value)]
    tellers = wrong if wrong and len(values) > _MANY else list(values)
    told = and_more([f"{name} {words[name]}".strip() for name in tellers], _MANY)
    if wrong and len(values) > 1 and len(wrong) < len(values):
        told += f": not {and_more(wrong, _MANY)}" if tellers != wrong else ""
    return not wrong, told


def _accepts(expectation: Expectation, value: float) -> bool:
    return expectation.expected is not None and expectation.expected.accepts(value)


def _among(played: Played, expectation: Expectation) -> frozenset[str] | None:
    """The replicas that a zone or a version narrows it to; None for all."""
    if expectation.zone:
        return frozenset(name for name, zone in played.zones.items() if zone == expectation.zone)
    if expectation.version:
        return frozenset(name for name, version in played.versions.items() if version == expectation.version)
    return None


def _named(played: Played, expectation: Expectation, window: _Window) -> list[str] | None:
    """Those who are looked at one by one; None for all together."""
    if not expectation.replicas:
        return None
    if expectation.replicas != ("each",):
        return list(expectation.replicas)
    among = _among(played, expectation)
    found = played.ready_ever(window.begin_s, window.end_s)
    return _sorted(found if among is None else found & among)


def _sorted(names: Iterable[str]) -> list[str]:
    return sorted(names, key=lambda name: natural_key(name, ""))


def _steady(played: Played, expectation: Expectation, window: _Window) -> tuple[list[str], int]:
    """Those who could take calls all the time, as far as they are meant, and how often anything changed."""
    ready, changes = played.ready_within(window.begin_s, window.end_s)
    if expectation.replicas and expectation.replicas != ("each",):
        return list(expectation.replicas), changes
    among = _among(played, expectation)
    return _sorted(ready if among is None else ready & among), changes


def _spread(played: Played, expectation: Expectation, window: _Window) -> tuple[bool, str]:
    names, changes = _steady(played, expectation, window)
    if not names:
        return False, "nobody could take calls all that time"
    counts = figures.counts(window.calls, names)
    if not sum(counts.values()):
        return False, "no calls"
    apart = max(counts.values()) - min(counts.values())
    told = figures.told(counts)
    if expectation.words:
        return apart <= figures.even_within(counts.values(), changes), told
    return _accepts(expectation, apart), f"{shown(apart, NUMBER)}: {told}"


def _shares(played: Played, expectation: Expectation, window: _Window) -> tuple[bool, str]:
    wanted = expectation.shares
    owners = {}
    for name in wanted:
        if REPLICA.fullmatch(name):
            owners[name] = name
        else:
            members = [r for r, v in played.versions.items() if v == name] or [
                r for r, z in played.zones.items() if z == name
            ]
            owners.update(dict.fromkeys(members, name))
    counts = dict.fromkeys(wanted, 0)
    strangers = 0
    for call in window.calls:
        owner = owners.get(call.replica)
        if owner is None:
            strangers += 1
        else:
            counts[owner] += 1
    if not sum(counts.values()):
        return False, "no calls"
    likely = chi_squared.likely(counts, wanted)
    total = len(window.calls)
    told = ", ".join(f"{name} {number / total:.1%}" for name, number in counts.items())
    told += f" of {counted(total, 'call')}"
    if strangers:
        return False, f"{told}; {counted(strangers, 'call')} of others"
    return likely >= chi_squared.ALPHA, f"{told}, p = {likely:.2g}"


def _converged(played: Played, expectation: Expectation, window: _Window) -> tuple[bool, str]:
    """From when on exactly those get calls who should, and none fails."""
    names, _ = _steady(played, expectation, _Window(window.end_s, window.end_s, ()))
    if not names:
        return False, "nobody could take calls at the end"
    right: Collection[str] = frozenset(names)
    # Who went and came back counts from then on: what it got before it went tells nothing.
    since = {name: played.ready_since(name, window.end_s) for name in names}
    first: dict[str, float] = {}
    wrong_s = window.begin_s
    for call in window.calls:
        if call.status != "OK" or call.replica not in right:
            wrong_s = max(wrong_s, call.start_s)
        elif since[call.replica] <= call.start_s < first.get(call.replica, window.end_s):
            first[call.replica] = call.start_s
    silent = [name for name in names if name not in first]
    if silent:
        return False, f"no call reached {and_more(silent, _MANY)} in {duration(window.end_s - window.begin_s)}"
    last = max(first, key=lambda name: first[name])
    took_s = max(wrong_s, first[last]) - window.begin_s
    who = f", {last} last" if first[last] >= wrong_s else ""
    return _accepts(expectation, took_s), f"{duration(took_s)}{who}"


def _only_in_flight(played: Played, expectation: Expectation, window: _Window) -> tuple[bool, str]:
    """Every call that failed was under way when something was done that ends calls."""
    among = _among(played, expectation)
    failed = [c for c in window.calls if c.status != "OK" and (among is None or c.replica in among)]
    spans = [(d.begin_s, _blow_s(played, d) + NEWS_S) for d in played.done if d.step.action in _ENDS_CALLS]
    others = [c for c in failed if not any(c.start_s <= end_s and c.end_s >= begin_s for begin_s, end_s in spans)]
    told = f"{len(failed):,} failed"
    if not others:
        return True, f"{told}, each of them in flight"
    at_s = others[0].start_s - played.begin_s
    return False, f"{told}, {len(others):,} of them not in flight{figures.statuses(others)}, the first at {at_s:.2f} s"


def _blow_s(played: Played, done: Done) -> float:
    """Until when a step ended calls: a kill is done when the victim serves again, and over with its death."""
    died = [h.at_s for h in played.happened if h.kind == "died" and h.subject in done.whom and h.at_s >= done.begin_s]
    return min(died[len(done.whom) - 1 :], default=done.end_s) if done.step.action == "kill" else done.end_s


def _order(played: Played, expectation: Expectation, window: _Window) -> tuple[bool, str]:
    """The events came one after the other, whatever came in between."""
    found: list[str] = []
    at_s = window.begin_s
    events = sorted((h for h in played.happened if window.begin_s <= h.at_s < window.end_s), key=lambda h: h.at_s)
    rest = iter(events)
    for wanted in expectation.order:
        event = next((h for h in rest if wanted in (h.text, h.kind)), None)
        if event is None:
            after = f" after {found[-1]}" if found else ""
            return False, f"no {wanted!r}{after}"
        at_s = event.at_s - played.begin_s
        found.append(f"{event.text} {at_s:.2f} s")
    return True, ", ".join(found)


def _total(played: Played, expectation: Expectation, _window: _Window) -> tuple[bool, str]:
    return _compare(expectation, {"": played.totals.get(expectation.metric)})


_LOOKS = {
    "order": _order,
    "shares": _shares,
    "spread": _spread,
    "converged": _converged,
    **dict.fromkeys(TOTALS, _total),
}
