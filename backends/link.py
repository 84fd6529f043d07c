"""The command's connection to a supervisor: the Cluster service on its socket, as values and as errors with a name.

Every call runs in a thread of its own and the caller only waits: Ctrl-C inside a call of gRPC Python would leave a
channel that never closes (https://github.com/grpc/grpc/issues/19973 and its kin).
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import socket
import struct
import threading
import time
from typing import TYPE_CHECKING, Any, Self

from backends.cluster_errors import STOPPING, ClusterError, NotAnsweringError, NotRunningError, RefusedError
from backends.view import ClusterView

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from backends.state import StateFolder
    from protos import cluster_pb2

    _News = queue.SimpleQueue[ClusterView | Exception | None]

ANSWER_S = 5.0
"""A supervisor that lives answers well within this."""

RETRY_S = 0.005


class SupervisorLink:
    """An open connection. Made by `open_link`; leaving the block closes it."""

    def __init__(self, folder: StateFolder) -> None:
        with _undisturbed():
            import grpc  # noqa: PLC0415 -- only who talks to a supervisor pays for it

            from protos import cluster_pb2_grpc  # noqa: PLC0415 -- the same

        self._folder = folder
        self._grpc = grpc
        self._channel = grpc.insecure_channel(folder.socket_target, options=[("grpc.enable_http_proxy", 0)])
        self._stub = cluster_pb2_grpc.ClusterStub(self._channel)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._channel.close()

    def not_running(self) -> NotRunningError:
        """The error for a cluster that has ended."""
        return not_running(self._folder)

    def status(self) -> ClusterView:
        """The cluster as it is now.

        Raises:
            NotRunningError, NotAnsweringError: It has ended, or is silent.
        """
        from protos import cluster_pb2  # noqa: PLC0415 -- as above

        return self._ask(lambda: self._stub.GetStatus(cluster_pb2.GetStatusRequest(), timeout=ANSWER_S))

    def scale(self, replicas: int) -> ClusterView:
        """Set how many replicas there should be.

        Raises:
            NotRunningError, NotAnsweringError: It has ended, is about to, or is silent.
        """
        from protos import cluster_pb2  # noqa: PLC0415 -- as above

        request = cluster_pb2.ScaleRequest(replicas=replicas)
        return self._ask(lambda: self._stub.Scale(request, timeout=ANSWER_S))

    def set_version(
        self,
        version: str,
        *,
        replicas: int | None = None,
        share: float | None = None,
        service: str | None = None,
        remove: bool = False,
    ) -> ClusterView:
        """Add a version, change its replicas or its share, or remove it.

        Raises:
            NotRunningError, NotAnsweringError: It has ended, is about to, or is silent.
            ClusterError: It refuses, and says why.
        """
        from protos import cluster_pb2  # noqa: PLC0415 -- as above

        request = cluster_pb2.SetVersionRequest(
            version=version, replicas=replicas, share=share, service_spec=service or "", remove=remove
        )
        return self._ask(lambda: self._stub.SetVersion(request, timeout=ANSWER_S))

    def rebalance(self) -> int:
        """Have every replica ask its long streams to move; returns how many were asked.

        Raises:
            NotRunningError, NotAnsweringError: It has ended, or is silent.
        """
        from protos import cluster_pb2  # noqa: PLC0415 -- as above

        asked: list[int] = []

        def call() -> cluster_pb2.ClusterStatus:
            asked.append(self._stub.Rebalance(cluster_pb2.RebalanceRequest(), timeout=ANSWER_S).asked)
            return cluster_pb2.ClusterStatus()

        self._ask(call)
        return asked[0]

    def watch(self, *, interval_ms: int = 0, tick_s: float | None = None) -> Iterator[ClusterView | None]:
        """The cluster now and after every change, until it ends; None each `tick_s` without news.

        Raises:
            NotRunningError, NotAnsweringError: It has ended, or is silent from the first.
        """
        from protos import cluster_pb2  # noqa: PLC0415 -- as above

        request = cluster_pb2.WatchStatusRequest(interval_ms=interval_ms)
        yield from self._views(lambda: self._stub.WatchStatus(request), tick_s)

    def shutdown(self, *, tick_s: float | None = None) -> Iterator[ClusterView | None]:
        """Drain and end everything: the cluster after every step on the way; None each `tick_s` without news.

        Raises:
            NotRunningError, NotAnsweringError: It has ended, or is silent from the first.
        """
        from protos import cluster_pb2  # noqa: PLC0415 -- as above

        heard = False
        try:
            for view in self._views(lambda: self._stub.Shutdown(cluster_pb2.ShutdownRequest()), tick_s):
                heard = True
                yield view
        except NotRunningError:
            # The end of the process may overtake the end of its answer.
            if not heard:
                raise

    def _ask(self, call: Callable[[], cluster_pb2.ClusterStatus]) -> ClusterView:
        for view in self._views(lambda: iter((call(),)), None):
            if view is not None:
                return view
        raise self._silent()

    def _views(
        self, call: Callable[[], Iterator[cluster_pb2.ClusterStatus]], tick_s: float | None
    ) -> Iterator[ClusterView | None]:
        news: _News = queue.SimpleQueue()
        started: list[Iterator[cluster_pb2.ClusterStatus]] = []
        threading.Thread(target=self._read, args=(call, started, news), name="cluster-call", daemon=True).start()
        first = True
        try:
            while True:
                try:
                    item = news.get(timeout=ANSWER_S + 1 if first else tick_s)
                except queue.Empty:
                    if first:
                        raise self._silent() from None
                    yield None
                    continue
                first = False
                if item is None:
                    return
                if isinstance(item, Exception):
                    raise self._named(item) from None
                yield item
        finally:
            for stream in started:
                if isinstance(stream, self._grpc.Call):
                    stream.cancel()

    def _read(self, call: Callable[[], Iterator[cluster_pb2.ClusterStatus]], started: list[Any], news: _News) -> None:
        try:
            started.append(call())
            for status in started[0]:
                news.put(ClusterView.of(status))
            news.put(None)
        except (self._grpc.RpcError, ValueError) as error:  # ValueError: the channel was closed first
            news.put(error)

    def _named(self, error: Exception) -> ClusterError:
        code = error.code() if isinstance(error, self._grpc.Call) else None
        if code is self._grpc.StatusCode.DEADLINE_EXCEEDED:
            return self._silent()
        details = str(error.details() if isinstance(error, self._grpc.Call) else error)
        if code in (self._grpc.StatusCode.UNAVAILABLE, self._grpc.StatusCode.CANCELLED) or details == STOPPING:
            return not_running(self._folder)
        if code is self._grpc.StatusCode.FAILED_PRECONDITION:
            return RefusedError(details)
        return ClusterError(f"the supervisor of cluster {self._folder.cluster!r} refuses: {details}")

    def _silent(self) -> NotAnsweringError:
        return silent(self._folder)


def open_link(folder: StateFolder) -> SupervisorLink:
    """Connect to the supervisor that lives in `folder`. One that is only just starting is waited for.

    Raises:
        NotRunningError: No supervisor lives.
        NotAnsweringError: One lives and has not opened its socket for `ANSWER_S`.
    """
    end = time.monotonic() + ANSWER_S
    while folder.is_locked():
        if accepts(folder):
            return SupervisorLink(folder)
        if time.monotonic() > end:
            raise silent(folder)
        time.sleep(RETRY_S)
    raise not_running(folder)


def not_running(folder: StateFolder) -> NotRunningError:
    """The error that says so, and how to start it."""
    name = "" if folder.cluster == "default" else f" --cluster {folder.cluster}"
    return NotRunningError(f"cluster {folder.cluster!r} is not running: start it with 'lbdemo up{name}'")


def silent(folder: StateFolder) -> NotAnsweringError:
    """The error that tells of a living, silent supervisor, and what can be done."""
    pid = peer_pid(folder)
    who = f"pid {pid}" if pid else "its socket is not open"
    act = f"end it with 'kill -9 {pid}', then its replicas drain and exit" if pid else "try again"
    return NotAnsweringError(
        f"the supervisor of cluster {folder.cluster!r} ({who}) does not answer within {ANSWER_S:g} s: "
        f"see {folder.log('supervisor')}, or {act}",
        pid=pid,
    )


def peer_pid(folder: StateFolder) -> int:
    """The process that listens on the cluster's socket, as the kernel knows it; 0 when nobody does."""
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.settimeout(RETRY_S)
            probe.connect(os.fspath(folder.socket))
            size = struct.calcsize("3i")
            pid: int = struct.unpack("3i", probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))[0]
        except OSError:
            return 0
        return pid


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """Keep Ctrl-C for afterwards: inside the import of a C extension it comes out as some other error."""
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def accepts(folder: StateFolder) -> bool:
    """Whether somebody listens on the cluster's socket."""
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(os.fspath(folder.socket))
        except OSError:
            return False
        return True
