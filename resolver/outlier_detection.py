"""Outlier detection as data, in the field's terms (gRFC A50, Envoy). How it becomes xDS: see xds/policies.py."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any


def in_json(seconds: float) -> str:
    """A duration as protobuf's JSON has it: `0.1s`."""
    return f"{seconds:.9f}".rstrip("0").rstrip(".") + "s"


def expect_seconds(name: str, value: float, *, at_least: float, at_most: float = 315_576_000_000.0) -> None:
    """Raise ValueError unless it is a time in seconds within the bounds."""
    if not math.isfinite(value) or not at_least <= value <= at_most:
        raise ValueError(f"{name} must be at least {at_least:g} s and finite, not {value!r}")


def _expect_whole(part: object, name: str, low: int, high: int) -> None:
    value = getattr(part, name)
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise ValueError(f"outlier detection's {name} must be a whole number from {low} to {high}, not {value!r}")


def _expect_algorithm(part: SuccessRate | FailurePercentage) -> None:
    # With 0 percent xDS means that the algorithm is off; to say so there is None.
    _expect_whole(part, "enforcement_percentage", 1, 100)
    _expect_whole(part, "minimum_hosts", 0, 2**32 - 1)
    _expect_whole(part, "request_volume", 0, 2**32 - 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class SuccessRate:
    """Ejects an endpoint whose success rate lies below mean - stdev_factor / 1000 * standard deviation.

    Of n endpoints none can lie further from the mean than the square root of n - 1 standard deviations: with the usual
    factor of 1900 nobody is ejected while there are fewer than five.

    Attributes:
        stdev_factor: A thousand times the factor.
        enforcement_percentage: How probably an outlier is ejected, 1 to 100.
        minimum_hosts: So many endpoints must have had `request_volume` calls within the interval.
        request_volume: So many calls an endpoint must have had within the interval to be looked at.
    """

    stdev_factor: int = 1900
    enforcement_percentage: int = 100
    minimum_hosts: int = 5
    request_volume: int = 100

    def __post_init__(self) -> None:
        _expect_whole(self, "stdev_factor", 0, 2**32 - 1)
        _expect_algorithm(self)

    def as_config(self) -> dict[str, Any]:
        """As `successRateEjection` of a service config."""
        return _as_config(self, ("stdev_factor",))


@dataclass(frozen=True, slots=True, kw_only=True)
class FailurePercentage:
    """Ejects an endpoint of whose calls more than `threshold` percent failed, whatever the others do.

    Attributes:
        threshold: Percent, 0 to 100.
        enforcement_percentage: How probably such an endpoint is ejected, 1 to 100.
        minimum_hosts: So many endpoints must have had `request_volume` calls within the interval.
        request_volume: So many calls an endpoint must have had within the interval to be looked at.
    """

    threshold: int = 85
    enforcement_percentage: int = 100
    minimum_hosts: int = 5
    request_volume: int = 50

    def __post_init__(self) -> None:
        _expect_whole(self, "threshold", 0, 100)
        _expect_algorithm(self)

    def as_config(self) -> dict[str, Any]:
        """As `failurePercentageEjection` of a service config."""
        return _as_config(self, ("threshold",))


@dataclass(frozen=True, slots=True, kw_only=True)
class OutlierDetection:
    """Gives no calls to an endpoint that fails more than others, for a while; its connection is kept (gRFC A50).

    Looked at once each `interval_s`. An endpoint is out for `base_ejection_time_s` times how often it was ejected
    lately, at most `max_ejection_time_s`. The defaults are the field's: for large fleets and long intervals.

    Attributes:
        interval_s: Between two looks.
        base_ejection_time_s: The first ejection's length; it ends at the first look after that.
        max_ejection_time_s: The longest; never less than the base.
        max_ejection_percent: With so many percent ejected, nobody more is. One always may be, unless it is 0.
        success_rate: Compares endpoints with each other; None not to.
        failure_percentage: Looks at each by itself; None not to.
    """

    interval_s: float = 10.0
    base_ejection_time_s: float = 30.0
    max_ejection_time_s: float = 300.0
    max_ejection_percent: int = 10
    success_rate: SuccessRate | None = SuccessRate()
    failure_percentage: FailurePercentage | None = None

    def __post_init__(self) -> None:
        for name in ("interval_s", "base_ejection_time_s", "max_ejection_time_s"):
            expect_seconds(f"outlier detection's {name}", getattr(self, name), at_least=0.001)
        _expect_whole(self, "max_ejection_percent", 0, 100)
        if self.success_rate is None and self.failure_percentage is None:
            raise ValueError("outlier detection needs success_rate, failure_percentage or both")

    def as_config(self, child: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """As `loadBalancingConfig` of a service config, around another one."""
        config: dict[str, Any] = {
            "interval": in_json(self.interval_s),
            "baseEjectionTime": in_json(self.base_ejection_time_s),
            "maxEjectionTime": in_json(self.max_ejection_time_s),
            "maxEjectionPercent": self.max_ejection_percent,
            "childPolicy": child,
        }
        if self.success_rate is not None:
            config["successRateEjection"] = self.success_rate.as_config()
        if self.failure_percentage is not None:
            config["failurePercentageEjection"] = self.failure_percentage.as_config()
        return [{"outlier_detection_experimental": config}]


def _as_config(part: SuccessRate | FailurePercentage, own: tuple[str, ...]) -> dict[str, Any]:
    found = {}
    for name in (*own, "enforcement_percentage", "minimum_hosts", "request_volume"):
        first, *rest = name.split("_")
        found[first + "".join(word.capitalize() for word in rest)] = getattr(part, name)
    return found
