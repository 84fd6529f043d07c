"""The options by which `lbdemo call` says how calls spread, are tried again, and whom not to trust. Values only."""

from __future__ import annotations

import difflib
import re
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TypeVar

import click

from lb_client.cli.call_values import Duration

if TYPE_CHECKING:
    from collections.abc import Callable

    from lb_client.policy import Policy

NAMES = ("round_robin", "pick_first", "weighted_round_robin", "ring_hash", "static_weights")

# What people know from elsewhere, and gRPC core does not have.
_NOT_IN_CORE = {
    "least_request": "gRPC core has none (Envoy does): weighted_round_robin follows the load that replicas report",
    "random": "gRPC core has none: round_robin spreads more evenly",
    "random_subsetting": "gRPC core has none: every client connects to all endpoints",
    "hedging": "gRPC core reads a hedging policy and does not follow it: --retry sends calls again that failed",
    "maglev": "gRPC core has none: ring_hash hashes consistently too",
}

# For a few replicas and runs of seconds. The field's own defaults are for large fleets, and stand in lb_client.policy.
_LAB_DETECTION = {
    "interval_s": 1.0,
    "base_ejection_time_s": 5.0,
    "max_ejection_time_s": 60.0,
    "max_ejection_percent": 50,
}
_LAB_HOSTS = {"minimum_hosts": 2, "request_volume": 10}
_LAB_THRESHOLD = 30
# As often as core looks at weights, and from the first report on.
_LAB_WEIGHTS = {"blackout_period_s": 0.0, "weight_update_period_s": 0.1}

_PERCENT = re.compile(r"(\d{1,3}(?:\.\d+)?)%?", re.ASCII)

F = TypeVar("F", bound="Callable[..., Any]")


def policy_options(function: F) -> F:
    """All of them, on a command whose parameters they become."""
    for option in reversed((
        click.option(
            "--policy", type=PolicyName(), default="round_robin", show_default=True, help="How calls spread."
        ),
        click.option("--hash-header", metavar="KEY", help="With ring_hash: the metadata key whose value is hashed."),
        click.option(
            "--retry",
            type=Attempts(),
            help="Send a call up to so many times, 2 to 5, while it ends with one of the codes  [UNAVAILABLE].",
        ),
        click.option("--retry-backoff", type=Backoff(), help="Wait before a retry, doubled each time  [25ms,250ms]."),
        click.option("--retry-budget", type=Percent(), help="At most so many retries for 100 calls; none more then."),
        click.option(
            "--outlier-detection",
            type=Detection(),
            is_flag=False,
            flag_value="",
            help="Eject replicas of whose calls more than 30 % fail within 1 s, for 5 s: interval=1s, "
            "base-ejection-time=5s, failure-percentage=30, success-rate=1900, max-ejection=50, ….",
        ),
    )):  # fmt: skip
        function = option(function)
    return function


def policy_of(
    name: str,
    *,
    hash_header: str | None = None,
    retry: tuple[int, tuple[str, ...]] | None = None,
    retry_backoff: tuple[float, float] | None = None,
    retry_budget: float | None = None,
    outlier_detection: dict[str, Any] | None = None,
) -> Policy:
    """The policy that the options say.

    Raises:
        click.UsageError: They contradict each other.
    """
    from lb_client import policy as policies  # noqa: PLC0415 -- help needs none of it

    kinds: dict[str, Any] = {
        "round_robin": policies.RoundRobin,
        "pick_first": policies.PickFirst,
        "weighted_round_robin": policies.WeightedRoundRobin,
        "ring_hash": policies.RingHash,
        "static_weights": policies.StaticWeights,
    }
    own: dict[str, Any] = dict(_LAB_WEIGHTS) if name == "weighted_round_robin" else {}
    if (name == "ring_hash") != (hash_header is not None):
        missing = "--policy ring_hash needs --hash-header: the metadata key whose value is hashed."
        raise click.UsageError(missing if hash_header is None else "--hash-header is for --policy ring_hash.")
    if hash_header is not None:
        own["header"] = hash_header
    if retry is None and (retry_backoff is not None or retry_budget is not None):
        raise click.UsageError("--retry-backoff and --retry-budget go with --retry ATTEMPTS.")
    try:
        if retry is not None:
            attempts, codes = retry
            waits = (
                {}
                if retry_backoff is None
                else dict(zip(("base_interval_s", "max_interval_s"), retry_backoff, strict=True))
            )
            budget = None if retry_budget is None else policies.RetryBudget(percent=retry_budget)
            own["retry"] = policies.Retry(attempts=attempts, codes=codes, budget=budget, **waits)
        if outlier_detection is not None:
            own["outlier_detection"] = _detection(outlier_detection)
        policy: Policy = kinds[name](**own)
    except ValueError as error:
        raise click.UsageError(f"{error}.") from None
    return policy


def expect_client(ctx: click.Context, via: str) -> None:
    """Refuse these options where an Envoy balances.

    Raises:
        click.UsageError: One was given.
    """
    if via != "proxy":
        return
    for name in ("policy", "hash_header", "retry", "retry_backoff", "retry_budget", "outlier_detection"):
        if ctx.get_parameter_source(name) not in (None, click.core.ParameterSource.DEFAULT):
            option = f"--{name.replace('_', '-')}"
            raise click.UsageError(f"{option} is the client's, and with --via proxy an Envoy balances, by round_robin.")


def expect_service_config(policy: Policy) -> None:
    """Refuse what gRPC's own targets cannot do.

    Raises:
        click.UsageError: It needs our control plane.
    """
    try:
        policy.service_config()
    except ValueError as error:
        raise click.UsageError(f"{error}.") from None


def as_requested(policy: Policy) -> dict[str, Any]:
    """What of it stands in the report's `requested`, beside its name."""
    return {
        "hash_header": getattr(policy, "header", None),
        "retry": None if policy.retry is None else asdict(policy.retry),
        "outlier_detection": None if policy.outlier_detection is None else asdict(policy.outlier_detection),
    }


def _detection(given: dict[str, Any]) -> Any:
    from lb_client.policy import FailurePercentage, OutlierDetection, SuccessRate  # noqa: PLC0415 -- as above

    values = {**_LAB_DETECTION, **given}
    hosts = {
        **_LAB_HOSTS,
        **{name: values.pop(name) for name in (*_LAB_HOSTS, "enforcement_percentage") if name in values},
    }
    stdev, threshold = values.pop("stdev_factor", None), values.pop("threshold", None)
    if stdev is None and threshold is None:
        threshold = _LAB_THRESHOLD
    values["max_ejection_time_s"] = max(values["max_ejection_time_s"], values["base_ejection_time_s"])
    return OutlierDetection(
        success_rate=None if stdev is None else SuccessRate(stdev_factor=stdev, **hosts),
        failure_percentage=None if threshold is None else FailurePercentage(threshold=threshold, **hosts),
        **values,
    )


class PolicyName(click.ParamType[str]):
    """One of the policies; what gRPC core does not have is told apart from what is mistyped."""

    name = "POLICY"

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:  # noqa: ARG002 -- click's signature
        """The names."""
        return f"[{'|'.join(NAMES)}]"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The name; a click error names the nearest one."""
        name = str(value).strip().lower().replace("-", "_")
        if name in NAMES:
            return name
        near = difflib.get_close_matches(name, (*NAMES, *_NOT_IN_CORE), n=1)
        if near and near[0] in _NOT_IN_CORE:
            self.fail(f"there is no {near[0]}: {_NOT_IN_CORE[near[0]]}.", param, ctx)
        meant = f"did you mean {near[0]}?" if near else f"there are {', '.join(NAMES)}."
        return self.fail(f"{str(value)!r} is no policy: {meant}", param, ctx)


class Attempts(click.ParamType[tuple[int, tuple[str, ...]]]):
    """`3`, or with codes: `3:UNAVAILABLE,INTERNAL`."""

    name = "ATTEMPTS[:CODE,…]"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, tuple[str, ...]]:
        """Attempts and codes; a click error says what is possible."""
        from resolver.retry import MAX_ATTEMPTS, RETRYABLE  # noqa: PLC0415 -- help needs none of it

        attempts, _, listed = str(value).strip().partition(":")
        if not attempts.isascii() or not attempts.isdigit() or not 2 <= int(attempts) <= MAX_ATTEMPTS:
            self.fail(
                f"{attempts!r} are no attempts: 2 to {MAX_ATTEMPTS}, the first included; gRPC makes no more.",
                param,
                ctx,
            )
        codes = tuple(code.strip().upper().replace("-", "_") for code in (listed or "UNAVAILABLE").split(","))
        for code in codes:
            if code not in RETRYABLE:
                near = difflib.get_close_matches(code, RETRYABLE, n=1)
                meant = f"did you mean {near[0]}?" if near else f"xDS can name {', '.join(RETRYABLE)}."
                self.fail(f"{code!r} cannot be retried: {meant}", param, ctx)
        return int(attempts), tuple(dict.fromkeys(codes))


class Backoff(click.ParamType[tuple[float, float]]):
    """`25ms`, or with the longest wait: `25ms,1s`."""

    name = "TIME[,MAX]"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, float]:
        """Base and longest, in seconds; unsaid, the longest is ten times the base."""
        base, _, most = str(value).partition(",")
        base_s = Duration().convert(base, param, ctx)
        return base_s, Duration().convert(most, param, ctx) if most else 10 * base_s


class Percent(click.ParamType[float]):
    """`20`, or `20%`."""

    name = "PERCENT"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Percent, 0 to 100; a click error says so."""
        form = _PERCENT.fullmatch(str(value).strip())
        if not form or float(form[1]) > 100:
            self.fail(f"{str(value)!r} is no percentage: write 0 to 100.", param, ctx)
        return float(form[1])


# As in scenarios: word -> the field of the dataclass, and the kind of value.
_WORDS = {
    "interval": ("interval_s", "time"),
    "base-ejection-time": ("base_ejection_time_s", "time"),
    "max-ejection-time": ("max_ejection_time_s", "time"),
    "max-ejection": ("max_ejection_percent", "percent"),
    "failure-percentage": ("threshold", "percent"),
    "success-rate": ("stdev_factor", "whole"),
    "enforcement": ("enforcement_percentage", "percent"),
    "minimum-hosts": ("minimum_hosts", "whole"),
    "request-volume": ("request_volume", "whole"),
}


class Detection(click.ParamType[dict[str, Any]]):
    """`interval=1s,failure-percentage=30`; nothing at all for the defaults."""

    name = "KEY=VALUE,…"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> dict[str, Any]:
        """The fields that were given; a click error names the nearest word."""
        if isinstance(value, dict):
            return value
        found: dict[str, Any] = {}
        for piece in str(value).split(",") if str(value).strip() else ():
            word, equals, text = (part.strip() for part in piece.partition("="))
            if word not in _WORDS:
                near = difflib.get_close_matches(word, _WORDS, n=1)
                self.fail(
                    f"{word!r} is unknown: " + (f"did you mean {near[0]}?" if near else f"use {', '.join(_WORDS)}."),
                    param,
                    ctx,
                )
            field, kind = _WORDS[word]
            if not equals or not text:
                self.fail(f"{word} needs a value: {word}={'1s' if kind == 'time' else '30'}.", param, ctx)
            if field in found:
                self.fail(f"{word} is given twice.", param, ctx)
            found[field] = self._value(word, kind, text, param, ctx)
        return found

    def _value(
        self, word: str, kind: str, text: str, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        if kind == "time":
            return Duration().convert(text, param, ctx)
        if kind == "percent":
            return round(Percent().convert(text, param, ctx))
        if not text.isascii() or not text.isdigit():
            self.fail(f"{word}={text}: {text!r} is no whole number.", param, ctx)
        return int(text)
