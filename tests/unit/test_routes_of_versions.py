"""Versions on the wire: the route of a service, its parts' clusters and assignments, and what stays for a while."""

from __future__ import annotations

from typing import Any

from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.endpoint.v3 import endpoint_pb2
from envoy.config.listener.v3 import listener_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2

from resolver.model import Endpoint, Health, Snapshot
from resolver.policy import Policy, RingHash, RoundRobin
from resolver.retry import Retry
from resolver.xds.resources import CLUSTER, ENDPOINTS, LISTENER, cluster_name, name
from resolver.xds.store import ResourceStore

SOURCE, KEY = "dir/a", "round_robin/dir/a"


def endpoint(port: int, version: str, share: str | None = None, *, well: bool = True) -> Endpoint:
    metadata = {"version": version, **({} if share is None else {"share": share})}
    health = Health.HEALTHY if well else Health.UNHEALTHY
    return Endpoint("127.0.0.1", port, metadata=tuple(sorted(metadata.items())), health=health)


V1 = (endpoint(1, "v1"), endpoint(2, "v1"))


class Offer:
    """A store with one service, as a channel sees it."""

    def __init__(self, policy: Policy = RoundRobin(), zone: str = "") -> None:  # noqa: B008 -- an immutable value
        self.store = ResourceStore()
        self.store.put_service(KEY, SOURCE, policy, zone)
        self.number = 0

    def put(self, *endpoints: Endpoint) -> None:
        self.number += 1
        self.store.put_snapshot(SOURCE, Snapshot(endpoints, str(self.number)))

    @property
    def routes(self) -> Any:
        resource = self.store.find(LISTENER, name(LISTENER, KEY))
        assert resource is not None
        listener = listener_pb2.Listener.FromString(resource.body.value)
        manager = http_connection_manager_pb2.HttpConnectionManager()
        listener.api_listener.api_listener.Unpack(manager)
        return manager.route_config.virtual_hosts[0].routes

    @property
    def weights(self) -> dict[str, int]:
        """Of the last route, by cluster."""
        action = self.routes[-1].route
        if action.cluster:
            return {action.cluster: 0}
        return {each.name: each.weight.value for each in action.weighted_clusters.clusters}

    @property
    def asked(self) -> dict[str, str]:
        """The cluster for each value of the header."""
        for route in self.routes[:-1]:
            assert route.match.headers[0].name == "x-version"
        return {route.match.headers[0].string_match.exact: route.route.cluster for route in self.routes[:-1]}

    def ports(self, part: str = "", only: str = "", *, priority: int = 0) -> list[int]:
        resource = self.store.find(CLUSTER, cluster_name(KEY, part, only))
        assert resource is not None
        cluster = cluster_pb2.Cluster.FromString(resource.body.value)
        found = self.store.find(ENDPOINTS, cluster.eds_cluster_config.service_name)
        assert found is not None
        message = endpoint_pb2.ClusterLoadAssignment.FromString(found.body.value)
        return sorted(
            one.endpoint.address.socket_address.port_value
            for each in message.endpoints
            if each.priority == priority
            for one in each.lb_endpoints
        )

    def listener_version(self) -> str:
        resource = self.store.find(LISTENER, name(LISTENER, KEY))
        assert resource is not None
        return resource.version


MAIN, V2 = cluster_name(KEY), cluster_name(KEY, "v2")
ONLY = {version: cluster_name(KEY, only=version) for version in ("v1", "v2", "v3")}
BOTH = {version: ONLY[version] for version in ("v1", "v2")}


def test_one_version_has_one_route_and_one_cluster() -> None:
    offer = Offer()
    offer.put(*V1)
    assert (offer.weights, offer.asked, offer.ports()) == ({MAIN: 0}, {}, [1, 2])
    assert list(offer.store.names(CLUSTER)) == [MAIN]


def test_a_share_makes_a_weighted_route_and_an_assignment_for_each_version() -> None:
    offer = Offer()
    offer.put(*V1, endpoint(3, "v2", "10"))
    assert offer.weights == {MAIN: 9000, V2: 1000}
    assert offer.asked == BOTH
    assert (offer.ports(), offer.ports("v2")) == ([1, 2], [3])
    assert (offer.ports(only="v1"), offer.ports(only="v2")) == ([1, 2], [3])


def test_a_part_falls_back_on_the_others_and_who_is_asked_for_does_not() -> None:
    offer = Offer()
    offer.put(*V1, endpoint(3, "v2", "10"))
    assert (offer.ports(priority=1), offer.ports("v2", priority=1)) == ([3], [1, 2])
    assert offer.ports(only="v2", priority=1) == []


def test_a_share_of_nothing_or_everything_needs_no_draw() -> None:
    offer = Offer()
    offer.put(*V1, endpoint(3, "v2", "0"))
    assert (offer.weights, offer.asked) == ({MAIN: 0}, BOTH)
    offer.put(*V1, endpoint(3, "v2", "100"))
    assert (offer.weights, offer.asked) == ({V2: 0}, BOTH)


def test_a_route_is_told_again_only_when_it_is_another_one() -> None:
    offer = Offer()
    offer.put(*V1, endpoint(3, "v2", "10"))
    first = offer.listener_version()
    offer.put(*V1[:1], endpoint(3, "v2", "10"), endpoint(4, "v2", "10"))
    assert offer.listener_version() == first
    offer.put(*V1[:1], endpoint(3, "v2", "20"), endpoint(4, "v2", "20"))
    assert offer.listener_version() > first


def test_a_version_that_goes_keeps_its_cluster_and_endpoints_for_calls_on_their_way() -> None:
    offer = Offer()
    offer.put(*V1, endpoint(3, "v2", "10"))
    offer.put(*V1)
    assert (offer.weights, offer.asked) == ({MAIN: 0}, {})
    assert offer.ports("v2") == [3]
    offer.put(endpoint(3, "v2", "100"))
    assert (offer.weights, offer.ports()) == ({MAIN: 0}, [3])


def test_the_last_endpoints_of_a_part_that_nobody_is_routed_to_stay() -> None:
    offer = Offer()
    offer.put(*V1, endpoint(3, "v2", "10"))
    offer.put(endpoint(3, "v2", "60"), endpoint(4, "v3", "40"))
    assert offer.weights == {V2: 6000, cluster_name(KEY, "v3"): 4000}
    assert offer.ports() == [1, 2]


def test_a_version_that_only_just_comes_is_not_asked_for_before_it_is_well() -> None:
    offer = Offer()
    offer.put(*V1)
    offer.put(*V1, endpoint(3, "v2", "10", well=False))
    assert (offer.weights, offer.asked) == ({MAIN: 0}, {})
    offer.put(*V1, endpoint(3, "v2", "10"))
    assert offer.asked == BOTH
    told = offer.listener_version()
    offer.put(*V1, endpoint(3, "v2", "10", well=False))
    assert offer.listener_version() == told


def test_every_route_keeps_to_the_policy_and_every_cluster_has_it() -> None:
    offer = Offer(RingHash("key", retry=Retry()), "a")
    offer.put(*V1, endpoint(3, "v2", "10"))
    for route in offer.routes:
        assert route.route.hash_policy[0].header.header_name == "key"
        assert route.route.retry_policy.num_retries.value == 2
    offer.store.put_service(KEY, SOURCE, RoundRobin())
    assert (offer.ports(), offer.ports("v2")) == ([1, 2], [3])
    for cluster in (MAIN, V2, *BOTH.values()):
        resource = offer.store.find(CLUSTER, cluster)
        assert resource is not None
        message = cluster_pb2.Cluster.FromString(resource.body.value)
        assert message.load_balancing_policy.policies[0].typed_extension_config.name == "round_robin"


def test_a_service_that_goes_takes_all_its_parts_along() -> None:
    offer = Offer()
    offer.put(*V1, endpoint(3, "v2", "10"))
    offer.store.remove_service(KEY)
    assert list(offer.store.names(LISTENER)) == list(offer.store.names(CLUSTER)) == []
    assert list(offer.store.names(ENDPOINTS)) == [name(ENDPOINTS, SOURCE)]
    offer.store.remove_source(SOURCE)
    assert list(offer.store.names(ENDPOINTS)) == []


def test_a_hundred_changes_of_versions_leave_no_more_than_there_were_versions() -> None:
    offer = Offer()
    for number in range(100):
        offer.put(*V1, endpoint(3, f"v{2 + number % 3}", str(number)))
    assert len(list(offer.store.names(CLUSTER))) == 8
    assert len(list(offer.store.names(ENDPOINTS))) == 8
