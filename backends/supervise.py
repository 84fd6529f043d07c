"""The supervisor's process from its first fork to its last line: puts fleet, leash and Cluster service together."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from typing import TYPE_CHECKING

from backends.nursery import fork_nursery
from backends.phase import Phase
from backends.supervisor import FleetSupervisor
from backends.supervisor_leash import SupervisorLeash

if TYPE_CHECKING:
    import socket

    from backends.plan import ClusterPlan

log = logging.getLogger("lbdemo.supervisor")

FOLDER_CHECK_S = 1.0
FIRST_START_S = 0.5
EXIT_FAILED = 1
LOG_FORMAT = "%(asctime)s %(levelname)s %(message)s"


def supervise(plan: ClusterPlan, *, lock: int, leash: socket.socket) -> int:
    """The whole life of the supervisor's process, after the imports that its replicas share; the exit code."""
    pipes = fork_nursery(plan.folder)
    supervisor = FleetSupervisor(plan, pipes, owns_folder=lambda: plan.folder.holds(lock))
    supervisor.begin()
    logging.basicConfig(level=logging.INFO, format=LOG_FORMAT)
    code = asyncio.run(_supervise(supervisor, lock, leash))
    os.waitpid(pipes.pid, 0)  # it has ended, or does so at once: its link is closed
    folder = plan.folder
    if folder.holds(lock):
        folder.clean()
    log.info("cluster %s has ended", folder.cluster)
    # Before the leash ends with this process: who reads its end may count on a free lock.
    os.close(lock)
    return code


async def _supervise(supervisor: FleetSupervisor, lock: int, leash: socket.socket) -> int:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, supervisor.stop, f"{number.name} received")
    folder, opened = supervisor.plan.folder, asyncio.Event()
    log.info(
        "cluster %s starts: %d replicas, target %s", folder.cluster, supervisor.plan.replicas, supervisor.plan.target
    )
    life = asyncio.create_task(supervisor.run())
    others = [
        asyncio.create_task(SupervisorLeash(leash, supervisor).hold(opened)),
        asyncio.create_task(_watch_folder(supervisor, lock)),
    ]
    try:
        await _first_start(supervisor)
        from backends.cluster_service import serving_cluster  # noqa: PLC0415 -- gRPC: only after the nursery's fork

        async with serving_cluster(supervisor):
            opened.set()
            others.append(asyncio.create_task(_watch_socket(supervisor, folder.socket_identity())))
            code = await life
    except Exception:
        log.exception("the supervisor fails")
        supervisor.stop("after an error")
        code = await life or EXIT_FAILED
    # Only what is at its end ends here: the leash told the last news already when the fleet was over.
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    return code


async def _first_start(supervisor: FleetSupervisor) -> None:
    """Let the first replicas have the processors: who starts them waits for them, and nobody for the socket yet."""

    async def settle() -> None:
        async for fleet in supervisor.changes():
            if fleet.stopping or all(m.phase is not Phase.STARTING for m in fleet.members):
                return

    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(settle(), FIRST_START_S)


async def _watch_folder(supervisor: FleetSupervisor, lock: int) -> None:
    """A cluster whose folder was removed can never be reached again: it ends."""
    while supervisor.plan.folder.holds(lock):  # nobody tells of a removed file
        supervisor.split.put_back()
        await asyncio.sleep(FOLDER_CHECK_S)
    supervisor.stop("its state folder is gone")


async def _watch_socket(supervisor: FleetSupervisor, ours: tuple[int, int] | None) -> None:
    """Nor can one whose socket was removed or replaced: nothing but a signal would ever end it."""
    while supervisor.plan.folder.socket_identity() == ours is not None:  # noqa: ASYNC110 -- as above
        await asyncio.sleep(FOLDER_CHECK_S)
    supervisor.stop("its socket is gone")
