"""What a comparison has found, as values and as JSON; page.py draws it. The JSON's keys are a contract."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lb_client.compare.tally import differences, spread_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lb_client.compare.tally import Tally
    from lb_client.compare.ways import Way


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """Calls, or streams, by one way.

    Attributes:
        by_address: How many each replica had, as the answers told the client.
        failed: How many ended with another status than OK.
        failures: The first few of these, in words.
        done: What a figure of CPU is divided by: calls, or answered messages.
        elapsed_s: From the first to the end of the last.
        latency_ms: Of a call, or of a message and its answer; keys as in `lbdemo call --json`.
        client_cpu_s: CPU of the client's process.
        proxy_cpu_s: CPU of Envoy meanwhile; None where it had no part.
        tallies: The same counted by each who counts; the client's first. By what was counted.
    """

    by_address: Mapping[str, int]
    failed: int
    failures: tuple[str, ...]
    done: int
    elapsed_s: float
    latency_ms: Mapping[str, float | None]
    client_cpu_s: float
    proxy_cpu_s: float | None
    tallies: tuple[tuple[Tally, ...], ...]

    @property
    def rate_per_s(self) -> float:
        """Calls, or messages, per second."""
        return self.done / self.elapsed_s if self.elapsed_s > 0 else 0.0

    def cpu_us(self, cpu_s: float | None) -> float | None:
        """CPU seconds as microseconds for each call, or message."""
        return None if cpu_s is None or not self.done else cpu_s / self.done * 1e6

    @property
    def cpu_us_together(self) -> float | None:
        """Of client and proxy."""
        return self.cpu_us(self.client_cpu_s + (self.proxy_cpu_s or 0.0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Walked:
    """One way, walked.

    Attributes:
        way: Which.
        calls: The unary calls.
        streams: The streams.
        connections: Open connections to each replica, by address: of the client, or of the proxy.
    """

    way: Way
    calls: Phase
    streams: Phase
    connections: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """All of it.

    Attributes:
        target: What was called.
        envoy: Envoy's version.
        replicas: Name by address, in the order of names.
        requested: Every input.
        ways: In the order in which they were walked.
    """

    target: str
    envoy: str
    replicas: Mapping[str, str]
    requested: Mapping[str, Any] = field(default_factory=dict)
    ways: tuple[Walked, ...] = ()

    def find(self, key: str) -> Walked:
        """The way of that key."""
        return next(walked for walked in self.ways if walked.way.key == key)

    def named(self, by_address: Mapping[str, int]) -> dict[str, int]:
        """Counts by the replicas' names, with a zero for each that has none, in the order of names."""
        return {name: by_address.get(address, 0) for address, name in self.replicas.items()}

    def differences(self) -> dict[str, tuple[str, ...]]:
        """By a way's title, where the counts differ; empty when all agree."""
        found = {}
        for walked in self.ways:
            groups = (*walked.calls.tallies, *walked.streams.tallies)
            lines = tuple(line for group in groups for line in differences(group, self.replicas))
            if lines:
                found[walked.way.title] = lines
        return found

    @property
    def failed(self) -> int:
        """Calls and streams that failed, by all ways."""
        return sum(walked.calls.failed + walked.streams.failed for walked in self.ways)

    def as_dict(self, explanation: str) -> dict[str, Any]:
        """What `lbdemo compare --json` prints."""
        different = self.differences()
        return {
            "target": self.target,
            "envoy": self.envoy,
            "requested": dict(self.requested),
            "replicas": [{"id": name, "address": address} for address, name in self.replicas.items()],
            "ways": [self._way(walked, different) for walked in self.ways],
            "failed": self.failed,
            "reconciled": not different,
            "explanation": explanation,
        }

    def _way(self, walked: Walked, different: Mapping[str, tuple[str, ...]]) -> dict[str, Any]:
        way = walked.way
        return {
            "key": way.key,
            "title": way.title,
            "policy": way.policy,
            "through": way.through,
            "hops": way.hops,
            "client_connections": way.connections,
            "connections": self.named(walked.connections),
            "calls": self._phase(walked.calls),
            "streams": self._phase(walked.streams),
            "reconciled": way.title not in different,
            "differences": list(different.get(way.title, ())),
        }

    def _phase(self, phase: Phase) -> dict[str, Any]:
        spread = self.named(phase.by_address)
        text, even = spread_text(spread)
        return {
            "by_replica": spread,
            "spread": text,
            "even": even,
            "failed": phase.failed,
            "failures": list(phase.failures),
            "elapsed_s": round(phase.elapsed_s, 6),
            "rate_per_s": round(phase.rate_per_s, 3),
            "latency_ms": dict(phase.latency_ms),
            "cpu_us": {
                "client": _rounded(phase.cpu_us(phase.client_cpu_s)),
                "proxy": _rounded(phase.cpu_us(phase.proxy_cpu_s)),
                "together": _rounded(phase.cpu_us_together),
            },
            "counted": [
                {"who": tally.who, "what": tally.what, "by_replica": _by_name(tally.by_address, self.replicas)}
                for group in phase.tallies
                for tally in group
            ],
        }


def _by_name(by_address: Mapping[str, int], names: Mapping[str, str]) -> dict[str, int]:
    return {names.get(address, address): number for address, number in by_address.items()}


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)
