"""Load-balancing policies as data. How each becomes xDS stands in xds/policies.py, as service config here."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from resolver.outlier_detection import expect_seconds, in_json

if TYPE_CHECKING:
    from resolver.outlier_detection import OutlierDetection
    from resolver.retry import Retry


@dataclass(frozen=True, slots=True)
class _Policy:
    """What all have in common."""

    name: ClassVar[str]

    outlier_detection: OutlierDetection | None = field(default=None, kw_only=True)
    retry: Retry | None = field(default=None, kw_only=True)

    def service_config(self) -> str:
        """The `grpc.service_config` that asks for it on a target that is not ours, as JSON.

        Raises:
            ValueError: A service config cannot say it.
        """
        config: list[dict[str, Any]] = [{self.name: self._config()}]
        if self.outlier_detection is not None:
            config = self.outlier_detection.as_config(config)
        if self.retry is None:
            return json.dumps({"loadBalancingConfig": config})
        if self.retry.budget is not None:
            raise ValueError("a retry budget is kept by the control plane, and this target has none of ours")
        return json.dumps({"loadBalancingConfig": config, **self.retry.as_config()})

    def _config(self) -> dict[str, Any]:
        return {}


@dataclass(frozen=True, slots=True)
class RoundRobin(_Policy):
    """Each call to the next endpoint in turn (gRFC A27: the xDS default). Ignores weights.

    Attributes:
        outlier_detection: Gives no calls to endpoints that fail more than others; None for none.
        retry: Sends calls again that failed; None for none.
    """

    name: ClassVar[str] = "round_robin"


@dataclass(frozen=True, slots=True)
class PickFirst(_Policy):
    """All calls to the first endpoint that connects: what a channel does when nobody says otherwise (gRFC A62).

    It stays with its one connection, so that core ejects nothing under it: `outlier_detection` is refused.

    Attributes:
        retry: Sends calls again that failed; None for none.
    """

    name: ClassVar[str] = "pick_first"

    def __post_init__(self) -> None:
        if self.outlier_detection is not None:
            raise ValueError("under pick_first gRPC core ejects nothing: outlier_detection needs another policy")


@dataclass(frozen=True, slots=True)
class WeightedRoundRobin(_Policy):
    """Each endpoint as much as it can bear by its own word: requests a second / utilization (gRFC A58).

    Servers report their load with each answer, as ORCA in trailing metadata (gRFC A51). An endpoint without a weight
    gets the average; while fewer than two have one, calls go in turn.

    Attributes:
        blackout_period_s: A new connection's reports are not used for so long.
        weight_expiration_period_s: A weight is used no longer without a new report.
        weight_update_period_s: Between two looks at the weights; 0.1 at least.
        error_utilization_penalty: Errors / requests, times this, counts as utilization too.
        outlier_detection: Gives no calls to endpoints that fail more than others; None for none.
        retry: Sends calls again that failed; None for none.
    """

    blackout_period_s: float = field(default=10.0, kw_only=True)
    weight_expiration_period_s: float = field(default=180.0, kw_only=True)
    weight_update_period_s: float = field(default=1.0, kw_only=True)
    error_utilization_penalty: float = field(default=1.0, kw_only=True)
    name: ClassVar[str] = "weighted_round_robin"

    def __post_init__(self) -> None:
        expect_seconds("blackout_period_s", self.blackout_period_s, at_least=0)
        expect_seconds("weight_expiration_period_s", self.weight_expiration_period_s, at_least=0.1)
        expect_seconds("weight_update_period_s", self.weight_update_period_s, at_least=0.1)
        if not 0 <= self.error_utilization_penalty < math.inf:
            raise ValueError(f"error_utilization_penalty must be 0 or more, not {self.error_utilization_penalty!r}")

    def _config(self) -> dict[str, Any]:
        return {
            "blackoutPeriod": in_json(self.blackout_period_s),
            "weightExpirationPeriod": in_json(self.weight_expiration_period_s),
            "weightUpdatePeriod": in_json(self.weight_update_period_s),
            "errorUtilizationPenalty": self.error_utilization_penalty,
        }


@dataclass(frozen=True, slots=True)
class RingHash(_Policy):
    """Calls with an equal header value to the same endpoint, by consistent hashing (gRFC A42). Ignores nothing else.

    Attributes:
        header: The metadata key whose value is hashed, in lower case. Calls without it spread at random.
        outlier_detection: Gives no calls to endpoints that fail more than others; None for none.
        retry: Sends calls again that failed, which lead to the same endpoint while it is connected; None for none.
    """

    header: str
    name: ClassVar[str] = "ring_hash"

    def __post_init__(self) -> None:
        if not self.header or self.header != self.header.lower() or self.header.endswith("-bin"):
            raise ValueError(f"ring_hash needs a metadata key in lower case, and none for bytes, not {self.header!r}")

    def service_config(self) -> str:
        """Raises ValueError: core hashes by a header as a route tells it, or under an experimental variable."""
        raise ValueError("ring_hash needs a target of ours: on another one gRPC has no header to hash by")


@dataclass(frozen=True, slots=True)
class StaticWeights(_Policy):
    """Each endpoint as much as its record's weight says, whatever it reports: of 5, 3 and 2 the first gets half.

    An endpoint is drawn for each call (xDS: wrr_locality over localities of one endpoint each), so that counts come
    close to the weights without being exact. One that is not connected leaves its part to the others.

    Attributes:
        outlier_detection: Gives no calls to endpoints that fail more than others; None for none.
        retry: Sends calls again that failed; None for none.
    """

    name: ClassVar[str] = "static_weights"

    def service_config(self) -> str:
        """Raises ValueError: weights are those of records."""
        raise ValueError("static_weights needs a target of ours: on another one nobody tells weights")


Policy = RoundRobin | PickFirst | WeightedRoundRobin | RingHash | StaticWeights
