"""xDS resources from services and snapshots: pure functions, names included. Who gets them: see subscriptions.py.

Names follow gRFC A47 (xdstp) under the authority `lbdemo`, each with its own type: a listener and a cluster for every
service (a target with a policy and a zone), a further cluster for each version that has a share of its calls, and an
endpoint assignment for every view that clusters have of a source. Localities are in assignments.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from envoy.config.cluster.v3 import circuit_breaker_pb2, cluster_pb2
from envoy.config.core.v3 import config_source_pb2
from envoy.config.listener.v3 import api_listener_pb2, listener_pb2
from envoy.config.route.v3 import route_components_pb2, route_pb2
from envoy.extensions.filters.http.router.v3 import router_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2
from envoy.type.matcher.v3 import string_pb2
from google.protobuf import any_pb2, wrappers_pb2

from resolver.arrangement import TOTAL, VERSION_HEADER, Part, Split
from resolver.policy import Policy, RingHash, StaticWeights
from resolver.xds import policies
from resolver.xds.assignments import Shape, cluster_load_assignment, problems

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from google.protobuf.message import Message

    from resolver.model import Endpoint

AUTHORITY = "lbdemo"

_TYPES = "type.googleapis.com/"
LISTENER = _TYPES + "envoy.config.listener.v3.Listener"
ROUTES = _TYPES + "envoy.config.route.v3.RouteConfiguration"
CLUSTER = _TYPES + "envoy.config.cluster.v3.Cluster"
ENDPOINTS = _TYPES + "envoy.config.endpoint.v3.ClusterLoadAssignment"

# Unsaid, xDS lets 1024 requests of a process be in flight in a cluster and drops the next (gRFC A32).
_NO_LIMIT = circuit_breaker_pb2.CircuitBreakers(
    thresholds=[circuit_breaker_pb2.CircuitBreakers.Thresholds(max_requests=wrappers_pb2.UInt32Value(value=0xFFFFFFFF))]
)


ONE_PART = Split((Part("", TOTAL, ()),))


class InvalidAssignmentError(ValueError):
    """gRPC would refuse it; `str()` says why."""


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


def plain_name(source_key: str, zone: str = "") -> str:
    """The name of an assignment for Envoy, which encodes xdstp names by rules of its own before it asks."""
    return f"{AUTHORITY}/{_zone_piece(zone)}/{source_key}" if zone else f"{AUTHORITY}/{source_key}"


def ring_name(source_key: str) -> str:
    """The name of the assignment for policies that hash."""
    return View(Shape.RING).resource_name(source_key)


@dataclass(frozen=True, slots=True)
class View:
    """What a cluster takes of a source's endpoints. Channels of equal views share an assignment.

    Attributes:
        shape: How they stand in it.
        zone: Whose endpoints come first; "" for no preference.
        part: The key of the part of the split; the other parts come after it.
        only: The version that calls ask for, of which alone it is made; "" for none.
    """

    shape: Shape = Shape.PLAIN
    zone: str = ""
    part: str = ""
    only: str = ""

    @classmethod
    def of(cls, policy: Policy, zone: str = "", part: str = "", only: str = "") -> View:
        """What a policy needs."""
        shape = {RingHash.name: Shape.RING, StaticWeights.name: Shape.WEIGHTED}.get(policy.name, Shape.PLAIN)
        return cls(shape, zone, part, only)

    def levels(self, found: Split) -> tuple[tuple[Endpoint, ...], ...]:
        """The endpoints of a split that it has, in the order in which they get calls."""
        if self.only:
            return (found.only(self.only),)
        return next(found.levels(part) for part in found.parts if part.key == self.part)

    def resource_name(self, source_key: str) -> str:
        """The assignment's name. No source has such a key: its scheme has no underscore."""
        pieces = [self.shape.value] if self.shape is not Shape.PLAIN else []
        pieces += [_zone_piece(self.zone)] if self.zone else []
        pieces += _pieces(self.part, self.only)
        return name(ENDPOINTS, "/".join([*pieces, source_key]))


def _zone_piece(zone: str) -> str:
    return f"zone_{quote(zone, safe='')}"


def _pieces(part: str, only: str) -> list[str]:
    found = [f"version_{quote(part, safe='')}"] if part else []
    return found + ([f"only_{quote(only, safe='')}"] if only else [])


def cluster_name(key: str, part: str = "", only: str = "") -> str:
    """The name of a cluster of a service: of a part, or of a version that is asked for. No policy begins like that."""
    return name(CLUSTER, "/".join([*_pieces(part, only), key]))


def listener(key: str, policy: Policy, version: str, split: Split = ONE_PART) -> Resource:
    """The listener of a service: every method of every host is routed to its cluster, or to those of its parts."""
    manager = http_connection_manager_pb2.HttpConnectionManager(
        stat_prefix=key,
        route_config=route_pb2.RouteConfiguration(
            name=name(ROUTES, key),
            virtual_hosts=[
                route_components_pb2.VirtualHost(name=key, domains=["*"], routes=_routes(key, policy, split))
            ],
        ),
        # gRPC demands a terminal filter (gRFC A39).
        http_filters=[http_connection_manager_pb2.HttpFilter(name="router", typed_config=_packed(router_pb2.Router()))],
    )
    message = listener_pb2.Listener(
        name=name(LISTENER, key), api_listener=api_listener_pb2.ApiListener(api_listener=_packed(manager))
    )
    return Resource(LISTENER, message.name, version, _packed(message))


def _routes(key: str, policy: Policy, split: Split) -> Iterator[route_components_pb2.Route]:
    """Who asks for a version goes there; all others by the parts' weights, drawn for each call."""
    for version in split.asked:
        matcher = route_components_pb2.HeaderMatcher(
            name=VERSION_HEADER, string_match=string_pb2.StringMatcher(exact=version)
        )
        yield route_components_pb2.Route(
            match=route_components_pb2.RouteMatch(prefix="", headers=[matcher]),
            route=_action(policy, cluster=cluster_name(key, only=version)),
        )
    used = [part for part in split.parts if part.weight]
    if len(used) == 1:
        action = _action(policy, cluster=cluster_name(key, used[0].key))
    else:
        weighted = route_components_pb2.WeightedCluster(
            clusters=[
                route_components_pb2.WeightedCluster.ClusterWeight(
                    name=cluster_name(key, part.key), weight=wrappers_pb2.UInt32Value(value=part.weight)
                )
                for part in used
            ]
        )
        action = _action(policy, weighted_clusters=weighted)
    yield route_components_pb2.Route(match=route_components_pb2.RouteMatch(prefix=""), route=action)


def _action(
    policy: Policy, cluster: str | None = None, weighted_clusters: route_components_pb2.WeightedCluster | None = None
) -> route_components_pb2.RouteAction:
    action = route_components_pb2.RouteAction(
        cluster=cluster, weighted_clusters=weighted_clusters, hash_policy=[policies.hash_policy(policy)]
    )
    if policy.retry is not None:
        action.retry_policy.CopyFrom(policies.retry_policy(policy.retry))
    return action


def cluster(key: str, source_key: str, policy: Policy, version: str, view: View | None = None) -> Resource:
    """A cluster of a service: its policy, and where its endpoints come from."""
    view = view or View.of(policy)
    ads = config_source_pb2.ConfigSource(
        ads=config_source_pb2.AggregatedConfigSource(), resource_api_version=config_source_pb2.V3
    )
    endpoints = view.resource_name(source_key)
    message = cluster_pb2.Cluster(
        name=cluster_name(key, view.part, view.only),
        type=cluster_pb2.Cluster.EDS,
        eds_cluster_config=cluster_pb2.Cluster.EdsClusterConfig(eds_config=ads, service_name=endpoints),
        circuit_breakers=_NO_LIMIT,
    )
    # Not by `lb_policy`: that would pick a locality before it picks an endpoint, for each call.
    message.load_balancing_policy.CopyFrom(policies.load_balancing_policy(policy))
    if policy.outlier_detection is not None:
        message.outlier_detection.CopyFrom(policies.outlier_detection(policy.outlier_detection))
    return Resource(CLUSTER, message.name, version, _packed(message))


def assignment(
    resource_name: str, levels: Iterable[Sequence[Endpoint]], version: str, view: View | None = None
) -> Resource:
    """The endpoints of a source, or of a part of it, as a view has them.

    Raises:
        InvalidAssignmentError: gRPC would refuse it.
    """
    view = view or View()
    message = cluster_load_assignment(resource_name, levels, zone=view.zone, shape=view.shape)
    if wrong := problems(message):
        raise InvalidAssignmentError(f"{resource_name}: {'; '.join(wrong)}")
    return Resource(ENDPOINTS, resource_name, version, _packed(message))


def _packed(message: Message) -> any_pb2.Any:
    box = any_pb2.Any()
    box.Pack(message)
    return box
