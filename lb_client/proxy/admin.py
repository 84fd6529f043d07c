"""Envoy's administration interface, over a unix socket: its answers as values. Decides nothing."""

from __future__ import annotations

import http.client
import json
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_TIMEOUT_S = 2.0


@dataclass(frozen=True, slots=True)
class Host:
    """One endpoint of a cluster, as Envoy sees it.

    Attributes:
        address: `host:port`.
        healthy: Whether it gets calls.
        requests: Requests sent to it so far.
        errors: Those of them that Envoy counts as errors.
        connections: Connections made to it so far.
        open: Connections to it now.
    """

    address: str
    healthy: bool
    requests: int
    errors: int
    connections: int
    open: int


class AdminClient:
    """Asks one Envoy; a connection for each question. Every method raises OSError where nobody answers."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def is_ready(self) -> bool:
        """Whether it serves; False while nobody answers."""
        try:
            return self._ask("GET", "/ready").strip() == "LIVE"
        except OSError:
            return False

    def ports(self) -> dict[str, int]:
        """The port of each listener."""
        return ports_of(json.loads(self._ask("GET", "/listeners?format=json")))

    def hosts(self, cluster: str) -> tuple[Host, ...]:
        """The endpoints of a cluster, sorted by address."""
        return hosts_of(json.loads(self._ask("GET", "/clusters?format=json")), cluster)

    def counters(self, pattern: str) -> dict[str, int]:
        """The counters and gauges whose names match the regular expression."""
        return counters_of(json.loads(self._ask("GET", f"/stats?format=json&filter={pattern}")))

    def version(self) -> str:
        """Envoy's own, such as `1.40.0`."""
        text: str = json.loads(self._ask("GET", "/server_info"))["version"]
        return text.split("/")[1] if "/" in text else text

    def drain(self) -> None:
        """Have it take no further connections, and tell those it has to leave."""
        self._ask("POST", "/drain_listeners?graceful&skip_exit")

    def _ask(self, method: str, path: str) -> str:
        connection = _UnixConnection(self._path)
        try:
            connection.request(method, path)
            answer = connection.getresponse()
            text = answer.read().decode()
        except http.client.HTTPException as error:
            raise ConnectionError(f"Envoy's admin interface: {error!r}") from None
        finally:
            connection.close()
        return text


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("envoy", timeout=_TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(_TIMEOUT_S)
        self.sock.connect(str(self._path))


def ports_of(listeners: Mapping[str, Any]) -> dict[str, int]:
    """From the answer to `/listeners?format=json`."""
    return {
        each["name"]: int(each["local_address"]["socket_address"]["port_value"])
        for each in listeners.get("listener_statuses", ())
    }


def hosts_of(clusters: Mapping[str, Any], cluster: str) -> tuple[Host, ...]:
    """From the answer to `/clusters?format=json`. JSON of protobuf leaves zeros away."""
    found = []
    for each in clusters.get("cluster_statuses", ()):
        if each["name"] != cluster:
            continue
        for host in each.get("host_statuses", ()):
            where = host["address"]["socket_address"]
            name = f"[{where['address']}]" if ":" in where["address"] else where["address"]
            stats = {stat["name"]: int(stat.get("value", 0)) for stat in host.get("stats", ())}
            found.append(
                Host(
                    address=f"{name}:{where['port_value']}",
                    healthy=host.get("health_status", {}).get("eds_health_status") in (None, "HEALTHY", "UNKNOWN"),
                    requests=stats.get("rq_total", 0),
                    errors=stats.get("rq_error", 0),
                    connections=stats.get("cx_total", 0),
                    open=stats.get("cx_active", 0),
                )
            )
    return tuple(sorted(found, key=lambda host: host.address))


def counters_of(stats: Mapping[str, Any]) -> dict[str, int]:
    """From the answer to `/stats?format=json`; histograms are left out."""
    return {each["name"]: int(each["value"]) for each in stats.get("stats", ()) if "value" in each}
