"""Endpoint assignments: localities, priorities and weights from endpoints, checked before they are sent. Pure.

What a view is called, and who asks for which, is resources.py's and store.py's.
"""

from __future__ import annotations

import enum
import functools
import hashlib
from collections import Counter
from typing import TYPE_CHECKING

from envoy.config.core.v3 import address_pb2, base_pb2, health_check_pb2
from envoy.config.endpoint.v3 import endpoint_components_pb2, endpoint_pb2
from google.protobuf import wrappers_pb2

from resolver.arrangement import priorities
from resolver.model import Health

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from resolver.model import Endpoint

REGION = "lbdemo"
_MOST = 0xFFFFFFFF

# Envoy sends calls to the next priority already when less than 1/1.4 of one are well; gRPC when nobody is.
_NEVER_BEFORE = 100_000

_STATUS = {
    Health.UNKNOWN: health_check_pb2.UNKNOWN,
    Health.HEALTHY: health_check_pb2.HEALTHY,
    Health.UNHEALTHY: health_check_pb2.UNHEALTHY,
    Health.DRAINING: health_check_pb2.DRAINING,
}


class Shape(enum.Enum):
    """What the localities of an assignment are for."""

    PLAIN = "plain"
    """One for each zone. The policy goes round all endpoints of a priority, whatever their localities."""

    RING = "ring_hash"
    """One for the whole ring of a priority, with a name for these endpoints alone."""

    WEIGHTED = "static_weights"
    """One for each endpoint, which has its weight: gRPC draws a locality for each call, and keeps to their weights."""


def cluster_load_assignment(
    name: str, levels: Iterable[Sequence[Endpoint]], *, zone: str = "", shape: Shape = Shape.PLAIN
) -> endpoint_pb2.ClusterLoadAssignment:
    """The assignment of that name: one level of endpoints after the other, in each those of the zone first.

    One level without a zone is one priority, and in the plain shape one locality.
    """
    message = endpoint_pb2.ClusterLoadAssignment(cluster_name=name)
    found = [each for level in levels for each in priorities(level, zone)]
    if len(found) > 1:
        message.policy.overprovisioning_factor.value = _NEVER_BEFORE
    for priority, each in enumerate(found):
        for locality, weight, members in _localities(each, shape, by_zone=bool(zone)):
            message.endpoints.append(
                endpoint_components_pb2.LocalityLbEndpoints(
                    locality=locality,
                    # A locality without a weight is ignored by gRPC (gRFC A27).
                    load_balancing_weight=wrappers_pb2.UInt32Value(value=weight),
                    priority=priority,
                    lb_endpoints=members,
                )
            )
    return message


_Locality = tuple[base_pb2.Locality, int, list[endpoint_components_pb2.LbEndpoint]]


def _localities(endpoints: Sequence[Endpoint], shape: Shape, *, by_zone: bool) -> Iterator[_Locality]:
    match shape:
        case Shape.RING:
            yield _ring(endpoints)
        case Shape.WEIGHTED:
            for endpoint in endpoints:
                where = base_pb2.Locality(region=REGION, zone=endpoint.zone, sub_zone=endpoint.address)
                yield where, endpoint.weight, [_told(endpoint)]
        case Shape.PLAIN:
            zones = sorted({endpoint.zone for endpoint in endpoints}) if by_zone else [""]
            for zone in zones:
                members = [_told(endpoint) for endpoint in endpoints if not by_zone or endpoint.zone == zone]
                yield base_pb2.Locality(region=REGION, zone=zone), 1, members


def _ring(endpoints: Iterable[Endpoint]) -> _Locality:
    """The endpoints that take calls, in a locality of that name for these alone: other endpoints, another locality.

    For gRPC core's ring_hash, which can crash its process when it is given other endpoints (docs/xds.md). A locality
    that core has not seen gets a ring of its own, and the ring of the one before is left as it is. So a locality holds
    nothing that could change while its name stays: no endpoint that gets no calls, and one word for all that do.
    """
    ring = [(e.host, e.port, e.weight) for e in endpoints if e.health.takes_calls]
    digest = hashlib.blake2b(repr(ring).encode(), digest_size=16).hexdigest()
    members = [_lb_endpoint(host, port, weight, Health.HEALTHY) for host, port, weight in ring]
    return base_pb2.Locality(region=REGION, zone=digest), 1, members


def _told(endpoint: Endpoint) -> endpoint_components_pb2.LbEndpoint:
    return _lb_endpoint(endpoint.host, endpoint.port, endpoint.weight, endpoint.health)


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


def problems(message: endpoint_pb2.ClusterLoadAssignment) -> list[str]:
    """Why gRPC would refuse an assignment (gRFC A27, A56), one line for each reason; empty when it would not.

    A refusal would come as a NACK that names no culprit, and take the whole response with it.
    """
    found = []
    levels = sorted({locality.priority for locality in message.endpoints})
    if levels != list(range(len(levels))):
        found.append(f"priorities {', '.join(map(str, levels))} have gaps: they must be 0, 1, … without one")
    for level in levels:
        here = [locality for locality in message.endpoints if locality.priority == level]
        if any(not locality.load_balancing_weight.value for locality in here):
            found.append(f"a locality of priority {level} has no weight, and would be ignored")
        if (total := sum(locality.load_balancing_weight.value for locality in here)) > _MOST:
            found.append(f"the weights of the localities of priority {level} add up to {total}, more than {_MOST}")
        names = Counter(locality.locality.SerializeToString(deterministic=True) for locality in here)
        if names and max(names.values()) > 1:
            found.append(f"a locality stands twice in priority {level}")
    addresses = Counter(
        (endpoint.endpoint.address.socket_address.address, endpoint.endpoint.address.socket_address.port_value)
        for locality in message.endpoints
        for endpoint in locality.lb_endpoints
    )
    found += [f"{host}:{port} stands {times} times in it" for (host, port), times in addresses.items() if times > 1]
    for locality in message.endpoints:
        if sum(endpoint.load_balancing_weight.value for endpoint in locality.lb_endpoints) > _MOST:
            found.append(f"the weights in locality {locality.locality.zone!r} add up to more than {_MOST}")
    return found
