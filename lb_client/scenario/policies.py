"""Reading what a channel is told: policy, retries, outlier detection and metadata, in the field's terms."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from lb_client.policy import (
    FailurePercentage,
    OutlierDetection,
    PickFirst,
    Policy,
    Retry,
    RetryBudget,
    RingHash,
    RoundRobin,
    StaticWeights,
    SuccessRate,
    WeightedRoundRobin,
)
from lb_client.scenario import quantity
from lb_client.scenario.codes import code_of
from lb_client.scenario.errors import ScenarioError
from lb_client.scenario.fields import Fields
from lb_client.scenario.tree import Text

if TYPE_CHECKING:
    from collections.abc import Callable

    from lb_client.scenario.model import Place

_KINDS: dict[str, type[Policy]] = {
    kind.name: kind for kind in (RoundRobin, PickFirst, WeightedRoundRobin, RingHash, StaticWeights)
}
_KEY = re.compile(r"[a-z0-9_.-]+")
_DAY_S = 86_400.0

Made = TypeVar("Made")

# Word -> the dataclass's field and the kind of value.
_WRR = {
    "blackout-period": ("blackout_period_s", "time"),
    "weight-expiration-period": ("weight_expiration_period_s", "time"),
    "weight-update-period": ("weight_update_period_s", "time"),
    "error-utilization-penalty": ("error_utilization_penalty", "number"),
}
_RETRY = {
    "attempts": ("attempts", "whole"),
    "base-interval": ("base_interval_s", "time"),
    "max-interval": ("max_interval_s", "time"),
}
_OUTLIER = {
    "interval": ("interval_s", "time"),
    "base-ejection-time": ("base_ejection_time_s", "time"),
    "max-ejection-time": ("max_ejection_time_s", "time"),
    "max-ejection": ("max_ejection_percent", "percent"),
}
_HOSTS = {
    "enforcement": ("enforcement_percentage", "percent"),
    "minimum-hosts": ("minimum_hosts", "whole"),
    "request-volume": ("request_volume", "whole"),
}
_SUCCESS_RATE = {"stdev-factor": ("stdev_factor", "whole"), **_HOSTS}
_FAILURES = {"threshold": ("threshold", "percent"), **_HOSTS}


def read_policy(fields: Fields, word: str = "policy") -> Policy:
    """A policy by its name, or as a mapping with its name and its own words.

    Raises:
        ScenarioError: It cannot be understood.
    """
    node = fields.node(word)
    if node is None:
        return RoundRobin()
    if isinstance(node, Text):
        name = fields.one_of(word, _KINDS)
        if name == RingHash.name:
            raise ScenarioError("ring_hash needs a header: {name: ring_hash, header: user}", node.place)
        plain: Callable[[], Policy] = _KINDS[name]
        return plain()
    inner = Fields(node, "a policy")
    kind = _KINDS[inner.one_of("name", _KINDS)]
    own: dict[str, Any] = {}
    match kind.name:
        case "weighted_round_robin":
            inner.only(("name", *_WRR))
            own = _values(inner, _WRR)
        case "ring_hash":
            inner.only(("name", "header"))
            own = {"header": inner.text("header")}
        case _:
            inner.only(("name",))
    made: Callable[..., Policy] = kind
    return _made(lambda: made(**own), inner.place)


def with_extras(policy: Policy, fields: Fields) -> Policy:
    """The policy with what `retry` and `outlier-detection` say.

    Raises:
        ScenarioError: They cannot be understood, or do not go together.
    """
    if "outlier-detection" in fields:
        found = _outlier_detection(fields)
        policy = _made(lambda: replace(policy, outlier_detection=found), fields.place_of("outlier-detection"))
    if "retry" in fields:
        policy = replace(policy, retry=_retry(fields))
    return policy


def read_metadata(fields: Fields) -> tuple[tuple[str, str], ...]:
    """Metadata for each call.

    Raises:
        ScenarioError: It is none that gRPC would send.
    """
    node = fields.node("metadata")
    if node is None:
        return ()
    inner = Fields(node, "metadata")
    pairs = []
    for key in inner:
        value = inner.text(key)
        if not _KEY.fullmatch(key) or key.startswith("grpc-") or key.endswith("-bin"):
            raise ScenarioError(f"{key!r} is no metadata key: use a-z, 0-9, '-', '_' and '.'", inner.word_place(key))
        if not value.isascii():
            raise ScenarioError(f"the value of {key!r} must be printable ASCII", inner.place_of(key))
        pairs.append((key, value))
    return tuple(pairs)


def _retry(fields: Fields) -> Retry:
    node = fields.node("retry")
    if isinstance(node, Text):
        return _made(lambda: Retry(attempts=fields.whole("retry", least=2, most=5, default=3)), node.place)
    assert node is not None  # noqa: S101 -- the word is there
    inner = Fields(node, "a retry")
    inner.only((*_RETRY, "codes", "budget"))
    values = _values(inner, _RETRY)
    if "codes" in inner:
        values["codes"] = tuple(code_of(text, place) for place, text in inner.texts("codes"))
    if "budget" in inner:
        share = quantity.share(inner.text("budget"))
        if share is None:
            raise ScenarioError("'budget' is a share of the calls: 20%", inner.place_of("budget"))
        values["budget"] = _made(lambda: RetryBudget(percent=share * 100), inner.place_of("budget"))
    return _made(lambda: Retry(**values), inner.place)


def _outlier_detection(fields: Fields) -> OutlierDetection:
    node = fields.node("outlier-detection")
    assert node is not None  # noqa: S101 -- the word is there
    inner = Fields(node, "an outlier detection")
    inner.only((*_OUTLIER, "success-rate", "failure-percentage"))
    values = _values(inner, _OUTLIER)
    # What is named is looked at; without a name the field's own default, the success rate.
    if "failure-percentage" in inner:
        part = Fields(_node(inner, "failure-percentage"), "a failure percentage")
        part.only(_FAILURES)
        values["failure_percentage"] = _made(lambda: FailurePercentage(**_values(part, _FAILURES)), part.place)
        values["success_rate"] = None
    if "success-rate" in inner:
        rate = Fields(_node(inner, "success-rate"), "a success rate")
        rate.only(_SUCCESS_RATE)
        values["success_rate"] = _made(lambda: SuccessRate(**_values(rate, _SUCCESS_RATE)), rate.place)
    return _made(lambda: OutlierDetection(**values), inner.place)


def _node(fields: Fields, word: str) -> Any:
    return fields.node(word)


def _values(fields: Fields, known: dict[str, tuple[str, str]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for word, (name, kind) in known.items():
        if word not in fields:
            continue
        match kind:
            case "time":
                found[name] = fields.seconds(word, most=_DAY_S)
            case "whole":
                found[name] = fields.whole(word, least=0, most=2**31, default=0)
            case "percent":
                found[name] = round(100 * _share(fields, word))
            case _:
                found[name] = _number(fields, word)
    return found


def _share(fields: Fields, word: str) -> float:
    share = quantity.share(fields.text(word))
    if share is None or share > 1:
        raise ScenarioError(f"'{word}' is a share: 0% to 100%", fields.place_of(word))
    return share


def _number(fields: Fields, word: str) -> float:
    number = quantity.number(fields.text(word))
    if number is None:
        raise ScenarioError(f"'{word}' is a number", fields.place_of(word))
    return number


def _made(make: Callable[[], Made], place: Place) -> Made:
    """What `make` makes; its own word of what is wrong gets the place."""
    try:
        return make()
    except ValueError as error:
        raise ScenarioError(str(error), place) from None
