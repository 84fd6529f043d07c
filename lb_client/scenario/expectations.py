"""Reading an expectation: which figure, whose, in which window, and how much it has to be."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lb_client.scenario import moments, quantity, words
from lb_client.scenario.codes import code_of
from lb_client.scenario.errors import ScenarioError, nearest
from lb_client.scenario.model import END, REPLICA, START, Expectation
from lb_client.scenario.quantity import Comparison
from lb_client.scenario.tree import Pairs, Text

if TYPE_CHECKING:
    from lb_client.scenario.fields import Fields
    from lb_client.scenario.model import Place


def read_expectation(fields: Fields) -> Expectation:
    """One entry of `expect`.

    Raises:
        ScenarioError: It cannot be understood.
    """
    metrics = [word for word in fields if word in words.METRICS]
    known = (*words.FILTERS, *words.WINDOW)
    if not metrics:
        strange = next((word for word in fields if word not in known), None)
        if strange is None:
            raise ScenarioError("what is expected? add a line such as 'failed: 0'", fields.place)
        raise ScenarioError(
            f"{strange!r} is no word of an expectation{nearest(strange, (*words.METRICS, *known))}",
            fields.word_place(strange),
        )
    metric = metrics[0]
    if len(metrics) > 1:
        raise ScenarioError(
            f"{metric!r} and {metrics[1]!r} in one expectation: write two, each with its own '- '",
            fields.word_place(metrics[1]),
        )
    filters = () if metric in ("order", "shares") else words.FILTERS
    fields.only((metric, *(() if metric in words.TOTALS else (*filters, *words.WINDOW))))
    phrase = words.PHRASES.get(metric, "")
    expected: Comparison | None = None
    said = ""
    order: tuple[str, ...] = ()
    shares: dict[str, float] = {}
    match words.METRICS[metric]:
        case "order":
            order = tuple(_event(text, place) for place, text in fields.texts(metric))
            if len(order) < 2:
                raise ScenarioError(
                    "an order needs two events or more: [r2 paused, r2 resumed]", fields.place_of(metric)
                )
        case "shares":
            shares = _shares(fields, metric)
        case unit:
            if phrase and fields.text(metric) == phrase:
                said = phrase
            else:
                expected = _comparison(fields, metric, unit, phrase)
    if expected is not None and metric == "share" and (expected.low > 1 or 1 < expected.high < float("inf")):
        raise ScenarioError(f"'share: {expected.text}' is over 100%", fields.place_of(metric))
    status = code_of(fields.text("status"), fields.place_of("status"), ok=True) if "status" in fields else ""
    return Expectation(
        place=fields.word_place(metric),
        metric=metric,
        expected=expected,
        words=said,
        order=order,
        shares=shares,
        replicas=_replicas(fields),
        zone=fields.text("zone", ""),
        version=fields.text("version", ""),
        status=status,
        begin=moments.parse(fields.text("from"), fields.place_of("from")) if "from" in fields else START,
        end=moments.parse(fields.text("until"), fields.place_of("until")) if "until" in fields else END,
    )


def _event(text: str, place: Place) -> str:
    """`r2 died`, or `rolling-done`, which is nobody's."""
    who, _, kind = text.rpartition(" ")
    if kind not in words.EVENTS:
        raise ScenarioError(f"{kind!r} is no event{nearest(kind, words.EVENTS)}", place)
    if who and not REPLICA.fullmatch(who):
        raise ScenarioError(f"{who!r} is no replica: write 'r2 {kind}', or '{kind}' for anybody's", place)
    return text


def _comparison(fields: Fields, metric: str, unit: str, phrase: str) -> Comparison:
    text = fields.text(metric)
    expected = Comparison.parse(text, unit)
    if expected is None:
        also = f", or '{phrase}'" if phrase else ""
        raise ScenarioError(
            f"'{metric}: {text}' makes no sense: write {quantity.EXAMPLES[unit]}{also}", fields.place_of(metric)
        )
    return expected


def _shares(fields: Fields, metric: str) -> dict[str, float]:
    node = fields.node(metric)
    if not isinstance(node, Pairs) or len(node.pairs) < 2:
        raise ScenarioError(f"'{metric}' says who gets how much: {{r1: 5, r2: 3, r3: 2}}", fields.place_of(metric))
    found = {}
    for word, value in node.pairs:
        number = quantity.number(value.value.removesuffix("%").strip()) if isinstance(value, Text) else None
        if number is None:
            raise ScenarioError(f"how much for {word.value!r}? write a number", value.place)
        found[word.value] = number
    if not sum(found.values()):
        raise ScenarioError("somebody has to get something", node.place)
    return found


def _replicas(fields: Fields) -> tuple[str, ...]:
    if "replica" not in fields:
        return ()
    texts = fields.texts("replica")
    if [text for _, text in texts] == ["each"]:
        return ("each",)
    for place, text in texts:
        if not REPLICA.fullmatch(text):
            raise ScenarioError(f"{text!r} is no replica{nearest(text, ('r1', 'r2', 'r3', 'each'))}", place)
    return tuple(text for _, text in texts)
