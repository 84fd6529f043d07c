"""Starts a supervisor in the background, held by a leash. What it then does is supervisor.py's.

Half the time of a start is imports, so the supervisor is a process that has them already: the one of head_start.py, or
else a fork of the command, which inherits what that has imported. A process that has gRPC cannot fork safely; it starts
a fresh interpreter that does.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from dataclasses import asdict
from pathlib import Path

from backends import core_environment, file_limit, head_start
from backends.layout import Layout, layout_from_json
from backends.leash import Leash
from backends.process import close_all_but, fork, leave_with, redirect_output, set_title
from backends.state import StateFolder

_FRESH = """
import json, sys
told = json.loads(sys.argv[1])
sys.path[:] = told["path"]
from backends import launch
launch.from_fresh_interpreter(told)
"""


def launch(folder: StateFolder, *, replicas: int, service: str | None, layout: Layout, lock: int) -> Leash:
    """Start the supervisor of a cluster.

    Args:
        folder: Prepared and cleaned.
        replicas: How many replicas at first.
        service: What they serve; None for the Greeter. Imported from the present working directory.
        layout: Which zones, weights and version they have.
        lock: The folder's lock; it is the supervisor's from here on, closed in this process.

    Raises:
        KeyboardInterrupt: Nothing has been started, and the lock is free.

    Returns:
        The leash that holds it: what becomes of the start is told there.
    """
    ours, theirs = socket.socketpair()
    told = {
        "cluster": folder.cluster,
        "path": str(folder.path),
        "replicas": replicas,
        "service": service,
        "layout": asdict(layout),
    }
    try:
        is_ready = head_start.is_ready()
    except BaseException:
        for end in (ours, theirs):
            end.close()
        os.close(lock)
        raise
    # Ctrl-C in between is for this process alone, once it holds the leash.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        if not (is_ready and head_start.hand_over(told, lock=lock, leash=theirs)):
            if "grpc" in sys.modules:
                pid = _spawn({"plan": told, "lock": lock, "leash": theirs.fileno(), "path": sys.path})
            else:
                pid = fork()
                if pid == 0:
                    leave_with(lambda: _daemonize(told, lock, theirs))
            os.waitpid(pid, 0)
        leash = Leash(ours)
    finally:
        os.close(lock)
        theirs.close()
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    return leash


def from_fresh_interpreter(told: dict[str, object]) -> None:
    """Go on with `launch` where it has executed a new Python."""
    lock, leash, plan = told["lock"], told["leash"], told["plan"]
    assert isinstance(lock, int) and isinstance(leash, int) and isinstance(plan, dict)  # noqa: S101, PT018 -- our own JSON
    leave_with(lambda: _daemonize(plan, lock, socket.socket(fileno=leash)))


def _spawn(told: dict[str, object]) -> int:
    for name in ("lock", "leash"):
        os.set_inheritable(int(str(told[name])), True)
    return os.posix_spawn(sys.executable, [sys.executable, "-c", _FRESH, json.dumps(told)], os.environ)


def _daemonize(told: dict[str, object], lock: int, leash: socket.socket) -> int:
    """A session of its own, and init for a parent: nobody who has to be waited for."""
    os.setsid()
    if fork() == 0:
        leave_with(lambda: supervise_as_told(told, lock, leash))
    return 0


def supervise_as_told(told: dict[str, object], lock: int, leash: socket.socket) -> int:
    """The supervisor's whole life, in a process that nobody waits for; the exit code.

    Args:
        told: What `launch` was, as JSON.
        lock: The folder's lock.
        leash: The supervisor's end.
    """
    close_all_but((lock, leash.fileno()))
    for fd in (lock, leash.fileno()):
        os.set_inheritable(fd, False)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    folder = StateFolder(str(told["cluster"]), Path(str(told["path"])))
    redirect_output(folder.open_log("supervisor"))
    core_environment.prepare(os.environ)  # also when no command of ours has
    file_limit.allow_many()  # the nursery's, and its replicas', too

    from backends.nursery import preload  # noqa: PLC0415 -- the command need not wait for what follows

    preload()
    from backends.plan import ClusterPlan  # noqa: PLC0415 -- the same
    from backends.supervise import supervise  # noqa: PLC0415 -- the same

    set_title(f"supervisor {folder.cluster}")
    service = told["service"]
    plan = ClusterPlan(
        folder=folder,
        replicas=int(str(told["replicas"])),
        service=None if service is None else str(service),
        layout=layout_from_json(told["layout"]),
    )
    return supervise(plan, lock=lock, leash=leash)
