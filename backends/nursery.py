"""The process that forks replicas, reaps them, and alone signals them. What should run is the supervisor's business.

It stays without gRPC and without threads, so that forking is safe, and a replica starts with asyncio and the protobuf
messages already imported. Requests and reports are JSON lines on a socket pair:

    to it    {"op": "start", "spec": {…}}   {"op": "signal", "id": "r1", "signal": 15}
    from it  {"event": "started", "id": "r1", "pid": 7}   {"event": "not-forked", "id": "r1", "reason": "…"}
             {"event": "exited", "id": "r1", "pid": 7, "code": 0, "signal": 0}
             {"event": "paused", "id": "r1", "pid": 7}    {"event": "resumed", "id": "r1", "pid": 7}
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import logging
import os
import select
import signal
import socket
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from backends.cluster_errors import StateFolderError
from backends.process import close_all_but, fork, leave_with, redirect_output, set_title
from backends.spec import ReplicaSpec

if TYPE_CHECKING:
    from collections.abc import Callable

    from backends.state import StateFolder

PRELOAD = (
    "asyncio",
    "concurrent.futures.thread",
    "mmap",
    "random",
    "setproctitle",
    "typing_extensions",
    "backends.address",
    "backends.announce",
    "backends.connections",
    "backends.fault",
    "backends.journal_files",
    "backends.leaving",
    "backends.load_service",
    "backends.moves",
    "backends.notify",
    "backends.orders",
    "protos.orca",
    "protos.cluster_pb2",
    "protos.helloworld_pb2",
    "grpc_health.v1.health_pb2",
    "grpc_reflection.v1alpha.reflection_pb2",
    "grpc_channelz.v1.channelz_pb2",
)
"""What every replica imports anyway and pulls in no gRPC."""

REASON_MAX = 300
"""Characters of a reason: even escaped, its line stays below PIPE_BUF. Longer ones of several replicas would mix."""


@dataclass(frozen=True, slots=True)
class NurseryPipes:
    """The supervisor's ends of what ties it to its nursery. Closing them ends the nursery and drains its replicas.

    Attributes:
        link: Requests out, reports in.
        notices: What replicas say of themselves; it ends when the nursery and every replica are gone.
        pid: The nursery's process.
    """

    link: socket.socket
    notices: int
    pid: int


def preload(*, go_on: Callable[[], bool] = lambda: True) -> bool:
    """Import what the replicas will need, once; False when it was cut short, by `go_on`, which is asked in between.

    Collecting garbage meanwhile would only cost time, and what is frozen stays shared between the forks.
    """
    gc.disable()
    for name in PRELOAD:
        if not go_on():
            return False
        importlib.import_module(name)
    gc.freeze()
    gc.enable()
    return True


def fork_nursery(folder: StateFolder) -> NurseryPipes:
    """Fork the nursery of one cluster.

    Raises:
        RuntimeError: gRPC is imported already; a process that forks afterwards may hang.
    """
    link, theirs = socket.socketpair()
    notices, notify = os.pipe()
    lifeline, lifeline_end = os.pipe()
    pid = fork()
    if pid == 0:
        leave_with(lambda: Nursery(theirs, notify, lifeline, lifeline_end, folder).run())
    theirs.close()
    for fd in (notify, lifeline, lifeline_end):
        os.close(fd)
    os.set_blocking(notices, False)
    return NurseryPipes(link, notices, pid)


class Nursery:
    """The nursery's own side: one loop over requests and dead children, in a process of its own."""

    def __init__(self, link: socket.socket, notify: int, lifeline: int, lifeline_end: int, folder: StateFolder) -> None:
        self._link = link
        self._notify = notify
        self._lifeline = lifeline
        self._lifeline_end = lifeline_end
        self._folder = folder
        self._children: dict[int, str] = {}  # pid -> id; a pid in here was not reaped, so it is still ours
        self._drain_limit_s = 0.0
        self._wakeup = (-1, -1)

    def run(self) -> int:
        """Serve the supervisor until it closes the link; then the replicas see their lifeline end, and soon all end."""
        close_all_but((self._link.fileno(), self._notify, self._lifeline, self._lifeline_end))
        # A group of its own: Ctrl-C in a terminal is for the supervisor, which drains in order.
        os.setpgid(0, 0)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        # When the supervisor or this process dies, the kernel finds the group orphaned, and if one in it is frozen it
        # sends all of them SIGHUP, then SIGCONT (_exit(2)). The second is welcome: it lets the frozen see that their
        # lifeline has ended, however hard the death was. The first must end nobody. Replicas inherit this.
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        set_title(f"nursery {self._folder.cluster}")
        os.set_blocking(self._notify, False)
        self._wakeup = os.pipe()
        for fd in self._wakeup:
            os.set_blocking(fd, False)
        signal.set_wakeup_fd(self._wakeup[1], warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        pending = b""
        while True:
            ready, _, _ = select.select([self._link.fileno(), self._wakeup[0]], [], [])
            if self._wakeup[0] in ready:
                self._reap()
            if self._link.fileno() in ready:
                data = self._link.recv(1 << 16)
                if not data:
                    return self._end_orphans()
                *lines, pending = (pending + data).split(b"\n")
                for line in lines:
                    self._obey(json.loads(line))

    def _obey(self, request: dict[str, object]) -> None:
        if request["op"] == "start":
            spec = spec_from_json(request["spec"])
            self._drain_limit_s = max(self._drain_limit_s, spec.drain_limit_s)
            self._start(spec)
        else:
            number = signal.Signals(int(str(request["signal"])))
            for pid, name in self._children.items():
                if name == request["id"]:
                    os.kill(pid, number)
                    if number == signal.SIGTERM:
                        os.kill(pid, signal.SIGCONT)  # frozen, it would hear of its end only when it goes on

    def _start(self, spec: ReplicaSpec) -> None:
        try:
            log = self._folder.open_log(spec.id)
            pid = fork()
        except StateFolderError as error:
            self._report({"event": "not-forked", "id": spec.id, "reason": str(error)})
            return
        except OSError as error:
            self._report({"event": "not-forked", "id": spec.id, "reason": f"no process: {error.strerror}"})
            return
        if pid == 0:
            leave_with(lambda: self._become_replica(spec, log))
        os.close(log)
        self._children[pid] = spec.id
        self._report({"event": "started", "id": spec.id, "pid": pid})

    def _end_orphans(self) -> int:
        """Let the replicas drain without a supervisor, and kill who does not.

        One that is stuck in an import or in a call never sees that its lifeline has ended; a frozen one has to go on.
        """
        os.close(self._lifeline_end)
        for pid in self._children:
            os.kill(pid, signal.SIGCONT)
        end = time.monotonic() + self._drain_limit_s
        while self._children and (left_s := end - time.monotonic()) > 0:
            select.select([self._wakeup[0]], [], [], left_s)
            self._reap()
        for pid in self._children:
            os.kill(pid, signal.SIGKILL)
        return 0

    def _reap(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._wakeup[0], 4096)
        while self._children:
            pid, status = os.waitpid(-1, os.WNOHANG | os.WUNTRACED | os.WCONTINUED)
            if pid == 0:
                return
            if os.WIFSTOPPED(status) or os.WIFCONTINUED(status):
                event = "paused" if os.WIFSTOPPED(status) else "resumed"
                self._report({"event": event, "id": self._children[pid], "pid": pid})
                continue
            code = os.waitstatus_to_exitcode(status)
            ended = {"event": "exited", "id": self._children.pop(pid), "pid": pid}
            self._report({**ended, "code": max(code, 0), "signal": max(-code, 0)})

    def _report(self, event: dict[str, object]) -> None:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the next read tells that it is over
            self._link.sendall(json.dumps(event).encode() + b"\n")

    def _become_replica(self, spec: ReplicaSpec, log: int) -> int:
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        redirect_output(log)
        self._link.close()
        for fd in (self._lifeline_end, *self._wakeup):
            os.close(fd)
        set_title(f"replica {spec.id} {self._folder.cluster}")
        now = time.strftime("%Y-%m-%d %H:%M:%S")
        with contextlib.suppress(OSError):  # a full disk has a clear line of its own, when the record is written
            print(f"--- {now} {spec.id} starts, pid {os.getpid()}")
        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
        from backends import replica  # noqa: PLC0415 -- it imports gRPC: only ever in the fork

        return replica.run(spec, notify=self._notify_supervisor, lifeline_fd=self._lifeline)

    def _notify_supervisor(self, event: dict[str, object]) -> None:
        if "reason" in event:
            event = {**event, "reason": str(event["reason"])[:REASON_MAX]}
        line = json.dumps(event).encode() + b"\n"
        if len(line) > select.PIPE_BUF:
            # The supervisor asks for the names when it needs them.
            line = json.dumps({**event, "services": []}).encode() + b"\n"
        # Whoever should read is gone, or so far behind that the pipe is full: no reason for a replica to stand still.
        with contextlib.suppress(BrokenPipeError, BlockingIOError):
            os.write(self._notify, line)


def spec_to_json(spec: ReplicaSpec) -> dict[str, object]:
    """The spec as it goes over the link."""
    return asdict(spec)


def spec_from_json(data: object) -> ReplicaSpec:
    """The spec as it came over the link; pairs arrive as lists."""
    fields = dict(data)  # type: ignore[call-overload]  # our own JSON: an object
    return ReplicaSpec(**{**fields, "metadata": tuple((k, v) for k, v in fields["metadata"])})
