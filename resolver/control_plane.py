"""The control plane: one thread of this process with its loop, its private socket and the sources it keeps up to date.

It runs for as long as somebody needs it. A lease (one for each channel) or a subscription starts it and, with the last
of them, it ends: no thread, socket, task or file of it is left then. All state lives on its loop; the module's lock
guards only who may use which control plane.
"""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures
import contextlib
import logging
import os
import shutil
import tempfile
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote

import grpc
import grpc.aio

from resolver.errors import ControlPlaneError
from resolver.health import grpc_health_check
from resolver.snapshots import SnapshotSource
from resolver.target import Target, factory_for
from resolver.xds.bootstrap import Bootstrap, core_has_xds_clients
from resolver.xds.resources import AUTHORITY
from resolver.xds.server import AdsServer
from resolver.xds.store import ResourceStore

if TYPE_CHECKING:
    from collections.abc import Callable

    from resolver.model import Snapshot
    from resolver.policy import Policy
    from resolver.registry.base import WatcherFactory

_log = logging.getLogger(__name__)

# A channel that was closed before it ever connected ends no stream that would tell us: look now and then.
_REVIEW_S = 0.5
_START_S = 10.0


@dataclass(frozen=True, slots=True)
class SourceSpec:
    """What makes two channels share one watch: the target, and how its endpoints' health is checked.

    Attributes:
        target: What to resolve.
        health_service: The name asked for by `Health/Watch`; None takes every endpoint as the registry tells it.
        credentials: How the health monitor connects; None in plain text. Compared by identity.
        options: Channel arguments the health monitor needs as well, such as the name to expect in a certificate.
    """

    target: Target
    health_service: str | None = ""
    credentials: grpc.ChannelCredentials | None = None
    options: tuple[tuple[str, Any], ...] = ()


@dataclass(eq=False, slots=True)
class Lease:
    """A claim on a target under a policy: as long as it is not over, `uri` is served.

    Attributes:
        uri: What to open a channel to: `xds://lbdemo/<service>`.
        is_over: Asked on the control plane's thread now and then; True ends the lease.
    """

    uri: str
    service: str
    is_over: Callable[[], bool] = lambda: False

    def release(self) -> None:
        """End the lease now. No error if it is over."""
        self.is_over = lambda: True
        review()


class Subscription:
    """A callback that follows a target's snapshots until it is closed."""

    def __init__(self, plane: ControlPlane, source: str, callback: Callable[[Snapshot], None]) -> None:
        self._plane = plane
        self._source = source
        self.callback = callback
        self.closed = False

    def close(self) -> None:
        """No callback begins after this returns, save one that already runs. No error if it is closed."""
        self.closed = True
        review()

    def __enter__(self) -> Self:
        """The subscription itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()


@dataclass(slots=True)
class _Source:
    """A running source and who listens to it."""

    source: SnapshotSource
    task: asyncio.Task[None]
    subscriptions: list[Subscription] = field(default_factory=list)


class ControlPlane:
    """See the module. Made and ended by the functions below, under the module's lock."""

    def __init__(self, socket_path: Path) -> None:
        self.socket_path = socket_path
        self.store = ResourceStore()
        self.ads = AdsServer(self.store, stream_ended=self._review)
        self._specs: dict[SourceSpec, str] = {}  # -> the source's key
        self._services: dict[tuple[str, Policy], str] = {}  # (source key, policy) -> the service's key
        self._leases: set[Lease] = set()
        self._subscriptions: set[Subscription] = set()
        self._sources: dict[str, _Source] = {}  # by key; touched on the loop only
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ended: asyncio.Event | None = None
        self._ready: concurrent.futures.Future[None] = concurrent.futures.Future()
        self._thread = threading.Thread(target=self._run, name="lbdemo control plane", daemon=True)

    def start(self) -> None:
        """Start the thread and return when the socket is served.

        Raises:
            ControlPlaneError: The socket could not be opened.
        """
        self._thread.start()
        self._ready.result(_START_S)

    def end(self) -> None:
        """Ask the thread to end; leases that are left lose their service. From any thread."""
        if self._loop is not None and self._ended is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended by itself meanwhile
                self._loop.call_soon_threadsafe(self._ended.set)

    def join(self, timeout_s: float | None = None) -> None:
        """Wait until the thread has ended."""
        self._thread.join(timeout_s)

    def lease(self, spec: SourceSpec, factory: WatcherFactory, policy: Policy) -> Lease:
        """Serve a target under a policy. Under the module's lock, from any thread but our own."""
        source = self._source_key(spec)
        service = self._services.get((source, policy))
        if service is None:
            service = _unique(f"{policy.name}/{source}", set(self._services.values()))
            self._services[source, policy] = service
        lease = Lease(f"xds://{AUTHORITY}/{service}", service)
        self._leases.add(lease)
        # The loop runs this before anything that a channel, opened later, can ask of it.
        self._call(lambda: self._offer(spec, source, service, factory, policy))
        return lease

    def subscribe(
        self, spec: SourceSpec, factory: WatcherFactory, callback: Callable[[Snapshot], None]
    ) -> Subscription:
        """Follow a target. Under the module's lock, from any thread but our own."""
        source = self._source_key(spec)
        subscription = Subscription(self, source, callback)
        self._subscriptions.add(subscription)
        self._call(lambda: self._follow(spec, source, factory, subscription))
        return subscription

    def review_soon(self) -> None:
        """Look on the loop which leases and subscriptions are over. From any thread."""
        with contextlib.suppress(RuntimeError):  # the loop has ended: nothing to review
            self._call(self._review)

    def _call(self, function: Callable[[], object]) -> None:
        assert self._loop is not None  # noqa: S101 -- set before `start` returns
        self._loop.call_soon_threadsafe(function)

    def _source_key(self, spec: SourceSpec) -> str:
        if spec not in self._specs:
            self._specs[spec] = _unique(_readable(spec.target), set(self._specs.values()))
        return self._specs[spec]

    # What follows runs on the loop.

    def _run(self) -> None:
        try:
            asyncio.run(self._main())
        except Exception as error:
            if self._ready.done():
                raise
            self._ready.set_exception(
                ControlPlaneError(f"the control plane's socket {self.socket_path} cannot be served: {error}")
            )

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._ended = asyncio.Event()
        server = grpc.aio.server(options=(("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", -1)))
        self.ads.add_to(server)
        self.socket_path.parent.mkdir(mode=0o700)
        try:
            server.add_insecure_port(f"unix:{self.socket_path}")
            await server.start()
            self._ready.set_result(None)
            while not self._ended.is_set():
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._ended.wait(), _REVIEW_S)
                self._review()
        finally:
            tasks = [running.task for running in self._sources.values()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self.ads.close()
            await server.stop(1.0)
            shutil.rmtree(self.socket_path.parent, ignore_errors=True)

    def _offer(self, spec: SourceSpec, source: str, service: str, factory: WatcherFactory, policy: Policy) -> None:
        self.store.put_service(service, source, policy)
        self._ensure(spec, source, factory)
        self.ads.changed()

    def _follow(self, spec: SourceSpec, source: str, factory: WatcherFactory, subscription: Subscription) -> None:
        running = self._ensure(spec, source, factory)
        running.subscriptions.append(subscription)
        if running.source.latest is not None:
            _tell(subscription, running.source.latest)

    def _ensure(self, spec: SourceSpec, key: str, factory: WatcherFactory) -> _Source:
        if key not in self._sources:
            check = None
            if spec.health_service is not None:
                check = grpc_health_check(spec.health_service, credentials=spec.credentials, options=spec.options)
            source = SnapshotSource(
                str(spec.target),
                lambda: factory(spec.target),
                check=check,
                publish=lambda snapshot: self._published(key, source, snapshot),
            )
            self._sources[key] = _Source(source, asyncio.create_task(source.run(), name=f"source {key}"))
        return self._sources[key]

    def _published(self, key: str, source: SnapshotSource, snapshot: Snapshot) -> None:
        running = self._sources.get(key)
        if running is None or running.source is not source:
            return  # let go of while it was about to speak
        self.store.put_snapshot(key, snapshot)
        self.ads.changed()
        for subscription in list(running.subscriptions):
            _tell(subscription, snapshot)

    def _review(self) -> None:
        """Let go of what nobody needs any more; with nothing left, end."""
        if self._ended is None or self._ended.is_set():
            return
        with _lock:
            self._leases = {lease for lease in self._leases if not lease.is_over()}
            self._subscriptions = {s for s in self._subscriptions if not s.closed}
            used_services = {lease.service for lease in self._leases}
            for service in set(self._services.values()) - used_services:
                self.store.remove_service(service)
            self._services = {key: service for key, service in self._services.items() if service in used_services}
            used_sources = {source for source, _ in self._services} | {s._source for s in self._subscriptions}  # noqa: SLF001 -- its own module
            self._specs = {spec: key for spec, key in self._specs.items() if key in used_sources}
            for key in self._sources.keys() - used_sources:
                self._sources.pop(key).task.cancel()
                self.store.remove_source(key)
            for running in self._sources.values():
                running.subscriptions = [s for s in running.subscriptions if not s.closed]
            if not self._leases and not self._subscriptions:
                _retire(self)
                self._ended.set()


def _tell(subscription: Subscription, snapshot: Snapshot) -> None:
    if subscription.closed:
        return
    try:
        subscription.callback(snapshot)
    except Exception:  # noqa: BLE001 -- a caller's callback must not end the watch for everybody; it is not hidden
        _log.exception("a snapshot callback failed")


def _readable(target: Target) -> str:
    """A key for the target that reads like it and needs no escaping in a URI path."""
    rest = quote((target.authority + target.path).strip("/"), safe="/:,.-_~@=+")
    return f"{target.scheme}/{rest if len(rest) <= 200 else rest[:180] + '...'}"


def _unique(wanted: str, taken: set[str]) -> str:
    key, number = wanted, 1
    while key in taken:
        number += 1
        key = f"{wanted}~{number}"
    return key


# One control plane for each process. The lock is held for moments only, save while one starts.
_lock = threading.RLock()
_current: ControlPlane | None = None
_retired: ControlPlane | None = None  # the one before: its thread may still be ending, and the socket is still its own
_bootstrap = Bootstrap(os.environ, has_clients=core_has_xds_clients)


def lease(spec: SourceSpec, policy: Policy) -> Lease:
    """Have a target served under a policy in this process; starts the control plane if there is none.

    Blocks for a few milliseconds when it has to start one.

    Raises:
        TargetError: The target cannot be meant.
        BootstrapError: The process's xDS bootstrap is unusable or cannot be changed any more.
        ControlPlaneError: The private socket could not be opened.
    """
    factory = _checked_factory(spec.target)
    with _lock:
        plane = _running()
        _bootstrap.install(f"unix:{plane.socket_path}")
        return plane.lease(spec, factory, policy)


def subscribe(spec: SourceSpec, callback: Callable[[Snapshot], None]) -> Subscription:
    """Follow a target's snapshots: the present one at once, then each change, on the control plane's thread.

    The callback must be quick: what it waits for, everybody waits for. Channels on the same target share the watch.

    Raises:
        TargetError: The target cannot be meant.
        ControlPlaneError: The private socket could not be opened.
    """
    factory = _checked_factory(spec.target)
    with _lock:
        return _running().subscribe(spec, factory, callback)


def review() -> None:
    """Look soon which leases and subscriptions are over. From any thread, also from a finalizer."""
    plane = _current
    if plane is not None:
        plane.review_soon()


def _checked_factory(target: Target) -> WatcherFactory:
    """The target's factory, which has found no fault with the target."""
    factory = factory_for(target)
    factory(target)  # raises TargetError here, in the caller's thread; the watcher is dropped before it began
    return factory


def _running() -> ControlPlane:
    global _current, _retired  # noqa: PLW0603 -- the one place where a process has one of something
    if _current is None:
        path = _socket_path(None if _retired is None else _retired.socket_path)
        if _retired is not None:
            _retired.join()
            _retired = None
        plane = ControlPlane(path)
        plane.start()
        _current = plane
    return _current


def _retire(plane: ControlPlane) -> None:
    global _current, _retired
    if _current is plane:
        _current, _retired = None, plane
        _bootstrap.restore()


def _socket_path(last: Path | None) -> Path:
    """Where to listen: a name that nobody knows, or the last one while core has a bootstrap that names it."""
    if last is not None and core_has_xds_clients():
        return last
    folder = Path(tempfile.mkdtemp(prefix="lbdemo-"))
    if len(os.fsencode(folder)) > 90:  # a unix socket's path has room for 107 bytes
        folder.rmdir()
        folder = Path(tempfile.mkdtemp(prefix="lbdemo-", dir="/tmp"))
    folder.rmdir()  # the control plane makes it again, private, for as long as it runs
    return folder / "ads.sock"


def _end_at_exit() -> None:
    """Channels may be left open at exit; a thread inside gRPC must not outlive the interpreter."""
    plane = _current
    if plane is not None:
        plane.end()
        plane.join(2.0)


def _forget_after_fork() -> None:
    """In a forked child there is no thread behind the objects; gRPC itself asks for exec after its import."""
    global _lock, _current, _retired, _bootstrap  # noqa: PLW0603
    _lock, _current, _retired = threading.RLock(), None, None
    _bootstrap = Bootstrap(os.environ, has_clients=core_has_xds_clients)


atexit.register(_end_at_exit)
os.register_at_fork(after_in_child=_forget_after_fork)
