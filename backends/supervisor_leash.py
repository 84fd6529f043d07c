"""The supervisor's end of the leash that leash.py is about: it tells news, and minds when the other end goes."""

from __future__ import annotations

import asyncio
import json
import os
from typing import TYPE_CHECKING

from backends.leash import DETACH

if TYPE_CHECKING:
    import socket

    from backends.fleet import Fleet, Member
    from backends.leash import Event
    from backends.supervisor import FleetSupervisor


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
            except OSError:  # it had gone when it was told something
                last_word = _unread(until_the_end)
            if last_word == DETACH:
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


def _unread(fd: int) -> bytes:
    """What the other end said before it went: nobody reads it from a stream to which nothing can be written."""
    try:
        return os.read(fd, len(DETACH))
    except OSError:
        return b""


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
