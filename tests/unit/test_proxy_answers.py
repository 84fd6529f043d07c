"""What Envoy answers and writes, read: its hosts, its ports, its counters, its last words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lb_client.proxy.admin import Host, counters_of, hosts_of, ports_of
from lb_client.proxy.process import last_line

if TYPE_CHECKING:
    from pathlib import Path


def _host(address: str, port: int, health: str, **stats: int) -> dict[str, object]:
    told = [{"name": name, **({"value": str(value)} if value else {})} for name, value in stats.items()]
    return {
        "address": {"socket_address": {"address": address, "port_value": port}},
        "stats": told,
        "health_status": {"eds_health_status": health},
    }


def test_hosts_are_read_with_zeros_for_what_json_leaves_away() -> None:
    answer = {
        "cluster_statuses": [
            {"name": "ads", "host_statuses": [{"address": {"pipe": {"path": "/run/ads"}}}]},
            {
                "name": "l7",
                "host_statuses": [
                    _host("::1", 2, "UNHEALTHY", rq_total=0, cx_active=0),
                    _host("127.0.0.1", 1, "HEALTHY", rq_total=7, rq_error=1, cx_total=2, cx_active=1),
                ],
            },
        ]
    }
    assert hosts_of(answer, "l7") == (
        Host("127.0.0.1:1", healthy=True, requests=7, errors=1, connections=2, open=1),
        Host("[::1]:2", healthy=False, requests=0, errors=0, connections=0, open=0),
    )
    assert hosts_of(answer, "l4") == ()
    assert hosts_of({"cluster_statuses": [{"name": "l7"}]}, "l7") == ()


def test_ports_are_those_that_were_bound() -> None:
    socket = {"socket_address": {"address": "127.0.0.1", "port_value": 4711}}
    assert ports_of({"listener_statuses": [{"name": "l7", "local_address": socket}]}) == {"l7": 4711}
    assert ports_of({}) == {}


def test_counters_leave_histograms_out() -> None:
    assert counters_of({"stats": [{"name": "a", "value": 3}, {"histograms": {}}]}) == {"a": 3}


def test_the_last_line_of_a_log_is_what_it_says(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert last_line(log) == ""
    log.write_text("")
    assert last_line(log) == ""
    log.write_text(
        "[2026-01-02 03:04:05.678][12][warning][main] [source/server/server.cc:1059] first\n"
        "[2026-01-02 03:04:05.678][12][critical][main] [source/server/server.cc:420] error initializing config: no\n\n"
        "[2026-01-02 03:04:06.678][12][warning][main] [source/server/server.cc:1028] caught ENVOY_SIGTERM\n"
    )
    assert last_line(log) == "error initializing config: no"
    log.write_text("x" * 1000)
    assert last_line(log) == "x" * 299 + "…"
