"""A supervisor and its Cluster service over a nursery that the test plays, line by line."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio

from backends.cluster_service import serving_cluster
from backends.nursery import NurseryPipes
from backends.plan import ClusterPlan
from backends.state import StateFolder
from backends.supervisor import FleetSupervisor
from protos import cluster_pb2_grpc
from tests.support.services import BUILT_IN

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class ScriptedNursery:
    """The other ends of a supervisor's pipes: sees what is asked for, says what the test wants."""

    def __init__(self) -> None:
        link, self._link = socket.socketpair()
        notices, self._notices = os.pipe()
        os.set_blocking(notices, False)
        self._link.setblocking(False)
        self.pipes = NurseryPipes(link, notices, 0)
        self.asked: list[tuple[str, str]] = []
        self._pids = iter(range(100, 10_000))

    def listen(self) -> list[tuple[str, str]]:
        """Everything asked so far: (`start` or the signal's name, id)."""
        with contextlib.suppress(BlockingIOError):
            for line in self._link.recv(1 << 16).splitlines():
                request = json.loads(line)
                if request["op"] == "start":
                    self.asked.append(("start", request["spec"]["id"]))
                else:
                    self.asked.append((signal.Signals(request["signal"]).name, request["id"]))
        return self.asked

    def report(self, event: str, id: str, **facts: object) -> None:
        self._link.send(json.dumps({"event": event, "id": id, **facts}).encode() + b"\n")

    def notice(self, event: str, id: str, **facts: object) -> None:
        os.write(self._notices, json.dumps({"event": event, "id": id, **facts}).encode() + b"\n")

    def serve(self, id: str, address: str = "127.0.0.1:1") -> None:
        pid = next(self._pids)
        self.report("started", id, pid=pid)
        self.notice("serving", id, address=address, pid=pid, services=BUILT_IN)

    def freeze(self, id: str, pid: int) -> None:
        self.report("paused", id, pid=pid)

    def thaw(self, id: str, pid: int) -> None:
        self.report("resumed", id, pid=pid)

    def end(self, id: str, *, code: int = 0, number: int = 0) -> None:
        self.report("exited", id, pid=0, code=code, signal=number)

    def hang_up(self) -> None:
        """The nursery, while its replicas still drain."""
        self._link.close()

    def die(self) -> None:
        """The nursery and all its replicas."""
        self.hang_up()
        if self._notices >= 0:
            os.close(self._notices)
            self._notices = -1


@asynccontextmanager
async def running(
    replicas: int, *, owns_folder: bool = True, cluster: str = "c"
) -> AsyncIterator[tuple[ScriptedNursery, FleetSupervisor, Any]]:
    folder = StateFolder.of(cluster, root=Path(os.environ["LBDEMO_STATE_DIR"]))
    folder.prepare()
    nursery = ScriptedNursery()
    plan = ClusterPlan(folder=folder, replicas=replicas)
    supervisor = FleetSupervisor(plan, nursery.pipes, owns_folder=lambda: owns_folder)
    supervisor.begin()
    life = asyncio.create_task(supervisor.run())
    try:
        async with serving_cluster(supervisor), grpc.aio.insecure_channel(f"unix:{folder.socket}") as channel:
            yield nursery, supervisor, cluster_pb2_grpc.ClusterStub(channel)
    finally:
        nursery.die()
        await life
