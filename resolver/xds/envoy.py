"""The bootstrap of an Envoy that takes its endpoints from our ADS service: one pure function. proxy/ runs the Envoy.

Listeners and clusters are in it: nothing of them changes while the Envoy lives. What changes is the assignment, which
comes over ADS, by the code that serves gRPC's own channels. Field names are those of
https://www.envoyproxy.io/docs/envoy/latest/api-v3/api
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from resolver.xds.policies import RING_SIZE

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

L7 = "l7"
"""The listener that balances calls, its cluster, and the prefix of its statistics."""

L4 = "l4"
"""The listener that balances connections, likewise."""

_ADS = "ads"
_RING = "ring"
_EXTENSIONS = "type.googleapis.com/envoy.extensions"
_CONNECTIONS_MONITOR = "resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig"
_HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_NO_LIMIT = 0xFFFFFFFF
# Streams on one connection: HTTP/2 counts in 31 bits. Envoy's default of 1024 would hold back the next one.
_STREAMS = {"max_concurrent_streams": 0x7FFFFFFF}
_NEVER = "0s"
# gRPC has its own limits of metadata, in bytes. Envoy's would be 100 pairs and 60 KiB, and end the call with a 431.
_HEADERS = {"max_headers_count": 10_000, "idle_timeout": _NEVER}
_HEADERS_KB = 8192


@dataclass(frozen=True, slots=True)
class Bind:
    """Where a listener listens; port 0 takes a free one."""

    host: str = "127.0.0.1"
    port: int = 0


def bootstrap(
    *,
    node_id: str,
    ads_socket: Path,
    admin_socket: Path,
    resource_name: str,
    l7: Bind,
    l4: Bind,
    hashed: Mapping[str, str] | None = None,
) -> Any:
    """The bootstrap as JSON's values.

    Args:
        node_id: How the Envoy calls itself.
        ads_socket: Where our ADS service listens.
        admin_socket: Where the Envoy shall open its administration interface.
        resource_name: Of the ClusterLoadAssignment to follow.
        l7: Where calls come in that are to be balanced one by one.
        l4: Where connections come in that are to be balanced as a whole.
        hashed: By the beginning of a method's path the header by which its calls are hashed; calls of other methods
            go round.
    """
    hashed = hashed or {}
    return {
        "node": {"id": node_id, "cluster": "lbdemo"},
        "admin": {"address": {"pipe": {"path": str(admin_socket), "mode": 0o600}}},
        "dynamic_resources": {
            "ads_config": {
                "api_type": "GRPC",
                "transport_api_version": "V3",
                "grpc_services": [{"envoy_grpc": {"cluster_name": _ADS}}],
            }
        },
        "static_resources": {
            "listeners": [_listener(L7, l7, _calls(hashed)), _listener(L4, l4, _connections())],
            "clusters": [
                _ads_cluster(ads_socket),
                {**_cluster(L7, resource_name), **_speaks_http2()},
                *([{**_cluster(_RING, resource_name), **_hashes(), **_speaks_http2()}] if hashed else []),
                _cluster(L4, resource_name),
            ],
        },
        # There is a warning without a limit, and no need for one: the clients are the user's own.
        "overload_manager": {
            "resource_monitors": [
                {
                    "name": "envoy.resource_monitors.global_downstream_max_connections",
                    "typed_config": {
                        "@type": f"{_EXTENSIONS}.{_CONNECTIONS_MONITOR}",
                        "max_active_downstream_connections": 1_000_000,
                    },
                }
            ]
        },
    }


def _listener(name: str, bind: Bind, network_filter: Any) -> Any:
    return {
        "name": name,
        "address": {"socket_address": {"address": bind.host, "port_value": bind.port}},
        # On by default, it would let two Envoys have one port and share its connections without a word.
        "enable_reuse_port": False,
        "filter_chains": [{"filters": [network_filter]}],
    }


def _calls(hashed: Mapping[str, str]) -> Any:
    """Each call to the next replica in turn, and nothing done to it: no time-out, no retry, no header more or less."""
    by_header = [
        _route(prefix, _RING, {"hash_policy": [{"header": {"header_name": header}}]})
        for prefix, header in hashed.items()
    ]
    routes = [*by_header, _route("/", L7)]
    return {
        "name": "envoy.filters.network.http_connection_manager",
        "typed_config": {
            "@type": f"{_EXTENSIONS}.filters.network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": L7,
            "codec_type": "HTTP2",
            "http2_protocol_options": _STREAMS,
            "common_http_protocol_options": _HEADERS,
            "max_request_headers_kb": _HEADERS_KB,
            "stream_idle_timeout": _NEVER,  # a stream may be silent for longer than the default of 5 minutes
            "generate_request_id": False,
            "skip_xff_append": True,
            "server_header_transformation": "PASS_THROUGH",
            "route_config": {"name": L7, "virtual_hosts": [{"name": L7, "domains": ["*"], "routes": routes}]},
            "http_filters": [
                {
                    "name": "envoy.filters.http.router",
                    "typed_config": {
                        "@type": f"{_EXTENSIONS}.filters.http.router.v3.Router",
                        "suppress_envoy_headers": True,
                    },
                }
            ],
        },
    }


def _route(prefix: str, cluster: str, action: Mapping[str, Any] | None = None) -> Any:
    return {
        "match": {"prefix": prefix},
        # Deadlines are the two ends' affair, who know them from grpc-timeout. Envoy's own would be 15 s.
        "route": {"cluster": cluster, "timeout": _NEVER, **(action or {})},
        "request_headers_to_remove": ["x-forwarded-proto"],
    }


def _hashes() -> Any:
    """The ring that gRPC core makes of the same endpoints, whose size it cuts at 4096 (gRFC A42)."""
    ring = {"hash_function": "XX_HASH", "minimum_ring_size": RING_SIZE, "maximum_ring_size": RING_SIZE}
    return {"lb_policy": "RING_HASH", "ring_hash_lb_config": ring}


def _connections() -> Any:
    """Each connection to the next replica in turn, with all the calls that will ever be on it."""
    return {
        "name": "envoy.filters.network.tcp_proxy",
        "typed_config": {
            "@type": f"{_EXTENSIONS}.filters.network.tcp_proxy.v3.TcpProxy",
            "stat_prefix": L4,
            "cluster": L4,
            "idle_timeout": _NEVER,
        },
    }


def _cluster(name: str, resource_name: str) -> Any:
    no_limit = dict.fromkeys(("max_connections", "max_pending_requests", "max_requests", "max_retries"), _NO_LIMIT)
    return {
        "name": name,
        "type": "EDS",
        "lb_policy": "ROUND_ROBIN",
        "connect_timeout": "2s",
        "eds_cluster_config": {
            # Waits for the first endpoints however long it takes: until then it does not listen.
            "eds_config": {"ads": {}, "resource_api_version": "V3", "initial_fetch_timeout": _NEVER},
            "service_name": resource_name,
        },
        # With most replicas ill, Envoy by default sends calls to the ill ones as well.
        "common_lb_config": {"healthy_panic_threshold": {"value": 0}},
        # 1024 of each by default, and the next one fails.
        "circuit_breakers": {"thresholds": [no_limit]},
    }


def _ads_cluster(socket: Path) -> Any:
    endpoint = {"endpoint": {"address": {"pipe": {"path": str(socket)}}}}
    return {
        "name": _ADS,
        "type": "STATIC",
        "load_assignment": {"cluster_name": _ADS, "endpoints": [{"lb_endpoints": [endpoint]}]},
        **_speaks_http2(),
    }


def _speaks_http2() -> Any:
    options = {
        "@type": f"type.googleapis.com/{_HTTP_OPTIONS}",
        "common_http_protocol_options": {**_HEADERS, "max_response_headers_kb": _HEADERS_KB},
        "explicit_http_config": {"http2_protocol_options": _STREAMS},
    }
    return {"typed_extension_protocol_options": {_HTTP_OPTIONS: options}}
