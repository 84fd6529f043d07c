"""From a file's bytes to a Scenario: every word known, every value of its kind. Whether it fits, checks.py says."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from lb_client.scenario import moments, quantity, tree, words
from lb_client.scenario.codes import code_of
from lb_client.scenario.errors import ScenarioError, nearest
from lb_client.scenario.expectations import read_expectation
from lb_client.scenario.fields import Fields
from lb_client.scenario.model import END, REPLICA, Calls, Moment, Plan, Scenario, Step, Whom
from lb_client.scenario.policies import read_metadata, read_policy, with_extras
from lb_client.scenario.tree import Items, Text

if TYPE_CHECKING:
    from lb_client.scenario.tree import Node
    from lb_client.scenario.words import Action

# As in backends/layout.py, which this side does not know.
NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
NAME_RULE = "1 to 63 letters, digits, '.', '_' and '-'"
MAX_WEIGHT = 65535
MAX_REPLICAS = 1000
MAX_SECONDS = 3600.0
MAX_STEPS = 500
LEAST_S = 0.001
_EMPTY = "nothing is in it: a scenario has 'calls:', 'steps:' and 'expect:'"


def read(data: bytes, source: str) -> Scenario:
    """The scenario that the bytes of a YAML file tell.

    Args:
        data: The file.
        source: Its name, for messages and, without a `name:`, for a title.

    Raises:
        ScenarioError: It cannot be understood; the place is the first that is wrong.
    """
    root = tree.parse(data)
    if root is None:
        raise ScenarioError(_EMPTY)
    if isinstance(root, Text):
        raise ScenarioError(f"{root.value[:40]!r} is no scenario: it begins with 'name:' or 'calls:'", root.place)
    fields = Fields(root, "a scenario")
    fields.only(words.TOP)
    if "calls" not in fields:
        raise ScenarioError("no calls: a scenario needs 'calls:' with their 'duration:'", fields.place)
    steps = _list(fields, "steps")
    expected = _list(fields, "expect")
    if not expected:
        raise ScenarioError(
            "nothing is expected: a scenario needs 'expect:', such as '- failed: 0'", fields.word_place("expect")
        )
    plan = _plan(fields.node("cluster"))
    return Scenario(
        name=fields.text("name", source),
        about=fields.text("about", ""),
        source=source,
        plan=plan,
        calls=_calls(Fields(_there(fields, "calls"), "calls"), plan),
        steps=tuple(_step(Fields(node, "a step")) for node in steps),
        expectations=tuple(read_expectation(Fields(node, "an expectation")) for node in expected),
    )


def _there(fields: Fields, word: str) -> Node:
    node = fields.node(word)
    if node is None or (isinstance(node, Text) and not node.value):
        raise ScenarioError(f"'{word}:' is empty", fields.word_place(word))
    return node


def _list(fields: Fields, word: str) -> tuple[Node, ...]:
    node = fields.node(word)
    if node is None or (isinstance(node, Text) and not node.value):
        return ()
    if not isinstance(node, Items):
        raise ScenarioError(f"'{word}' is a list: begin each of its entries with '- '", node.place)
    if len(node.items) > MAX_STEPS:
        raise ScenarioError(
            f"{len(node.items)} entries are too many for '{word}': {MAX_STEPS} are the most", node.place
        )
    return node.items


def _plan(node: Node | None) -> Plan:
    if node is None:
        return Plan()
    fields = Fields(node, "cluster")
    fields.only(words.CLUSTER)
    return Plan(
        replicas=fields.whole("replicas", least=1, most=MAX_REPLICAS, default=3),
        zones=_zones(fields) if "zones" in fields else (),
        weights=_weights(fields) if "weights" in fields else (),
        version=_name(fields, "version") if "version" in fields else "v1",
    )


def _zones(fields: Fields) -> tuple[str, ...]:
    found: list[str] = []
    for place, text in fields.texts("zones"):
        if not NAME.fullmatch(text):
            raise ScenarioError(f"{text!r} is no zone: use {NAME_RULE}", place)
        if text in found:
            raise ScenarioError(f"zone {text!r} stands here twice; replicas take zones in turn anyway", place)
        found.append(text)
    return tuple(found)


def _weights(fields: Fields) -> tuple[int, ...]:
    found = []
    for place, text in fields.texts("weights"):
        if not (text.isascii() and text.isdigit() and len(text) < 6 and 1 <= int(text) <= MAX_WEIGHT):
            raise ScenarioError(f"{text!r} is no weight: whole numbers from 1 to {MAX_WEIGHT} are possible", place)
        found.append(int(text))
    return tuple(found)


def _name(fields: Fields, word: str) -> str:
    text = fields.text(word)
    if not NAME.fullmatch(text):
        raise ScenarioError(f"{text!r} is no {word}: use {NAME_RULE}", fields.place_of(word))
    return text


def _calls(fields: Fields, plan: Plan) -> Calls:
    fields.only(words.CALLS)
    zone = _name(fields, "zone") if "zone" in fields else ""
    if zone and zone not in plan.zones:
        known = nearest(zone, plan.zones) if plan.zones else ": write 'zones: …' to 'cluster:'"
        raise ScenarioError(f"no replica is in zone {zone!r}{known}", fields.place_of("zone"))
    rate = None
    if "rate" in fields:
        rate = quantity.number(fields.text("rate").removesuffix("/s"))
        if rate is None or not 0 < rate <= 100_000:
            raise ScenarioError("'rate' is calls per second, more than 0 and at most 100,000", fields.place_of("rate"))
    if "until" in fields and "duration" in fields:
        raise ScenarioError(
            "'duration' and 'until' both say when calls end: leave one away", fields.word_place("until")
        )
    until = moments.parse(fields.text("until"), fields.place_of("until")) if "until" in fields else None
    if until is not None and until.anchor in ("start", "end"):
        raise ScenarioError("'until' hangs on a step, as '2s after restart rolling done'; a time is a 'duration'",
                            fields.place_of("until"))  # fmt: skip
    return Calls(
        duration_s=fields.seconds("duration", least=0.1, most=MAX_SECONDS) if until is None else math.inf,
        until=until,
        place=fields.word_place("until"),
        concurrency=fields.whole("concurrency", least=1, most=10_000, default=8 if rate is None else 1000),
        rate=rate,
        deadline_s=fields.seconds("deadline", least=LEAST_S, most=MAX_SECONDS, default=5.0),
        policy=with_extras(read_policy(fields), fields),
        zone=zone,
        metadata=read_metadata(fields),
    )


def _step(fields: Fields) -> Step:
    actions = [word for word in fields if word in words.ACTIONS]
    if not actions:
        strange = next((word for word in fields if word not in words.STEP), None)
        if strange is None:
            raise ScenarioError("nothing is done in this step: add a line such as 'kill: r2'", fields.place)
        known = (*words.ACTIONS, *words.STEP)
        raise ScenarioError(f"{strange!r} is no word of a step{nearest(strange, known)}", fields.word_place(strange))
    if len(actions) > 1:
        again = fields.word_place(actions[1])
        raise ScenarioError(f"{actions[0]!r} and {actions[1]!r} in one step: write two, each with its 'at:'", again)
    word = actions[0]
    action = words.ACTIONS[word]
    extras = ("retry", "outlier-detection") if word == "policy" else ()
    fields.only((word, *words.STEP, *action.options, *extras))
    for needed in action.needs:
        if needed not in fields:
            raise ScenarioError(f"'{word}' needs '{needed}: …'", fields.word_place(word))
    if word == "fault" and not any(what in fields for what in ("latency", "jitter", "error")):
        line = "a fault needs 'latency: …', 'jitter: …' or 'error: …'; 'clear: r2' takes it back"
        raise ScenarioError(line, fields.word_place(word))
    whom, value = _object(fields, word, action)
    every_s = fields.seconds("every", least=0.01, most=MAX_SECONDS) if "every" in fields else None
    if "until" in fields and every_s is None:
        raise ScenarioError("'until' ends what is done again and again: add 'every: …'", fields.word_place("until"))
    options = {option: _option(fields, option, kind) for option, kind in action.options.items() if option in fields}
    # What a step is about belongs to its name where it would mean nothing without: `health r2 serving`.
    about = "".join(f" {options[needed]}" for needed in action.needs)
    name = fields.text("name", f"{word} {whom.text or value}{about}")
    if name in ("start", "end"):
        raise ScenarioError(f"{name!r} is no name for a step: it means that of the calls", fields.place_of("name"))
    return Step(
        place=fields.word_place(word),
        name=name,
        at=_moment(fields, "at"),
        action=word,
        whom=whom,
        value=value,
        options=options,
        policy=with_extras(read_policy(fields, word), fields) if action.takes == "policy" else None,
        every_s=every_s,
        until=_moment(fields, "until", END),
    )


def _moment(fields: Fields, word: str, default: Moment | None = None) -> Moment:
    if word not in fields and default is not None:
        return default
    return moments.parse(fields.text(word), fields.place_of(word))


def _object(fields: Fields, word: str, action: Action) -> tuple[Whom, str]:
    """Whom the step is about, or its own value."""
    if action.takes == "whom":
        return whom_of(fields, word, rolling=word == "restart"), ""
    if action.takes == "count":
        return Whom(), str(fields.whole(word, least=1, most=MAX_REPLICAS, default=0))
    if action.takes == "version":
        return Whom(), _name(fields, word)
    if action.takes == "policy":
        return Whom(), read_policy(fields, word).name
    return Whom(), fields.one_of(word, action.takes)


def whom_of(fields: Fields, word: str, *, rolling: bool = False) -> Whom:
    """`r2`, `[r1, r2]`, `all`, `any`, `zone a`, `version v2`, and `rolling` where that makes sense.

    Raises:
        ScenarioError: It is none of these.
    """
    texts = fields.texts(word)
    (place, first) = texts[0]
    if len(texts) == 1:
        if first in ("all", "any") or (rolling and first == "rolling"):
            return Whom(group=first)
        kind, _, name = first.partition(" ")
        if kind in ("zone", "version") and name:
            return Whom(group=kind, name=name)
    names: list[str] = []
    for place, text in texts:
        if not REPLICA.fullmatch(text):
            others = ("all", "any", "rolling") if rolling else ("all", "any")
            raise ScenarioError(
                f"{text!r} is nobody to {word}{nearest(text, ('r1', 'r2', 'r3', *others, 'zone a'))}", place
            )
        if text in names:
            raise ScenarioError(f"{text!r} stands here twice", place)
        names.append(text)
    return Whom(tuple(names))


def _option(fields: Fields, word: str, kind: str | tuple[str, ...]) -> str:
    """An option's text, checked for its kind."""
    text, place = fields.text(word), fields.place_of(word)
    match kind:
        case quantity.TIME:
            fields.seconds(word, least=LEAST_S, most=MAX_SECONDS)
        case quantity.SHARE:
            value = quantity.share(text)
            if value is None or not 0 < value <= 1:
                raise ScenarioError(
                    f"'{word}: {text}' makes no sense: more than 0% and at most 100% are possible", place
                )
        case "percent":
            value = quantity.share(text if text.endswith("%") else f"{text}%")
            if value is None or value > 1:
                raise ScenarioError(f"'{word}: {text}' makes no sense: 0% to 100% are possible", place)
        case "whole":
            fields.whole(word, least=1, most=MAX_REPLICAS, default=1)
        case "code":
            return code_of(text, place)
        case tuple():
            return fields.one_of(word, kind)
    return text
