"""Whether a scenario fits together: moments that exist and lie within the play, replicas, no contradictions.

Only what is certain from the file alone is refused. What depends on how long a step takes shows when it is played.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

from lb_client.scenario import quantity
from lb_client.scenario.errors import ScenarioError, nearest
from lb_client.scenario.model import REPLICA

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from lb_client.scenario.model import Expectation, Moment, Place, Scenario, Step

MOST_TIMES = 1000
"""Of what is done again and again no more is looked at: it contradicts itself at once, or never."""

_RUNNING, _PAUSED, _DRAINED = "running", "paused", "drained"
_AFTER = {"pause": _PAUSED, "resume": _RUNNING, "drain": _DRAINED, "restart": _RUNNING, "kill": _RUNNING}
_NEEDS_PROCESS = ("kill", "pause", "health", "fault", "clear", "load", "drain")


def check(scenario: Scenario) -> None:
    """Refuse what cannot be played as it is written.

    Raises:
        ScenarioError: With the place of the first thing that is wrong.
    """
    _check_names(scenario)
    for step in scenario.steps:
        _check_step(scenario, step)
    for expectation in scenario.expectations:
        _check_window(scenario, expectation.begin, expectation.end, expectation.place)
        for group, named in (("zone", expectation.zone), ("version", expectation.version)):
            if named:
                _check_group(scenario, group, named, expectation.place)
        most = _most_replicas(scenario, math.inf)
        for name in (
            *expectation.replicas,
            *(n for n in expectation.shares if REPLICA.fullmatch(n)),
            *_in_order(expectation),
        ):
            if name != "each" and int(name[1:]) > most:
                raise ScenarioError(f"{name} never is in this cluster: {_there_are(most)}", expectation.place)
    _check_contradictions(scenario)


def _in_order(expectation: Expectation) -> list[str]:
    return [event.split()[0] for event in expectation.order if " " in event]


def occurrences(scenario: Scenario) -> Iterator[tuple[float, Step]]:
    """Each doing of each step whose time is known from the file, in the order of time."""
    found = []
    for step in scenario.steps:
        at_s = static_s(step.at)
        if math.isinf(at_s):
            continue
        until_s = min(static_s(step.until), scenario.calls.duration_s)
        for number in range(MOST_TIMES):
            when_s = at_s + number * (step.every_s or 0)
            if number and (step.every_s is None or when_s >= until_s):
                break
            found.append((when_s, step))
    yield from sorted(found, key=lambda pair: pair[0])


def static_s(moment: Moment) -> float:
    """Seconds after the first call; inf for what is known only when it is played."""
    return moment.offset_s if moment.anchor == "start" else math.inf


def _check_names(scenario: Scenario) -> None:
    names = Counter(step.name for step in scenario.steps)
    order = {step.name: number for number, step in enumerate(scenario.steps)}
    for place, moment in scenario.moments():
        if moment.anchor in ("start", "end"):
            continue
        if moment.anchor not in names:
            raise ScenarioError(_no_step(moment.anchor, names), place)
        if names[moment.anchor] > 1:
            raise ScenarioError(f"several steps are called {moment.anchor!r}: give the one you mean a 'name:'", place)
    for number, step in enumerate(scenario.steps):
        if order.get(step.at.anchor, -1) >= number:
            line = f"{step.at.text!r} waits for a step below it: write that one first"
            raise ScenarioError(line, step.at.place or step.place)


def _no_step(anchor: str, names: Iterable[str]) -> str:
    """`2s afer kill r2` is no step's name: its second word is what is wrong."""
    first, _, rest = anchor.partition(" ")
    word, _, last = rest.partition(" ")
    if last and quantity.seconds(first) is not None:
        return f"{word!r} is no word of a moment{nearest(word, ('after', 'before'))}"
    return f"no step is called {anchor!r}{nearest(anchor, (*names, 'start', 'end'))}"


def _check_step(scenario: Scenario, step: Step) -> None:
    _check_at(scenario, step)
    if step.every_s is not None:
        _check_window(scenario, step.at, step.until, step.place)
    most = _most_replicas(scenario, static_s(step.at))
    for name in step.whom.replicas:
        if int(name[1:]) > most:
            raise ScenarioError(f"{name} is not there to {step.action} then: {_there_are(most)}", step.place)
    if step.whom.group:
        _check_group(scenario, step.whom.group, step.whom.name, step.place)


def _check_at(scenario: Scenario, step: Step) -> None:
    duration_s, at_place = scenario.calls.duration_s, step.at.place or step.place
    if step.at.anchor == "end" and step.at.offset_s >= 0:
        raise ScenarioError(f"{step.text!r} at the end of the calls would change nothing: do it earlier", at_place)
    if scenario.calls.until is not None:
        for moment in (step.at, step.until):
            if moment.anchor == "end" and (moment.offset_s or moment is step.at):
                line = "nobody knows before when these calls end: name a time, or another step"
                raise ScenarioError(line, moment.place or step.place)
    if step.at.anchor == "end" and duration_s + step.at.offset_s < 0:
        raise ScenarioError(f"'{step.at.text}' is before the first call: they last {duration_s:g}s", at_place)
    at_s = static_s(step.at)
    if not math.isinf(at_s) and at_s >= duration_s:
        raise ScenarioError(f"{step.text!r} at {at_s:g}s, and the calls end at {duration_s:g}s", at_place)


def _check_group(scenario: Scenario, group: str, name: str, place: Place) -> None:
    """A zone that nobody is in, or a version that nobody ever has."""
    zones = scenario.plan.zones
    versions = (scenario.plan.version, *(step.value for step in scenario.steps if step.action == "up"))
    if group == "zone" and name not in zones:
        known = nearest(name, zones) if zones else ": write 'zones: …' to 'cluster:'"
        raise ScenarioError(f"no replica is in zone {name!r}{known}", place)
    if group == "version" and name not in versions:
        raise ScenarioError(f"no replica is of version {name!r}{nearest(name, dict.fromkeys(versions))}", place)


def _there_are(most: int) -> str:
    return "there is only r1" if most == 1 else f"there are r1 to r{most}"


def _check_window(scenario: Scenario, begin: Moment, end: Moment, place: Place) -> None:
    end_s = scenario.calls.duration_s
    from_s, until_s = (end_s + m.offset_s if m.anchor == "end" else static_s(m) for m in (begin, end))
    begin_place, end_place = begin.place or place, end.place or place
    if not math.isinf(from_s) and from_s >= end_s:
        raise ScenarioError(f"'{begin.text}' is no earlier than the end of the calls, at {end_s:g}s", begin_place)
    if not math.isinf(until_s) and until_s > end_s:
        raise ScenarioError(f"'until {end.text}' is after the end of the calls, at {end_s:g}s", end_place)
    if not math.isinf(from_s) and not math.isinf(until_s) and from_s >= until_s:
        raise ScenarioError(f"from {begin.text} until {end.text}: that ends before it begins", end_place)


def _most_replicas(scenario: Scenario, at_s: float) -> int:
    """How many replicas there may have been until then, at most; names are given from r1 on."""
    times = [(static_s(step.at), int(step.value)) for step in scenario.steps if step.action == "scale"]
    known = [number for when_s, number in times if math.isinf(at_s) or math.isinf(when_s) or when_s < at_s]
    versions: dict[str, int] = {}
    for step in scenario.steps:
        if step.action == "up":
            more = int(step.options.get("replicas", "1").replace(",", ""))
            versions[step.value] = max(more, versions.get(step.value, 0))
    first = versions.pop(scenario.plan.version, 0)
    return max([scenario.plan.replicas, first, *known]) + sum(versions.values())


def _check_contradictions(scenario: Scenario) -> None:
    state: dict[str, tuple[str, Step]] = {}
    last: dict[str, tuple[float, Step]] = {}
    for at_s, step in occurrences(scenario):
        for name in step.whom.replicas:
            before = last.get(name)
            if before is not None and before[0] == at_s and before[1] is not step and _collide(before[1], step):
                raise ScenarioError(
                    f"{name} at {at_s:g}s: {before[1].action!r} (line {before[1].place.line}) and {step.action!r} "
                    "at once: give one of them another time",
                    step.place,
                )
            last[name] = (at_s, step)
            now, by = state.get(name, (_RUNNING, step))
            _check_one(name, now, by, step)
            if step.action in _AFTER:
                state[name] = (_AFTER[step.action], step)
        if step.action in ("scale", "restart") and not step.whom.replicas:
            state = {name: found for name, found in state.items() if found[0] == _PAUSED}


def _collide(one: Step, other: Step) -> bool:
    """Two faults of another kind can come at once; two things done to its process cannot."""
    return one.action == other.action or {one.action, other.action} <= {*_AFTER}


def _check_one(name: str, now: str, by: Step, step: Step) -> None:
    if step.action == "resume" and now != _PAUSED:
        raise ScenarioError(f"{name} is not paused then: nothing to resume", step.place)
    if step.action == "pause" and now == _PAUSED:
        raise ScenarioError(f"{name} is paused already, since line {by.place.line}", step.place)
    if step.action in ("drain", "health", "fault", "clear", "load") and now == _PAUSED:
        raise ScenarioError(
            f"{name} is paused then (line {by.place.line}), and does not hear: 'resume' it first", step.place
        )
    if step.action in _NEEDS_PROCESS and now == _DRAINED:
        raise ScenarioError(
            f"{name} was drained in line {by.place.line} and has no process then: 'restart' it first", step.place
        )
