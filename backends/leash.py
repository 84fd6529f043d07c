"""What ties a cluster to the command that starts it, until that lets go: news one way, the end the other.

A socket pair with JSON lines. The supervisor tells of every change of its replicas and of how many are wanted, of what
they serve and, once, that its socket is open; the command sends `detach` when it leaves the cluster to itself. If the
leash ends before that, however the command died, the supervisor drains everything and ends: a start that was
interrupted leaves nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import select
import socket
import time
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Iterator

    from backends.fleet import Fleet, Member
    from backends.supervisor import FleetSupervisor

_DETACH = b"detach\n"
TICK_S = 0.25

Event = dict[str, Any]


class Leash:
    """The command's end. Leaving the block without `detach` has the supervisor drain and end, and waits for that."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._pending = b""
        self._detached = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            if not self._detached:
                self.pull()
                for _event in self.events():
                    pass
        finally:
            self._end.close()

    def events(self, *, within_s: float | None = None) -> Iterator[Event]:
        """The supervisor's news until it ends; an empty one each quarter of a second without news.

        Ends without a word when the supervisor has ended.

        Raises:
            TimeoutError: `within_s` is over.
        """
        end = None if within_s is None else time.monotonic() + within_s
        while True:
            left = TICK_S if end is None else min(TICK_S, end - time.monotonic())
            if left < 0:
                raise TimeoutError
            ready, _, _ = select.select([self._end], [], [], left)
            if not ready:
                yield {}
                continue
            try:
                data = self._end.recv(1 << 16)
            except ConnectionResetError:
                return
            if not data:
                return
            *lines, self._pending = (self._pending + data).split(b"\n")
            for line in lines:
                yield json.loads(line)

    def detach(self) -> None:
        """Let the cluster go on without us."""
        self._end.sendall(_DETACH)
        self._detached = True

    def pull(self) -> None:
        """Have the supervisor drain and end; `events` then shows how it does."""
        with contextlib.suppress(OSError):
            self._end.shutdown(socket.SHUT_WR)


class SupervisorLeash:
    """The supervisor's end, on its loop."""

    def __init__(self, end: socket.socket, supervisor: FleetSupervisor) -> None:
        self._socket = end
        self._supervisor = supervisor

    async def hold(self, opened: asyncio.Event) -> None:
        """Tell news until the supervisor is over, and stop it when the other end goes without letting go.

        Args:
            opened: Set once the Cluster service answers.
        """
        # Open until this process ends: only then may the other end read that nothing is left.
        until_the_end = os.dup(self._socket.fileno())
        reader, writer = await asyncio.open_connection(sock=self._socket)
        tasks = (
            asyncio.create_task(self._tell_fleet(writer)),
            asyncio.create_task(self._tell_open(writer, opened)),
        )
        try:
            try:
                last_word = await reader.readline()
            except OSError:  # it died while it was being told something
                last_word = b""
            if last_word == _DETACH:
                os.close(until_the_end)
            else:
                self._supervisor.stop("the command that holds it has ended")
                await tasks[0]
        finally:
            for task in tasks:
                task.cancel()
            writer.close()

    async def _tell_fleet(self, writer: asyncio.StreamWriter) -> None:
        known: dict[str, Member] = {}
        services: tuple[str, ...] = ()
        plan = self._supervisor.plan
        wanted = (plan.replicas, plan.replicas)
        async for fleet in self._supervisor.changes():
            # First: who waits until all serve reads no further than that.
            if self._supervisor.services != services:
                services = self._supervisor.services
                _tell(writer, {"event": "services", "services": services})
            if (fleet.total, fleet.wanted) != wanted:  # somebody scales what this command still waits for
                wanted = (fleet.total, fleet.wanted)
                _tell(writer, {"event": "wanted", "wanted": fleet.total, "first": fleet.wanted})
            for event in changes(known, fleet):
                _tell(writer, event)
            known = {m.id: m for m in fleet.members}

    async def _tell_open(self, writer: asyncio.StreamWriter, opened: asyncio.Event) -> None:
        await opened.wait()
        _tell(writer, {"event": "open"})


def changes(known: dict[str, Member], fleet: Fleet) -> list[Event]:
    """What to tell to somebody who knows `known`, sorted by the replicas' numbers."""
    news: list[Event] = [
        {
            "event": "replica",
            "id": m.id,
            "phase": m.phase.name,
            "address": m.address,
            "pid": m.pid,
            "restarts": m.restarts,
            "reason": m.reason,
            "version": m.version,
        }
        for m in fleet.members
        if known.get(m.id) != m
    ]
    gone = known.keys() - {m.id for m in fleet.members}
    return news + [{"event": "gone", "id": name} for name in sorted(gone)]


def _tell(writer: asyncio.StreamWriter, event: Event) -> None:
    if not writer.is_closing():
        writer.write(json.dumps(event).encode() + b"\n")
