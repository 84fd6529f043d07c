"""Policies as values: what they refuse, and what they become as xDS and as service config."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.listener.v3 import listener_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2
from envoy.extensions.load_balancing_policies.client_side_weighted_round_robin.v3 import (
    client_side_weighted_round_robin_pb2,
)
from google.protobuf import json_format

from lb_client.policy import (
    FailurePercentage,
    OutlierDetection,
    PickFirst,
    Policy,
    Retry,
    RetryBudget,
    RingHash,
    RoundRobin,
    SuccessRate,
    WeightedRoundRobin,
)
from resolver.xds import resources

if TYPE_CHECKING:
    from collections.abc import Callable


def cluster(policy: Policy) -> cluster_pb2.Cluster:
    return cluster_pb2.Cluster.FromString(resources.cluster("k", "s", policy, "1").body.value)


def route(policy: Policy) -> Any:
    listener = listener_pb2.Listener.FromString(resources.listener("k", policy, "1").body.value)
    manager = http_connection_manager_pb2.HttpConnectionManager()
    listener.api_listener.api_listener.Unpack(manager)
    return manager.route_config.virtual_hosts[0].routes[0].route


def test_nothing_is_said_of_what_nobody_asked_for() -> None:
    assert not cluster(RoundRobin()).HasField("outlier_detection")
    assert not route(RoundRobin()).HasField("retry_policy")


def test_weighted_round_robin_says_its_periods() -> None:
    policy = WeightedRoundRobin(blackout_period_s=0, weight_update_period_s=0.25, error_utilization_penalty=2)
    found = cluster(policy).load_balancing_policy.policies[0].typed_extension_config
    config = client_side_weighted_round_robin_pb2.ClientSideWeightedRoundRobin()
    assert found.typed_config.Unpack(config)
    assert json_format.MessageToDict(config) == {
        "blackoutPeriod": "0s",
        "weightExpirationPeriod": "180s",
        "weightUpdatePeriod": "0.250s",
        "errorUtilizationPenalty": 2.0,
    }


def test_outlier_detection_says_every_figure_and_switches_off_what_is_not_wanted() -> None:
    detection = OutlierDetection(
        interval_s=0.5,
        base_ejection_time_s=1,
        max_ejection_time_s=4,
        max_ejection_percent=50,
        success_rate=None,
        failure_percentage=FailurePercentage(threshold=40, minimum_hosts=2, request_volume=10),
    )
    assert json_format.MessageToDict(cluster(RoundRobin(outlier_detection=detection)).outlier_detection) == {
        "interval": "0.500s",
        "baseEjectionTime": "1s",
        "maxEjectionTime": "4s",
        "maxEjectionPercent": 50,
        "enforcingSuccessRate": 0,
        "enforcingFailurePercentage": 100,
        "failurePercentageThreshold": 40,
        "failurePercentageMinimumHosts": 2,
        "failurePercentageRequestVolume": 10,
    }
    other = cluster(RoundRobin(outlier_detection=OutlierDetection(success_rate=SuccessRate(stdev_factor=1200))))
    assert other.outlier_detection.enforcing_success_rate.value == 100
    assert other.outlier_detection.success_rate_stdev_factor.value == 1200
    assert other.outlier_detection.enforcing_failure_percentage.value == 0


def test_retry_is_the_routes() -> None:
    policy = RoundRobin(
        retry=Retry(attempts=4, codes=("UNAVAILABLE", "RESOURCE_EXHAUSTED"), base_interval_s=0.01, max_interval_s=0.1)
    )
    assert json_format.MessageToDict(route(policy).retry_policy) == {
        "retryOn": "unavailable,resource-exhausted",
        "numRetries": 3,
        "retryBackOff": {"baseInterval": "0.010s", "maxInterval": "0.100s"},
    }


def test_a_service_config_says_the_same() -> None:
    detection = OutlierDetection(interval_s=0.1, success_rate=None, failure_percentage=FailurePercentage(threshold=30))
    config = json.loads(WeightedRoundRobin(outlier_detection=detection, retry=Retry()).service_config())
    (outer,) = config["loadBalancingConfig"]
    outlier = outer["outlier_detection_experimental"]
    assert outlier["interval"] == "0.1s"
    assert outlier["failurePercentageEjection"] == {
        "threshold": 30, "enforcementPercentage": 100, "minimumHosts": 5, "requestVolume": 50,
    }  # fmt: skip
    assert "successRateEjection" not in outlier
    assert outlier["childPolicy"][0]["weighted_round_robin"]["weightUpdatePeriod"] == "1s"
    assert config["methodConfig"][0]["retryPolicy"]["maxAttempts"] == 3
    assert json.loads(PickFirst().service_config()) == {"loadBalancingConfig": [{"pick_first": {}}]}


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Retry(attempts=1), "attempts must be from 2 to 5"),
        (lambda: Retry(attempts=6), "gRPC makes no more"),
        (lambda: Retry(codes=()), "codes must be some of CANCELLED"),
        (lambda: Retry(codes=("NOT_FOUND",)), "not \\('NOT_FOUND',\\)"),
        (lambda: Retry(base_interval_s=0), "base_interval_s must be at least 0.002 s"),
        (lambda: Retry(base_interval_s=1, max_interval_s=0.5), "max_interval_s must be at least 1 s"),
        (lambda: RetryBudget(percent=101), "percent must be from 0 to 100"),
        (lambda: OutlierDetection(success_rate=None), "needs success_rate, failure_percentage or both"),
        (lambda: OutlierDetection(interval_s=0), "interval_s must be at least"),
        (lambda: OutlierDetection(interval_s=float("nan")), "finite"),
        (lambda: OutlierDetection(max_ejection_percent=101), "max_ejection_percent must be a whole number from 0"),
        (lambda: FailurePercentage(threshold=101), "threshold must be"),
        (lambda: SuccessRate(enforcement_percentage=0), "enforcement_percentage must be a whole number from 1"),
        (lambda: PickFirst(outlier_detection=OutlierDetection()), "under pick_first gRPC core ejects nothing"),
        (lambda: RingHash("Key"), "lower case"),
        (lambda: WeightedRoundRobin(weight_update_period_s=0.05), "weight_update_period_s must be at least 0.1"),
        (lambda: RingHash("key").service_config(), "needs a target of ours"),
        (lambda: RoundRobin(retry=Retry(budget=RetryBudget())).service_config(), "control plane"),
    ],
)
def test_what_cannot_be_meant_is_refused(make: Callable[[], object], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        make()


def test_policies_are_values() -> None:
    one, other = (RoundRobin(retry=Retry(), outlier_detection=OutlierDetection()) for _ in range(2))
    assert one == other
    assert hash(one) == hash(other)
    assert one != RoundRobin()
