"""The bootstrap of our Envoy: fields that Envoy knows, and none of its defaults that would surprise a gRPC user."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from envoy.config.bootstrap.v3 import bootstrap_pb2
from envoy.extensions.filters.http.router.v3 import router_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2
from envoy.extensions.filters.network.tcp_proxy.v3 import tcp_proxy_pb2
from envoy.extensions.resource_monitors.downstream_connections.v3 import downstream_connections_pb2
from envoy.extensions.upstreams.http.v3 import http_protocol_options_pb2
from google.protobuf import json_format

from resolver.xds.envoy import Bind, bootstrap

if TYPE_CHECKING:
    from collections.abc import Iterator

# Named here so that their descriptors are loaded: the bootstrap's `@type`s are looked up among them.
EXTENSIONS = (
    router_pb2.Router,
    http_connection_manager_pb2.HttpConnectionManager,
    tcp_proxy_pb2.TcpProxy,
    downstream_connections_pb2.DownstreamConnectionsConfig,
    http_protocol_options_pb2.HttpProtocolOptions,
)


@pytest.fixture
def config() -> Any:
    return bootstrap(
        node_id="n",
        ads_socket=Path("/run/ads"),
        admin_socket=Path("/run/admin"),
        resource_name="lbdemo/dir/run/a greeter",
        l7=Bind("127.0.0.1", 50051),
        l4=Bind("::1", 0),
    )


def found(config: Any, key: str) -> Iterator[Any]:
    """Every value of that key, at any depth."""
    if isinstance(config, dict):
        for name, value in config.items():
            if name == key:
                yield value
            yield from found(value, key)
    elif isinstance(config, list):
        for value in config:
            yield from found(value, key)


def test_every_field_is_one_that_envoy_has(config: Any) -> None:
    assert len(EXTENSIONS) == len(set(found(config, "@type")))
    message = json_format.ParseDict(json.loads(json.dumps(config)), bootstrap_pb2.Bootstrap())
    assert [listener.name for listener in message.static_resources.listeners] == ["l7", "l4"]


def test_both_clusters_follow_the_one_assignment_and_wait_for_it(config: Any) -> None:
    assert list(found(config, "service_name")) == ["lbdemo/dir/run/a greeter"] * 2
    assert list(found(config, "initial_fetch_timeout")) == ["0s"] * 2
    assert list(found(config, "lb_policy")) == ["ROUND_ROBIN"] * 2


def test_what_is_hashed_has_a_route_and_a_ring_of_its_own_before_all_else() -> None:
    config = bootstrap(
        node_id="n",
        ads_socket=Path("/a"),
        admin_socket=Path("/b"),
        resource_name="r",
        l7=Bind(),
        l4=Bind(),
        hashed={"/my.Own/": "who"},
    )
    (routes,) = found(config, "routes")
    assert [(each["match"]["prefix"], each["route"]["cluster"]) for each in routes] == [
        ("/my.Own/", "ring"),
        ("/", "l7"),
    ]
    assert routes[0]["route"]["hash_policy"] == [{"header": {"header_name": "who"}}]
    assert list(found(config, "lb_policy")) == ["ROUND_ROBIN", "RING_HASH", "ROUND_ROBIN"]
    assert set(found(config, "service_name")) == {"r"}
    json_format.ParseDict(json.loads(json.dumps(config)), bootstrap_pb2.Bootstrap())


def test_listeners_bind_where_they_are_told_and_share_no_port(config: Any) -> None:
    sockets = [listener["address"]["socket_address"] for listener in config["static_resources"]["listeners"]]
    assert sockets == [{"address": "127.0.0.1", "port_value": 50051}, {"address": "::1", "port_value": 0}]
    assert list(found(config, "enable_reuse_port")) == [False, False]


def test_no_time_limit_is_envoys_own(config: Any) -> None:
    limits = {"timeout", "idle_timeout", "stream_idle_timeout"}
    for limit in limits:
        assert set(found(config, limit)) == {"0s"}, limit
    assert not list(found(config, "retry_policy"))


def test_no_number_of_calls_is_too_large(config: Any) -> None:
    for thresholds in found(config, "thresholds"):
        assert thresholds == [
            dict.fromkeys(("max_connections", "max_pending_requests", "max_requests", "max_retries"), 2**32 - 1)
        ]
    assert set(found(config, "max_concurrent_streams")) == {2**31 - 1}


def test_an_ill_replica_gets_no_call_even_when_most_are_ill(config: Any) -> None:
    assert list(found(config, "healthy_panic_threshold")) == [{"value": 0}] * 2


def test_only_the_owner_can_open_the_administration_interface(config: Any) -> None:
    assert config["admin"]["address"] == {"pipe": {"path": "/run/admin", "mode": 0o600}}
