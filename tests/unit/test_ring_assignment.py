"""A ring never changes: other endpoints are another locality, and what makes no other ring is no news."""

from __future__ import annotations

from dataclasses import replace

import pytest
from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.endpoint.v3 import endpoint_pb2

from resolver.model import Endpoint, Health, Snapshot
from resolver.policy import PickFirst, Policy, RingHash, RoundRobin
from resolver.xds.assignments import Shape
from resolver.xds.resources import CLUSTER, ENDPOINTS, Resource, View, assignment, cluster, name, ring_name
from resolver.xds.store import ResourceStore

A = Endpoint("127.0.0.1", 1, health=Health.HEALTHY)
B = Endpoint("127.0.0.1", 2, health=Health.HEALTHY)
C = Endpoint("127.0.0.1", 3, health=Health.HEALTHY)


def message(resource: Resource) -> endpoint_pb2.ClusterLoadAssignment:
    return endpoint_pb2.ClusterLoadAssignment.FromString(resource.body.value)


def ring(*endpoints: Endpoint) -> endpoint_pb2.ClusterLoadAssignment:
    return message(assignment("xdstp://lbdemo/ring", [endpoints] if endpoints else [], "1", View(Shape.RING)))


def zone(*endpoints: Endpoint) -> str:
    (locality,) = ring(*endpoints).endpoints
    return str(locality.locality.zone)


def ports(assignment: endpoint_pb2.ClusterLoadAssignment) -> list[int]:
    (locality,) = assignment.endpoints
    return [each.endpoint.address.socket_address.port_value for each in locality.lb_endpoints]


def test_other_endpoints_are_another_locality_and_the_same_the_same() -> None:
    sets = [(A,), (B,), (A, B), (A, B, C), (A, C), (replace(A, weight=2),), (replace(A, host="::1"),), ()]
    zones = [zone(*endpoints, replace(C, port=9, health=Health.UNHEALTHY)) for endpoints in sets]
    assert len(set(zones)) == len(sets)
    assert zones == [zone(*endpoints, replace(C, port=9, health=Health.UNHEALTHY)) for endpoints in sets]


@pytest.mark.parametrize("health", [Health.UNHEALTHY, Health.DRAINING])
def test_who_gets_no_calls_is_not_in_the_ring(health: Health) -> None:
    assert ring(A, replace(B, health=health)) == ring(A)
    assert ports(ring(A, replace(B, health=health))) == [1]


def test_what_makes_no_other_ring_makes_no_other_assignment() -> None:
    assert ring(A) == ring(replace(A, id="r1", zone="east", metadata=(("version", "2"),), health=Health.UNKNOWN))


def test_nobody_well_and_nobody_at_all_are_told_apart() -> None:
    (locality,) = ring(replace(A, health=Health.UNHEALTHY)).endpoints
    assert not locality.lb_endpoints
    assert not ring().endpoints


@pytest.mark.parametrize(
    ("policy", "endpoints"),
    [(RingHash("key"), ring_name("a")), (RoundRobin(), name(ENDPOINTS, "a")), (PickFirst(), name(ENDPOINTS, "a"))],
)
def test_who_hashes_takes_its_endpoints_from_the_ring(policy: Policy, endpoints: str) -> None:
    body = cluster("key", "a", policy, "1").body.value
    assert cluster_pb2.Cluster.FromString(body).eds_cluster_config.service_name == endpoints


def test_a_ring_is_offered_for_as_long_as_somebody_hashes() -> None:
    store = ResourceStore()
    store.put_service("round_robin/a", "a", RoundRobin())
    store.put_snapshot("a", Snapshot((A, B), "1"))
    assert list(store.names(ENDPOINTS)) == [name(ENDPOINTS, "a")]
    store.put_service("ring_hash/a", "a", RingHash("one"))
    store.put_service("ring_hash/a~2", "a", RingHash("other"))
    assert set(store.names(ENDPOINTS)) == {name(ENDPOINTS, "a"), ring_name("a")}
    store.remove_service("ring_hash/a")
    assert store.find(ENDPOINTS, ring_name("a")) is not None
    store.remove_service("ring_hash/a~2")
    store.put_snapshot("a", Snapshot((A,), "2"))
    assert list(store.names(ENDPOINTS)) == [name(ENDPOINTS, "a")]


def test_a_source_that_is_removed_takes_its_ring_along() -> None:
    store = ResourceStore()
    store.put_service("ring_hash/a", "a", RingHash("key"))
    store.put_snapshot("a", Snapshot((A,), "1"))
    store.remove_source("a")
    assert list(store.names(ENDPOINTS)) == []


def test_a_ring_is_news_only_when_its_endpoints_change() -> None:
    store = ResourceStore()
    store.put_service("ring_hash/a", "a", RingHash("key"))

    def versions(*endpoints: Endpoint, version: str) -> tuple[str, str]:
        store.put_snapshot("a", Snapshot(endpoints, version))
        found = [store.find(ENDPOINTS, each) for each in (ring_name("a"), name(ENDPOINTS, "a"))]
        return tuple(each.version for each in found if each is not None)  # type: ignore[return-value]

    assert versions(A, B, version="1") == ("1", "1")
    assert versions(A, B, replace(C, health=Health.UNHEALTHY), version="2") == ("1", "2")
    assert versions(A, replace(B, id="r2"), replace(C, health=Health.UNHEALTHY), version="3") == ("1", "3")
    assert versions(A, B, C, version="4") == ("4", "4")
    assert versions(A, B, version="5") == ("5", "5")


def test_two_hundred_changes_leave_no_more_resources_and_touch_no_cluster() -> None:
    store = ResourceStore()
    store.put_service("ring_hash/a", "a", RingHash("key"))
    before = store.find(CLUSTER, name(CLUSTER, "ring_hash/a"))
    for number in range(200):
        store.put_snapshot("a", Snapshot((A, B)[: 1 + number % 2], str(number)))
    assert set(store.names(ENDPOINTS)) == {name(ENDPOINTS, "a"), ring_name("a")}
    assert store.find(CLUSTER, name(CLUSTER, "ring_hash/a")) is before
