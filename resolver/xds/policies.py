"""Policies as the parts of xDS resources that say them: pure functions. Who puts them in: resources.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

from envoy.config.cluster.v3 import cluster_pb2, outlier_detection_pb2
from envoy.config.core.v3 import extension_pb2
from envoy.config.route.v3 import route_components_pb2
from google.protobuf import any_pb2, duration_pb2, wrappers_pb2

from resolver.policy import PickFirst, RingHash, RoundRobin, StaticWeights, WeightedRoundRobin

if TYPE_CHECKING:
    from resolver.outlier_detection import OutlierDetection
    from resolver.policy import Policy
    from resolver.retry import Retry

_EXTENSIONS = "type.googleapis.com/envoy.extensions.load_balancing_policies."

# More places than the default 1024 for each endpoint to have: 200 keys over 3 endpoints spread within a few of even.
RING_SIZE = 4096


def load_balancing_policy(policy: Policy) -> cluster_pb2.LoadBalancingPolicy:
    """A cluster's `load_balancing_policy`: the policy itself, not below one that picks a locality first."""
    config = extension_pb2.TypedExtensionConfig(name=policy.name, typed_config=_policy_config(policy))
    return cluster_pb2.LoadBalancingPolicy(
        policies=[cluster_pb2.LoadBalancingPolicy.Policy(typed_extension_config=config)]
    )


def _policy_config(policy: Policy) -> any_pb2.Any:
    box = any_pb2.Any()
    match policy:
        case RingHash():
            from envoy.extensions.load_balancing_policies.ring_hash.v3 import ring_hash_pb2  # noqa: PLC0415 -- 3 ms

            box.Pack(
                ring_hash_pb2.RingHash(
                    hash_function=ring_hash_pb2.RingHash.XX_HASH,
                    minimum_ring_size=wrappers_pb2.UInt64Value(value=RING_SIZE),
                )
            )
            return box
        case WeightedRoundRobin():
            from envoy.extensions.load_balancing_policies.client_side_weighted_round_robin.v3 import (  # noqa: PLC0415 -- as above
                client_side_weighted_round_robin_pb2,
            )

            box.Pack(
                client_side_weighted_round_robin_pb2.ClientSideWeightedRoundRobin(
                    blackout_period=_duration(policy.blackout_period_s),
                    weight_expiration_period=_duration(policy.weight_expiration_period_s),
                    weight_update_period=_duration(policy.weight_update_period_s),
                    error_utilization_penalty=wrappers_pb2.FloatValue(value=policy.error_utilization_penalty),
                )
            )
            return box
        case StaticWeights():
            from envoy.extensions.load_balancing_policies.wrr_locality.v3 import wrr_locality_pb2  # noqa: PLC0415 -- as above

            picking = load_balancing_policy(RoundRobin())
            box.Pack(wrr_locality_pb2.WrrLocality(endpoint_picking_policy=picking))
            return box
        case RoundRobin():
            name = "round_robin.v3.RoundRobin"
        case PickFirst():
            name = "pick_first.v3.PickFirst"
    # Messages without a field set: their names are all there is to say, and importing their modules takes its time.
    return any_pb2.Any(type_url=_EXTENSIONS + name)


def outlier_detection(detection: OutlierDetection) -> outlier_detection_pb2.OutlierDetection:
    """A cluster's `outlier_detection` (gRFC A50): an algorithm that is not wanted is enforced at 0 percent."""
    message = outlier_detection_pb2.OutlierDetection(
        interval=_duration(detection.interval_s),
        base_ejection_time=_duration(detection.base_ejection_time_s),
        max_ejection_time=_duration(detection.max_ejection_time_s),
        max_ejection_percent=_whole(detection.max_ejection_percent),
        enforcing_success_rate=_whole(0),
        enforcing_failure_percentage=_whole(0),
    )
    if (rate := detection.success_rate) is not None:
        message.enforcing_success_rate.value = rate.enforcement_percentage
        message.success_rate_stdev_factor.value = rate.stdev_factor
        message.success_rate_minimum_hosts.value = rate.minimum_hosts
        message.success_rate_request_volume.value = rate.request_volume
    if (failures := detection.failure_percentage) is not None:
        message.enforcing_failure_percentage.value = failures.enforcement_percentage
        message.failure_percentage_threshold.value = failures.threshold
        message.failure_percentage_minimum_hosts.value = failures.minimum_hosts
        message.failure_percentage_request_volume.value = failures.request_volume
    return message


def retry_policy(retry: Retry) -> route_components_pb2.RetryPolicy:
    """A route's `retry_policy` (gRFC A44)."""
    return route_components_pb2.RetryPolicy(
        retry_on=",".join(code.lower().replace("_", "-") for code in retry.codes),
        num_retries=_whole(retry.attempts - 1),
        retry_back_off=route_components_pb2.RetryPolicy.RetryBackOff(
            base_interval=_duration(retry.base_interval_s), max_interval=_duration(retry.max_interval_s)
        ),
    )


def hash_policy(policy: Policy) -> route_components_pb2.RouteAction.HashPolicy:
    """What a call is hashed by. Without a word core draws a random number for each call: 20,000 instructions."""
    if isinstance(policy, RingHash):
        header = route_components_pb2.RouteAction.HashPolicy.Header(header_name=policy.header)
        return route_components_pb2.RouteAction.HashPolicy(header=header)
    by_channel = route_components_pb2.RouteAction.HashPolicy.FilterState(key="io.grpc.channel_id")
    return route_components_pb2.RouteAction.HashPolicy(filter_state=by_channel)


def _duration(seconds: float) -> duration_pb2.Duration:
    whole, nanos = divmod(round(seconds * 1e9), 1_000_000_000)
    return duration_pb2.Duration(seconds=whole, nanos=nanos)


def _whole(value: int) -> wrappers_pb2.UInt32Value:
    return wrappers_pb2.UInt32Value(value=value)
