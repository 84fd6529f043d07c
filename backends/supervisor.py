"""The process that owns one cluster: it keeps the fleet as wanted until told to stop; decision.py says how, this acts.

Forking is the nursery's, answering is cluster_service.py's. The first replicas are asked for before anything else is
imported: they import gRPC at the same time as the supervisor does.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import socket
import time
from dataclasses import asdict
from typing import TYPE_CHECKING

from backends import file_limit, versions
from backends import fleet as fleets
from backends.decision import Drain, Start, decide
from backends.events import EventHistory
from backends.fleet import Fleet
from backends.json_lines import Event, JsonLines
from backends.traffic_split import TrafficSplit
from backends.transitions import News, ending, signal_name, transitions

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from backends.nursery import NurseryPipes
    from backends.plan import ClusterPlan

log = logging.getLogger("lbdemo.supervisor")

EXIT_NURSERY_LOST = 1


class FleetSupervisor:
    """Keeps the fleet of one cluster.

    Made and started in a process without gRPC; `run` then lives on an asyncio loop until nothing is left. Records are
    removed only while `owns_folder` says so: once the folder was removed, what stands at its path is a successor's.

    Attributes:
        fleet: As it is now; `become` makes it another.
        history: What happened.
    """

    def __init__(
        self,
        plan: ClusterPlan,
        pipes: NurseryPipes,
        *,
        owns_folder: Callable[[], bool] = lambda: True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.plan = plan
        self.clock = clock
        self.fleet = Fleet(
            wanted=plan.replicas,
            version=plan.layout.version,
            service=plan.service,
            drain_limit_s=plan.spec("r0").drain_limit_s,
        )
        self.history = EventHistory(clock=clock)
        self.split = TrafficSplit(plan.registry)
        self.services: tuple[str, ...] = ()
        self._pipes = pipes
        self._owns_folder = owns_folder
        self._reports = JsonLines()
        self._notices = JsonLines()
        self._timer: asyncio.TimerHandle | None = None
        self._changed: asyncio.Future[None] | None = None
        self._over: asyncio.Event = asyncio.Event()
        self._nursery_lost = False
        self._all_gone = False

    def begin(self) -> None:
        """Ask for the first replicas. Needs no loop: called as early as possible."""
        self.become(self.fleet)

    @property
    def over(self) -> bool:
        """Whether nothing is left to supervise."""
        return self._over.is_set()

    def scale(self, wanted: int) -> None:
        """Set how many replicas there should be.

        Raises:
            ValueError: The number is outside what is possible, or there is no room for so many connections.
            RefusedError: A rolling restart goes on.
        """
        after = fleets.scaled(self.fleet, wanted)
        self.expect_room(after.total)
        self.become(after)

    def expect_room(self, replicas: int) -> None:
        """Raise ValueError if there is no room for the connections to so many replicas."""
        if line := file_limit.shortage_of_supervisor(replicas, limit=file_limit.allowed()):
            raise ValueError(f"{line}, then 'lbdemo down' and 'lbdemo up' again")

    def set_version(
        self, name: str, *, wanted: int | None = None, share: float | None = None, service: str | None = None
    ) -> None:
        """Add a version, or change its number of replicas or its share.

        Raises:
            ValueError, RefusedError: As `versions.with_version`, or there is no room for so many connections.
        """
        after = versions.with_version(self.fleet, name, wanted=wanted, share=share, service=service)
        self.expect_room(after.total)
        self.become(after)

    def remove_version(self, name: str) -> None:
        """Drain all replicas of a version.

        Raises:
            ValueError: There is no such version, or no other one.
        """
        after = versions.without_version(self.fleet, name)
        self.become(after)

    def service_of(self, version: str) -> str | None:
        """What the replicas of a version serve."""
        return next((other.service for other in self.fleet.others if other.name == version), self.fleet.service)

    def stop(self, why: str) -> None:
        """Drain everything; `run` ends when it is done."""
        if not self.fleet.stopping:
            self.tell(News("stopping", detail=why, line=f"stopping: {why}"))
            self.become(fleets.stopped(self.fleet))

    async def changes(self) -> AsyncIterator[Fleet]:
        """The fleet now, then after every change, until it is over. A slow reader misses steps, never the last one."""
        seen = None
        while True:
            if self.fleet is not seen:
                seen = self.fleet
                yield seen
            elif self.over:
                return
            else:
                await self.wait_for_change()

    async def wait_for_change(self) -> None:
        """Return after the next change of the fleet."""
        if self._changed is None:
            self._changed = asyncio.get_running_loop().create_future()
        await asyncio.shield(self._changed)

    async def run(self) -> int:
        """Supervise until stopped and nothing is left; the exit code. Closes its pipes, which ends the nursery."""
        loop = asyncio.get_running_loop()
        loop.add_reader(self._pipes.link, self._hear_nursery)
        loop.add_reader(self._pipes.notices, self._hear_replicas)
        try:
            await self._over.wait()
        finally:
            if self._timer is not None:
                self._timer.cancel()
            loop.remove_reader(self._pipes.notices)
            loop.remove_reader(self._pipes.link)
            self._pipes.link.close()
            os.close(self._pipes.notices)
        return EXIT_NURSERY_LOST if self._nursery_lost else 0

    def tell(self, news: News) -> None:
        """Write it to the log, and remember it as an event."""
        log.log(news.level, news.line)
        if news.kind:
            self.history.add(news)

    def signal(self, id: str, number: signal.Signals) -> None:
        """Have the replica's process signalled; one that has none gets nothing."""
        self._ask({"op": "signal", "id": id, "signal": int(number)})

    def become(self, fleet: Fleet) -> None:
        """Take the next state of the fleet, and do what it asks for."""
        before, self.fleet = self.fleet, fleet
        self._act()
        if self.fleet == before:
            return
        for news in transitions(before, self.fleet):
            self.tell(news)
        if self._changed is not None:
            self._changed.set_result(None)
            self._changed = None

    def _act(self) -> None:
        decision = decide(self.fleet, self.clock())
        self.fleet = decision.fleet
        # Before a version's replicas announce themselves, and until they are gone: else they would be like any other.
        if self._owns_folder():
            leaving = {m.version for m in self.fleet.members} - {self.fleet.version}
            kept = {name: share for name, share in self.split.shares.items() if name in leaving}
            self.split.set(kept | versions.shares(self.fleet))
        for action in decision.actions:
            if isinstance(action, Start):
                member = next(m for m in self.fleet.members if m.id == action.id)
                spec = self.plan.spec_of(member, self.service_of(member.version))
                self._ask({"op": "start", "spec": asdict(spec)})
            else:
                number = signal.SIGTERM
                if not isinstance(action, Drain):
                    number = signal.SIGKILL
                    log.warning("%s does not end in time and is killed; its calls are lost", action.id)
                self.signal(action.id, number)
        if self.fleet.stopping and not self.fleet.members:
            self._finish()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if decision.wake_at is not None:
            delay_s = max(0.0, decision.wake_at - self.clock())
            self._timer = asyncio.get_running_loop().call_later(delay_s, lambda: self.become(self.fleet))

    def _ask(self, request: dict[str, object]) -> None:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # _hear_nursery finds that it is gone
            self._pipes.link.sendall(json.dumps(request).encode() + b"\n")

    def _hear_nursery(self) -> None:
        try:
            data = self._pipes.link.recv(1 << 16, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except ConnectionResetError:
            data = b""
        # What a replica said before it ended is read before the news of its end.
        self._hear_replicas()
        if not data:
            self._lose_nursery()
            return
        for event in self._reports.feed(data):
            self._take_report(event)

    def _take_report(self, event: Event) -> None:
        id, now = str(event["id"]), self.clock()  # noqa: A001 -- the field's own word
        if event["event"] == "started":
            self.become(fleets.started(self.fleet, id, pid=int(event["pid"]), now=now))
        elif event["event"] == "not-forked":
            self.become(fleets.exited(self.fleet, id, code=None, why=str(event["reason"]), now=now))
        elif event["event"] in ("paused", "resumed"):
            member = self.fleet.find(id)
            if member is not None and member.pid == int(event["pid"]):
                self.become(fleets.paused(self.fleet, id, yes=event["event"] == "paused"))
        else:
            # Whoever died hard left its record; the name is free now, so nobody else's can be hit.
            if self._owns_folder():
                with contextlib.suppress(OSError):
                    (self.plan.registry / f"{id}.json").unlink()
            number = int(event["signal"])
            code = None if number else int(event["code"])
            why = f"killed by {signal_name(number)}" if number else f"exited with code {code}"
            member = self.fleet.find(id)
            if member and (news := ending(member, code=code, why=why, stopping=self.fleet.stopping)):
                self.tell(news)
            self.become(fleets.exited(self.fleet, id, code=code, why=why, now=now))

    def _hear_replicas(self) -> None:
        while True:
            try:
                data = os.read(self._pipes.notices, 1 << 16)
            except BlockingIOError:
                return
            if not data:
                # The nursery holds the other end too: it and all its replicas are gone.
                asyncio.get_running_loop().remove_reader(self._pipes.notices)
                self._all_gone = True
                if self._nursery_lost:
                    self._finish()
                return
            for event in self._notices.feed(data):
                self._take_notice(event)

    def _take_notice(self, event: Event) -> None:
        id = str(event["id"])  # noqa: A001 -- the field's own word
        if event["event"] == "serving":
            self.services = tuple(event.get("services", ()))
            self.become(fleets.serving(self.fleet, id, address=str(event["address"]), now=self.clock()))
        elif event["event"] == "draining":
            self.become(fleets.draining(self.fleet, id))
        elif event["event"] == "cut-off":
            self.become(fleets.cut_off(self.fleet, id, calls=int(event["calls"]), after_s=float(event["after_s"])))
        elif event["event"] == "cannot-start":
            self.become(fleets.cannot_start(self.fleet, id, reason=str(event["reason"])))

    def _finish(self) -> None:
        self._over.set()
        self.history.wake()

    def _lose_nursery(self) -> None:
        """The nursery died: its replicas drain by themselves. Stay until their pipe ends, then leave too."""
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._pipes.link)
        if not self._over.is_set():
            line = "the nursery is gone; its replicas drain, and this supervisor ends with them"
            self.tell(News("stopping", detail="the nursery is gone", line=line, level=logging.ERROR))
            self._nursery_lost = True
            self.become(fleets.stopped(self.fleet))  # nobody can scale what is about to end
            if self._all_gone:
                self._finish()
            loop.call_later(self.fleet.drain_limit_s, self._finish)
