"""Walks all ways side by side, a round of each in turn: what slows the machine for a while slows them all alike."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lb_client.compare.client import WalkerClient
from lb_client.compare.errand import Errand
from lb_client.compare.meters import cpu_of
from lb_client.compare.parts import Part, phase_of, shares
from lb_client.compare.result import Comparison, Walked
from lb_client.compare.tally import Tally, growth
from lb_client.membership import natural_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from lb_client.compare.meters import ReplicaMeter
    from lb_client.compare.ways import Way
    from lb_client.proxy import EnvoyProxy

_END_S = 5.0


@dataclass(slots=True)
class _Walker:
    """One way while it is walked."""

    way: Way
    client: WalkerClient
    connections: dict[str, int]
    tallies: tuple[tuple[Tally, ...], ...]
    calls: list[Part] = field(default_factory=list)
    streams: list[Part] = field(default_factory=list)


class Walk:
    """One comparison. Blocks while it runs.

    Args:
        proxy: In the block: it listens.
        meter: Of the replicas that the proxy balances to.
        replicas: Their names by address.
        requested: `count`, `concurrency`, `streams`, `messages` and `deadline_s`.
        program: The module that walks a way, in a process for each.
    """

    def __init__(
        self,
        proxy: EnvoyProxy,
        meter: ReplicaMeter,
        replicas: dict[str, str],
        requested: dict[str, Any],
        *,
        program: str,
    ) -> None:
        self._proxy = proxy
        self._meter = meter
        self._replicas = dict(sorted(replicas.items(), key=lambda item: natural_key(item[1], item[0])))
        self._requested = requested
        self._program = program

    def run(self, ways: Iterable[Way], told: Callable[[str, float], None] = lambda _text, _part: None) -> Comparison:
        """Walk these ways; `told` hears what is being done, and how much of it all is behind.

        Raises:
            WalkError: A client could not call at all.
            MeterError: A replica does not tell its figures.
            EnvoyEndedError: Envoy ended meanwhile.
        """
        try:
            walked = self._walk(tuple(ways), told)
            version = self._proxy.admin.version()
        except OSError:
            self._proxy.wait(_END_S)  # what does not answer has ended, or is about to
            raise
        return Comparison(
            target=self._proxy.target,
            envoy=version,
            replicas=self._replicas,
            requested=self._requested,
            ways=walked,
        )

    def _walk(self, ways: tuple[Way, ...], told: Callable[[str, float], None]) -> tuple[Walked, ...]:
        asked = self._requested
        rounds = shares(asked["count"], asked["concurrency"])
        steps, step = len(ways) * (len(rounds) + 2), 0

        def tell(text: str) -> None:
            nonlocal step
            told(text, step / steps)
            step += 1

        with contextlib.ExitStack() as stack:
            walkers = []
            for way in ways:
                tell(f"connecting: {way.title}")
                walkers.append(self._begin(way, stack))
            for number, count in enumerate(rounds):
                # Each comes first, second and last alike: what it finds in the caches is another's.
                for walker in (*walkers[number % len(ways) :], *walkers[: number % len(ways)]):
                    tell(f"calls: {walker.way.title}")
                    walker.calls.append(self._part(walker, {"do": "calls", "count": count}))
            for walker in walkers:
                tell(f"streams: {walker.way.title}")
                order = {"do": "streams", "streams": asked["streams"], "messages": asked["messages"]}
                walker.streams.append(self._part(walker, order))
            return tuple(
                Walked(
                    way=walker.way,
                    calls=phase_of(walker.calls, walker.way, "call", walker.tallies),
                    streams=phase_of(walker.streams, walker.way, "stream"),
                    connections=walker.connections,
                )
                for walker in walkers
            )

    def _begin(self, way: Way, stack: contextlib.ExitStack) -> _Walker:
        """Start the way's client, and count the connections that come of it."""
        entered, made = self._entered(way), self._upstream(way, "connections")
        errand = Errand(
            way=way,
            target=self._entrance(way),
            replicas=self._replicas,
            concurrency=self._requested["concurrency"],
            deadline_s=self._requested["deadline_s"],
            parent=os.getpid(),
        )
        client = stack.enter_context(WalkerClient(errand, self._program))
        entered, made = self._entered(way) - entered, growth(made, self._upstream(way, "connections"))
        if way.through == "direct":
            return _Walker(way, client, client.connections, ())
        opened = sum(client.connections.values())
        told = (Tally("the client", "connection", {"": opened}), Tally("Envoy", "connection", {"": entered}))
        return _Walker(way, client, made, (told,) if opened else ())

    def _entrance(self, way: Way) -> str:
        """What the client is told to call."""
        if way.through == "direct":
            return next(iter(self._replicas)) if way.one_replica else self._proxy.target
        return self._proxy.address if way.through == "l7" else self._proxy.l4_address

    def _part(self, walker: _Walker, order: dict[str, Any]) -> Part:
        """One round of one way, and what the replicas and Envoy counted meanwhile."""
        before, sent, proxy_cpu_s = self._meter.read(), self._upstream(walker.way, "requests"), cpu_of(self._proxy.pid)
        answer = walker.client.ask(**order)
        proxy_cpu_s = cpu_of(self._proxy.pid) - proxy_cpu_s
        after, sent = self._meter.read(), growth(sent, self._upstream(walker.way, "requests"))
        return Part(
            answer=answer,
            replicas=growth(getattr(before, order["do"]), getattr(after, order["do"])),
            messages=growth(before.messages, after.messages),
            envoy=sent,
            proxy_cpu_s=proxy_cpu_s,
        )

    def _upstream(self, way: Way, what: str) -> dict[str, int]:
        """What Envoy has counted for each replica so far, on the listener of this way: `requests` or `connections`."""
        if way.through == "direct":
            return {}
        return {host.address: getattr(host, what) for host in self._proxy.admin.hosts(way.through)}

    def _entered(self, way: Way) -> int:
        """How many connections clients have made to the listener of this way."""
        if way.through == "direct":
            return 0
        name = "http.l7.downstream_cx_total" if way.through == "l7" else "tcp.l4.downstream_cx_total"
        return self._proxy.admin.counters(f"^{name}$").get(name, 0)
