"""Walks every way, one after the other: a client process each, and what replicas and Envoy counted meanwhile."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lb_client.compare.meters import cpu_of
from lb_client.compare.result import Comparison, Phase, Walked
from lb_client.compare.tally import Tally, growth
from lb_client.compare.walker import Errand
from lb_client.membership import natural_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from lb_client.compare.meters import Figures, ReplicaMeter
    from lb_client.compare.ways import Way
    from lb_client.proxy import EnvoyProxy

_END_S = 5.0


class WalkError(Exception):
    """A way could not be walked. One line."""


class Walk:
    """One comparison. Blocks while it runs.

    Args:
        proxy: In the block: it listens.
        meter: Of the replicas that the proxy balances to.
        replicas: Their names by address.
        requested: `count`, `concurrency`, `streams`, `messages` and `deadline_s`.
    """

    def __init__(
        self, proxy: EnvoyProxy, meter: ReplicaMeter, replicas: dict[str, str], requested: dict[str, Any]
    ) -> None:
        self._proxy = proxy
        self._meter = meter
        self._replicas = dict(sorted(replicas.items(), key=lambda item: natural_key(item[1], item[0])))
        self._requested = requested

    def run(self, ways: Sequence[Way], told: Callable[[Way, int], None] = lambda _way, _number: None) -> Comparison:
        """Walk these ways; `told` hears of each before it begins, with its number from 0.

        Raises:
            WalkError: A client could not call at all.
            MeterError: A replica does not tell its figures.
            EnvoyEndedError: Envoy ended meanwhile.
        """
        walked = []
        for number, way in enumerate(ways):
            told(way, number)
            try:
                walked.append(self._walk(way))
            except OSError:
                self._proxy.wait(_END_S)  # what does not answer has ended, or is about to
                raise
        return Comparison(
            target=self._proxy.target,
            envoy=self._proxy.admin.version(),
            replicas=self._replicas,
            requested=self._requested,
            ways=tuple(walked),
        )

    def _walk(self, way: Way) -> Walked:
        entered = self._connections_so_far(way)
        upstream = self._upstream(way, "connections")
        with _client(way, Errand(way, self._entrance(way), self._replicas, **self._errand())) as ask:
            calls, answer = self._phase(way, ask, "calls")
            streams, _ = self._phase(way, ask, "streams")
            made: dict[str, int] = answer["connections"]
            connections = made if way.through == "direct" else growth(upstream, self._upstream(way, "connections"))
            if way.through != "direct" and made:
                group = (
                    Tally("the client", "connection", {"": sum(made.values())}),
                    Tally("Envoy", "connection", {"": self._connections_so_far(way) - entered}),
                )
                calls = _with(calls, group)
        return Walked(way=way, calls=calls, streams=streams, connections=connections)

    def _errand(self) -> dict[str, Any]:
        load = {key: self._requested[key] for key in ("count", "concurrency", "streams", "messages", "deadline_s")}
        return {**load, "parent": os.getpid()}

    def _entrance(self, way: Way) -> str:
        """What the client is told to call."""
        if way.through == "direct":
            return next(iter(self._replicas)) if way.one_replica else self._proxy.target
        return self._proxy.address if way.through == "l7" else self._proxy.l4_address

    def _phase(self, way: Way, ask: Callable[[str], dict[str, Any]], what: str) -> tuple[Phase, dict[str, Any]]:
        before, sent, proxy_cpu_s = self._meter.read(), self._upstream(way, "requests"), cpu_of(self._proxy.pid)
        answer = ask(what)
        proxy_cpu_s = cpu_of(self._proxy.pid) - proxy_cpu_s
        after, sent = self._meter.read(), growth(sent, self._upstream(way, "requests"))
        noun = "call" if what == "calls" else "stream"
        counted = answer["by_address"] | ({"": answer["lost"]} if answer.get("lost") else {})
        seen = [Tally("the client", noun, counted), Tally("the replicas", noun, _grown(before, after, what))]
        if way.through == "l7":
            seen.append(Tally("Envoy", noun, sent))
        groups = [tuple(seen)]
        if what == "streams":
            messages = Tally("the replicas", "message", growth(before.messages, after.messages))
            groups.append((Tally("the client", "message", answer["messages"]), messages))
        phase = Phase(
            by_address=answer["by_address"],
            failed=answer["failed"],
            failures=tuple(answer["failures"]),
            done=answer["calls"] if what == "calls" else sum(answer["messages"].values()),
            elapsed_s=answer["elapsed_s"],
            latency_ms=answer["latency_ms"],
            client_cpu_s=answer["cpu_s"],
            proxy_cpu_s=None if way.through == "direct" else proxy_cpu_s,
            tallies=tuple(groups),
        )
        return phase, answer

    def _upstream(self, way: Way, what: str) -> dict[str, int]:
        """What Envoy has sent to each replica so far, on behalf of this way."""
        if way.through == "direct":
            return {}
        return {host.address: getattr(host, what) for host in self._proxy.admin.hosts(way.through)}

    def _connections_so_far(self, way: Way) -> int:
        """How many connections clients have made to the listener of this way."""
        if way.through == "direct":
            return 0
        name = "http.l7.downstream_cx_total" if way.through == "l7" else "tcp.l4.downstream_cx_total"
        return self._proxy.admin.counters(f"^{name}$").get(name, 0)


def _grown(before: Figures, after: Figures, what: str) -> dict[str, int]:
    return growth(getattr(before, what), getattr(after, what))


def _with(phase: Phase, group: tuple[Tally, ...]) -> Phase:
    return replace(phase, tallies=(*phase.tallies, group))


@contextlib.contextmanager
def _client(way: Way, errand: Errand) -> Iterator[Callable[[str], dict[str, Any]]]:
    """The client's process, warm and ready to be asked; leaving the block ends it."""
    process = subprocess.Popen(  # noqa: S603 -- our own module, and an errand made here
        [sys.executable, "-m", "lb_client.compare.walker", errand.to_json()],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
    )
    assert process.stdin is not None and process.stdout is not None and process.stderr is not None  # noqa: S101, PT018 -- pipes
    stdin, stdout, stderr = process.stdin, process.stdout, process.stderr

    def hear() -> dict[str, Any]:
        line = stdout.readline()
        if not line:
            last = (stderr.read().strip().splitlines() or ["it said nothing"])[-1]
            raise WalkError(f"the client for {way.title!r} has ended: {last}")
        told: dict[str, Any] = json.loads(line)
        return told

    def ask(what: str) -> dict[str, Any]:
        stdin.write(json.dumps({"do": what}) + "\n")
        stdin.flush()
        return hear()

    try:
        ready = hear()
        if not ready["ready"]:
            raise WalkError(f"no call by {way.title!r}: {' '.join(ready['reason'].split())}")
        yield ask
        stdin.close()
        process.wait(_END_S)
    finally:
        process.kill()
        process.wait()
        for pipe in (stdin, stdout, stderr):
            with contextlib.suppress(BrokenPipeError):
                pipe.close()
