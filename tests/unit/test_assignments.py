"""Localities, priorities and weights of endpoint assignments, and what is refused before gRPC could."""

from __future__ import annotations

import logging
from dataclasses import replace

import pytest
from envoy.config.core.v3 import address_pb2, base_pb2
from envoy.config.endpoint.v3 import endpoint_components_pb2, endpoint_pb2
from google.protobuf import wrappers_pb2

from resolver.model import Endpoint, Health, Snapshot
from resolver.policy import RoundRobin, StaticWeights
from resolver.xds.assignments import Shape, cluster_load_assignment, problems
from resolver.xds.resources import ENDPOINTS, InvalidAssignmentError, View, assignment
from resolver.xds.store import ResourceStore

A1, A2, B1, N1 = (
    Endpoint("127.0.0.1", port, zone=zone, weight=weight, health=Health.HEALTHY)
    for port, zone, weight in ((1, "a", 5), (2, "a", 3), (3, "b", 2), (4, "", 1))
)

_Told = list[tuple[int, str, int, list[int]]]


def told(message: endpoint_pb2.ClusterLoadAssignment) -> _Told:
    """Priority, zone, weight and ports of each locality."""
    assert problems(message) == []
    return [
        (
            each.priority,
            each.locality.zone,
            each.load_balancing_weight.value,
            [one.endpoint.address.socket_address.port_value for one in each.lb_endpoints],
        )
        for each in message.endpoints
    ]


def test_without_a_zone_everything_is_one_locality() -> None:
    assert told(cluster_load_assignment("x", ((A1, A2, B1, N1),))) == [(0, "", 1, [1, 2, 3, 4])]


def test_the_own_zone_is_the_first_priority_and_each_zone_a_locality() -> None:
    message = cluster_load_assignment("x", ((A1, A2, B1, N1),), zone="a")
    assert told(message) == [(0, "a", 1, [1, 2]), (1, "", 1, [4]), (1, "b", 1, [3])]
    # Not before nobody is well: Envoy would begin at 1/1.4.
    assert message.policy.overprovisioning_factor.value >= 100_000


def test_each_level_has_its_own_zone_first() -> None:
    message = cluster_load_assignment("x", ((B1, A1), (), (A2, N1)), zone="a")
    assert told(message) == [(0, "a", 1, [1]), (1, "b", 1, [3]), (2, "a", 1, [2]), (3, "", 1, [4])]


def test_priorities_have_no_gap_when_a_zone_is_missing_or_alone() -> None:
    assert told(cluster_load_assignment("x", ((B1,),), zone="a")) == [(0, "b", 1, [3])]
    assert told(cluster_load_assignment("x", ((A1,),), zone="a")) == [(0, "a", 1, [1])]
    assert told(cluster_load_assignment("x", ((),), zone="a")) == []


def test_a_zone_without_anybody_well_keeps_its_priority() -> None:
    ill = replace(A1, health=Health.UNHEALTHY)
    assert told(cluster_load_assignment("x", ((ill, B1),), zone="a")) == [(0, "a", 1, [1]), (1, "b", 1, [3])]


def test_static_weights_are_those_of_localities_of_one_endpoint_each() -> None:
    message = cluster_load_assignment("x", ((A1, A2, B1),), shape=Shape.WEIGHTED)
    assert told(message) == [(0, "a", 5, [1]), (0, "a", 3, [2]), (0, "b", 2, [3])]
    message = cluster_load_assignment("x", ((A1, A2, B1),), zone="b", shape=Shape.WEIGHTED)
    assert told(message) == [(0, "b", 2, [3]), (1, "a", 5, [1]), (1, "a", 3, [2])]


def test_rings_of_two_zones_are_two_localities_with_names_of_their_own() -> None:
    message = cluster_load_assignment("x", ((A1, A2, B1),), zone="a", shape=Shape.RING)
    assert [(priority, ports) for priority, _, _, ports in told(message)] == [(0, [1, 2]), (1, [3])]
    assert len({each.locality.zone for each in message.endpoints}) == 2


def locality(
    priority: int, *ports: int, weight: int = 1, zone: str = ""
) -> endpoint_components_pb2.LocalityLbEndpoints:
    return endpoint_components_pb2.LocalityLbEndpoints(
        locality=base_pb2.Locality(zone=zone),
        priority=priority,
        load_balancing_weight=wrappers_pb2.UInt32Value(value=weight),
        lb_endpoints=[
            endpoint_components_pb2.LbEndpoint(
                endpoint=endpoint_components_pb2.Endpoint(
                    address=address_pb2.Address(
                        socket_address=address_pb2.SocketAddress(address="127.0.0.1", port_value=port)
                    )
                )
            )
            for port in ports
        ],
    )


@pytest.mark.parametrize(
    ("localities", "said"),
    [
        ([locality(1, 1)], "priorities 1 have gaps"),
        ([locality(0, 1), locality(2, 2, zone="b")], "priorities 0, 2 have gaps"),
        ([locality(0, 1, weight=0)], "a locality of priority 0 has no weight"),
        ([locality(0, 1), locality(0, 2)], "a locality stands twice in priority 0"),
        ([locality(0, 1), locality(1, 1, zone="b")], "127.0.0.1:1 stands 2 times in it"),
        (
            [locality(0, 1, weight=0xFFFFFFFF), locality(0, 2, weight=1, zone="b")],
            "the weights of the localities of priority 0 add up to 4294967296",
        ),
    ],
)
def test_what_grpc_would_refuse_is_told(
    localities: list[endpoint_components_pb2.LocalityLbEndpoints], said: str
) -> None:
    (only,) = problems(endpoint_pb2.ClusterLoadAssignment(endpoints=localities))
    assert only.startswith(said)


def test_a_locality_may_stand_in_two_priorities() -> None:
    assert problems(endpoint_pb2.ClusterLoadAssignment(endpoints=[locality(0, 1), locality(1, 2)])) == []


def test_an_assignment_that_would_be_refused_is_not_made() -> None:
    with pytest.raises(InvalidAssignmentError, match=r"127\.0\.0\.1:1 stands 2 times"):
        assignment("x", ((A1, replace(A1, id="other")),), "1", View())


def test_the_endpoints_before_stay_in_force_and_the_log_says_why_once(caplog: pytest.LogCaptureFixture) -> None:
    store = ResourceStore()
    store.put_service("k", "dir/a", RoundRobin(), "a")
    store.put_service("w", "dir/a", StaticWeights())
    names = [
        View.of(policy, zone).resource_name("dir/a") for policy, zone in ((RoundRobin(), "a"), (StaticWeights(), ""))
    ]
    store.put_snapshot("dir/a", Snapshot((A1, B1), "1"))
    for version in ("2", "3"):
        store.put_snapshot("dir/a", Snapshot((A1, replace(A1, id="other")), version))
    for name in names:
        found = store.find(ENDPOINTS, name)
        assert found is not None
        assert found.version == "1"
        errors = [record for record in caplog.records if name in record.getMessage()]
        assert [record.levelno for record in errors] == [logging.ERROR]
        assert "stand" in errors[0].getMessage()
    store.put_snapshot("dir/a", Snapshot((A1,), "4"))
    assert [resource.version for name in names if (resource := store.find(ENDPOINTS, name))] == ["4", "4"]


def test_views_share_no_name_with_each_other_or_with_a_source() -> None:
    ways = [("", ""), ("v1", ""), ("zone_a", ""), ("", "v1"), ("", "version_v1")]
    views = [View(shape, zone, *way) for shape in Shape for zone in ("", "a", "b/c") for way in ways]
    names = [view.resource_name("dir/x") for view in views]
    assert len(set(names)) == len(names)
    assert all("b/c" not in name for name in names)
