"""The store under two kinds of names: gRPC's xdstp ones, and plain ones for an Envoy."""

from __future__ import annotations

from envoy.config.endpoint.v3 import endpoint_pb2

from resolver.model import Endpoint, Health, Snapshot
from resolver.xds.resources import ENDPOINTS, name, plain_name
from resolver.xds.store import ResourceStore


def snapshot(version: str, *ports: int) -> Snapshot:
    return Snapshot(tuple(Endpoint("127.0.0.1", port, health=Health.HEALTHY) for port in ports), version)


def ports(store: ResourceStore, resource_name: str) -> list[int] | None:
    resource = store.find(ENDPOINTS, resource_name)
    if resource is None:
        return None
    message = endpoint_pb2.ClusterLoadAssignment.FromString(resource.body.value)
    assert message.cluster_name == resource_name
    return [each.endpoint.address.socket_address.port_value for each in message.endpoints[0].lb_endpoints]


def test_a_plain_name_is_offered_only_when_asked_for() -> None:
    store = ResourceStore()
    store.put_snapshot("a", snapshot("1", 1))
    assert list(store.names(ENDPOINTS)) == [name(ENDPOINTS, "a")]
    store.offer_plainly("a")
    assert ports(store, plain_name("a")) == ports(store, name(ENDPOINTS, "a")) == [1]


def test_both_names_follow_the_snapshots() -> None:
    store = ResourceStore()
    store.offer_plainly("a")
    assert ports(store, plain_name("a")) is None
    store.put_snapshot("a", snapshot("1", 1))
    store.put_snapshot("a", snapshot("2", 1, 2))
    assert ports(store, plain_name("a")) == ports(store, name(ENDPOINTS, "a")) == [1, 2]


def test_a_source_that_is_removed_is_gone_under_both_names_and_comes_back_under_one() -> None:
    store = ResourceStore()
    store.offer_plainly("a")
    store.put_snapshot("a", snapshot("1", 1))
    store.remove_source("a")
    assert list(store.names(ENDPOINTS)) == []
    store.put_snapshot("a", snapshot("2", 1))
    assert list(store.names(ENDPOINTS)) == [name(ENDPOINTS, "a")]
