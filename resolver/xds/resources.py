"""xDS resources from services and snapshots: pure functions, names included. Who gets them: see subscriptions.py.

Names follow gRFC A47 (xdstp) under the authority `lbdemo`, each with its own type: a listener and a cluster for every
service (a target with a policy), an endpoint assignment for every source that services share, and one more for those of
them that hash.
"""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from envoy.config.cluster.v3 import circuit_breaker_pb2, cluster_pb2
from envoy.config.core.v3 import address_pb2, base_pb2, config_source_pb2, health_check_pb2
from envoy.config.endpoint.v3 import endpoint_components_pb2, endpoint_pb2
from envoy.config.listener.v3 import api_listener_pb2, listener_pb2
from envoy.config.route.v3 import route_components_pb2, route_pb2
from envoy.extensions.filters.http.router.v3 import router_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2
from google.protobuf import any_pb2, wrappers_pb2

from resolver.model import Health, Snapshot
from resolver.policy import Policy, RingHash
from resolver.xds import policies

if TYPE_CHECKING:
    from collections.abc import Sequence

    from google.protobuf.message import Message

AUTHORITY = "lbdemo"

_TYPES = "type.googleapis.com/"
LISTENER = _TYPES + "envoy.config.listener.v3.Listener"
ROUTES = _TYPES + "envoy.config.route.v3.RouteConfiguration"
CLUSTER = _TYPES + "envoy.config.cluster.v3.Cluster"
ENDPOINTS = _TYPES + "envoy.config.endpoint.v3.ClusterLoadAssignment"

_STATUS = {
    Health.UNKNOWN: health_check_pb2.UNKNOWN,
    Health.HEALTHY: health_check_pb2.HEALTHY,
    Health.UNHEALTHY: health_check_pb2.UNHEALTHY,
    Health.DRAINING: health_check_pb2.DRAINING,
}


# Unsaid, xDS lets 1024 requests of a process be in flight in a cluster and drops the next (gRFC A32).
_NO_LIMIT = circuit_breaker_pb2.CircuitBreakers(
    thresholds=[circuit_breaker_pb2.CircuitBreakers.Thresholds(max_requests=wrappers_pb2.UInt32Value(value=0xFFFFFFFF))]
)


@dataclass(frozen=True, slots=True)
class Resource:
    """One named resource, packed. Two with equal names and versions are the same."""

    type_url: str
    name: str
    version: str
    body: any_pb2.Any


def name(type_url: str, key: str) -> str:
    """The xdstp name of the resource of a type behind a key; the key must need no escaping in a URI path."""
    return f"xdstp://{AUTHORITY}/{type_url.removeprefix(_TYPES)}/{key}"


def plain_name(source_key: str) -> str:
    """The name of the same assignment for Envoy, which encodes xdstp names by rules of its own before it asks."""
    return f"{AUTHORITY}/{source_key}"


def ring_name(source_key: str) -> str:
    """The name of the assignment for policies that hash. No source has this key: its scheme has no underscore."""
    return name(ENDPOINTS, f"ring_hash/{source_key}")


def listener(key: str, policy: Policy, version: str) -> Resource:
    """The listener of a service: every method of every host is routed to the cluster of the same key."""
    action = route_components_pb2.RouteAction(cluster=name(CLUSTER, key), hash_policy=[policies.hash_policy(policy)])
    if policy.retry is not None:
        action.retry_policy.CopyFrom(policies.retry_policy(policy.retry))
    route = route_components_pb2.Route(match=route_components_pb2.RouteMatch(prefix=""), route=action)
    manager = http_connection_manager_pb2.HttpConnectionManager(
        stat_prefix=key,
        route_config=route_pb2.RouteConfiguration(
            name=name(ROUTES, key),
            virtual_hosts=[route_components_pb2.VirtualHost(name=key, domains=["*"], routes=[route])],
        ),
        # gRPC demands a terminal filter (gRFC A39).
        http_filters=[http_connection_manager_pb2.HttpFilter(name="router", typed_config=_packed(router_pb2.Router()))],
    )
    message = listener_pb2.Listener(
        name=name(LISTENER, key), api_listener=api_listener_pb2.ApiListener(api_listener=_packed(manager))
    )
    return Resource(LISTENER, message.name, version, _packed(message))


def cluster(key: str, source_key: str, policy: Policy, version: str) -> Resource:
    """The cluster of a service: its policy, and where its endpoints come from."""
    ads = config_source_pb2.ConfigSource(
        ads=config_source_pb2.AggregatedConfigSource(), resource_api_version=config_source_pb2.V3
    )
    endpoints = ring_name(source_key) if isinstance(policy, RingHash) else name(ENDPOINTS, source_key)
    message = cluster_pb2.Cluster(
        name=name(CLUSTER, key),
        type=cluster_pb2.Cluster.EDS,
        eds_cluster_config=cluster_pb2.Cluster.EdsClusterConfig(eds_config=ads, service_name=endpoints),
        circuit_breakers=_NO_LIMIT,
    )
    # Not by `lb_policy`: that would pick a locality before it picks an endpoint, for each call.
    message.load_balancing_policy.CopyFrom(policies.load_balancing_policy(policy))
    if policy.outlier_detection is not None:
        message.outlier_detection.CopyFrom(policies.outlier_detection(policy.outlier_detection))
    return Resource(CLUSTER, message.name, version, _packed(message))


def assignment(resource_name: str, snapshot: Snapshot) -> Resource:
    """The endpoints of a source, each with its health. All in one locality: with several, picks become random."""
    endpoints = [_lb_endpoint(e.host, e.port, e.weight, e.health) for e in snapshot.endpoints]
    return _assignment(resource_name, snapshot, base_pb2.Locality(region=AUTHORITY), endpoints)


def ring_assignment(resource_name: str, snapshot: Snapshot) -> Resource:
    """The endpoints that take calls, in a locality of that name for these alone: other endpoints, another locality.

    For gRPC core's ring_hash, which can crash its process when it is given other endpoints (docs/xds.md). A locality
    that core has not seen gets a ring of its own, and the ring of the one before is left as it is. So a locality holds
    nothing that could change while its name stays: no endpoint that gets no calls, and one word for all that do.
    """
    ring = [(e.host, e.port, e.weight) for e in snapshot.endpoints if e.health.takes_calls]
    digest = hashlib.blake2b(repr(ring).encode(), digest_size=16).hexdigest()
    endpoints = [_lb_endpoint(host, port, weight, Health.HEALTHY) for host, port, weight in ring]
    return _assignment(resource_name, snapshot, base_pb2.Locality(region=AUTHORITY, zone=digest), endpoints)


def _assignment(
    resource_name: str,
    snapshot: Snapshot,
    locality: base_pb2.Locality,
    endpoints: Sequence[endpoint_components_pb2.LbEndpoint],
) -> Resource:
    message = endpoint_pb2.ClusterLoadAssignment(cluster_name=resource_name)
    if snapshot.endpoints:
        message.endpoints.append(
            endpoint_components_pb2.LocalityLbEndpoints(
                locality=locality,
                # A locality without a weight is ignored by gRPC (gRFC A27).
                load_balancing_weight=wrappers_pb2.UInt32Value(value=1),
                lb_endpoints=endpoints,
            )
        )
    return Resource(ENDPOINTS, resource_name, snapshot.version, _packed(message))


@functools.lru_cache(maxsize=8192)
def _lb_endpoint(host: str, port: int, weight: int, health: Health) -> endpoint_components_pb2.LbEndpoint:
    """Cached: of a large set one endpoint changes at a time, and building messages is most of an update's cost."""
    return endpoint_components_pb2.LbEndpoint(
        health_status=_STATUS[health],
        load_balancing_weight=wrappers_pb2.UInt32Value(value=weight),
        endpoint=endpoint_components_pb2.Endpoint(
            address=address_pb2.Address(socket_address=address_pb2.SocketAddress(address=host, port_value=port))
        ),
    )


def _packed(message: Message) -> any_pb2.Any:
    box = any_pb2.Any()
    box.Pack(message)
    return box
