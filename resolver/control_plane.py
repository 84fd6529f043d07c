"""The control plane: a thread with its loop, its private socket and the sources it keeps up to date.

It ends by itself with its last lease and its last subscription: no thread, socket, task or file of it is left then. Who
may have one, and when, is runtime.py's matter.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import logging
import re
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import grpc
import grpc.aio

from resolver.claims import Feed, Lease, SourceSpec, Subscription
from resolver.errors import ControlPlaneError, SharedPolicyError
from resolver.health import grpc_health_check
from resolver.loop import ControlPlaneLoop
from resolver.private_folder import PrivateFolder
from resolver.probes import Pace
from resolver.services import Services, unique
from resolver.snapshots import SnapshotSource
from resolver.target import Target, quote_path
from resolver.xds.resources import AUTHORITY
from resolver.xds.server import AdsServer
from resolver.xds.store import ResourceStore

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from resolver.model import Snapshot
    from resolver.policy import Policy
    from resolver.registry.base import WatcherFactory
    from resolver.services import Service

_log = logging.getLogger(__name__)

# A channel that was closed before it ever connected ends no stream that would tell us: look now and then.
_REVIEW_S = 0.5
_START_S = 10.0
_END_S = 2.0
_END_TRIES = 10
_SETTLE_S = 0.2


@dataclass(slots=True)
class _Source:
    """A running source and who listens to it."""

    source: SnapshotSource
    task: asyncio.Task[None]
    subscriptions: list[Subscription] = field(default_factory=list)


class ControlPlane:
    """See the module.

    Args:
        socket_path: Where to serve xDS. Its folder is made, private, and removed at the end.
        lock: Held by whoever calls `lease` or `subscribe`, so that none comes in between "nobody needs it" and the end.
        unneeded: Called once, with the lock held, when the last lease and subscription are over, or the thread fails.
        ended: Called on the thread again and again, when the socket is free, until it returns True.
    """

    def __init__(
        self,
        socket_path: Path,
        *,
        lock: threading.RLock,
        unneeded: Callable[[ControlPlane], None],
        ended: Callable[[], bool],
    ) -> None:
        self.socket_path = socket_path
        self._lock = lock
        self._unneeded = unneeded
        self._on_ended = ended
        self._released = threading.Event()
        self._folder: PrivateFolder | None = None
        self.store = ResourceStore()
        self.ads = AdsServer(self.store, stream_ended=self._review)
        self._pace = Pace()
        self._specs: dict[SourceSpec, str] = {}  # -> the source's key
        self._services = Services()
        self._leases: set[Lease] = set()
        self._subscriptions: set[Subscription] = set()
        self._sources: dict[str, _Source] = {}  # by key; touched on the loop only
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ended: asyncio.Event | None = None
        self._hurry: asyncio.Event | None = None
        self._ready: concurrent.futures.Future[None] = concurrent.futures.Future()
        self._thread = threading.Thread(target=self._run, name="lbdemo control plane", daemon=True)

    def start(self) -> None:
        """Start the thread and return when the socket is served.

        Raises:
            ControlPlaneError: The socket could not be opened.
        """
        self._thread.start()
        try:
            self._ready.result(_START_S)
        except TimeoutError:
            raise ControlPlaneError(f"the control plane was not ready within {_START_S:.0f} s") from None

    def end(self) -> None:
        """Ask the thread to end, and soon; leases that are left lose their service. From any thread."""
        if self._loop is not None and self._ended is not None and self._hurry is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended by itself meanwhile
                self._loop.call_soon_threadsafe(self._hurry.set)
                self._loop.call_soon_threadsafe(self._ended.set)

    def join(self, timeout_s: float) -> None:
        """Wait until the thread has ended; if it takes longer, remove the socket's folder without it."""
        self._thread.join(timeout_s)
        if self._thread.is_alive() and self._folder is not None:
            self._folder.remove()

    def released_within(self, timeout_s: float) -> bool:
        """Wait until the socket is free for another; False when it is not in time."""
        return self._released.wait(timeout_s)

    def lease(
        self,
        spec: SourceSpec,
        factory: WatcherFactory,
        policy: Policy,
        loop: asyncio.AbstractEventLoop | None = None,
        *,
        is_own: bool = False,
        zone: str = "",
    ) -> Lease:
        """Serve a target under a policy. With the lock held, from any thread but our own.

        `loop` is where the channel's calls are made, if it is one for asyncio: it is disturbed as little as can be.
        `is_own` gives the lease a service that no other one shares, `zone` names the endpoints that come first.
        """
        if loop is not None:
            self._call(lambda: self._share_with(loop))
        source = self._source_key(spec)
        service = None if is_own else self._services.find(source, policy, zone)
        if service is None:
            service = self._services.add(source, policy, is_own=is_own, zone=zone)
            key = service.key
            # The loop runs this before anything that a channel, opened later, can ask of it.
            self._call(lambda: self._offer(spec, key, factory))
        lease = Lease(f"xds://{AUTHORITY}/{service.key}", service.key, self)
        self._leases.add(lease)
        return lease

    def switch(self, lease: Lease, policy: Policy, *, together: bool) -> None:
        """Put another policy in force for the lease's channel. With the lock held, from any thread but our own.

        Raises:
            ValueError: The channel is closed.
            SharedPolicyError: Other channels share the service, and are not to change `together` with it.
        """
        service = self._services.get(lease.service)
        if service is None or lease.is_over():
            raise ValueError("the channel is closed: there is no policy to switch")
        others = [other for other in self._leases if other.service == lease.service and other is not lease]
        sharing = sum(not other.is_over() for other in others)
        if sharing and not together:
            raise SharedPolicyError(
                f"{sharing} other channel{'s' * (sharing > 1)} of this target, policy and arguments would change too: "
                'switch them together=True, or open this one with options=[("grpc.use_local_subchannel_pool", 1)]'
            )
        if service.policy != policy:
            service.policy = policy
            self._call(lambda: self._put(service.key))

    def subscribe(
        self, spec: SourceSpec, factory: WatcherFactory, callback: Callable[[Snapshot], None]
    ) -> Subscription:
        """Follow a target. With the lock held, from any thread but our own."""
        subscription = Subscription(self, self._source_key(spec), callback)
        self._begin(spec, factory, subscription)
        return subscription

    def feed(self, spec: SourceSpec, factory: WatcherFactory, callback: Callable[[Snapshot], None]) -> Feed:
        """The same, and offer the endpoints to an Envoy."""
        feed = Feed(self, self._source_key(spec), callback)
        self._begin(spec, factory, feed)
        return feed

    def _begin(self, spec: SourceSpec, factory: WatcherFactory, subscription: Subscription) -> None:
        self._subscriptions.add(subscription)
        self._call(lambda: self._follow(spec, factory, subscription))

    def review_soon(self) -> None:
        """Look on the loop which leases and subscriptions are over. From any thread."""
        with contextlib.suppress(RuntimeError):  # the loop has ended: nothing to review
            self._call(self._review)

    def _call(self, function: Callable[[], object]) -> None:
        assert self._loop is not None  # noqa: S101 -- set before `start` returns
        self._loop.call_soon_threadsafe(function)

    def _share_with(self, other: asyncio.AbstractEventLoop) -> None:
        assert isinstance(self._loop, ControlPlaneLoop)  # noqa: S101 -- it is the one that `_run` makes
        self._loop.share_with(other)

    def _source_key(self, spec: SourceSpec) -> str:
        if spec not in self._specs:
            self._specs[spec] = unique(_readable(spec.target), set(self._specs.values()))
        return self._specs[spec]

    # What follows runs on the loop.

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=ControlPlaneLoop) as runner:
                runner.run(self._main())
        except BaseException as error:  # noqa: BLE001 -- told to whoever waits for the start, or logged
            if self._ready.done():
                _log.critical("the control plane failed; channels keep their last endpoints", exc_info=error)
            else:
                text = f"the control plane's socket {self.socket_path} cannot be served: {error}"
                self._ready.set_exception(ControlPlaneError(text))
        finally:
            with self._lock:
                self._unneeded(self)
            self._released.set()

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._ended = asyncio.Event()
        self._hurry = asyncio.Event()
        server = grpc.aio.server(options=(("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", -1)))
        self.ads.add_to(server)
        self._folder = folder = PrivateFolder(self.socket_path.parent)
        try:
            server.add_insecure_port(f"unix:{self.socket_path}")
            await server.start()
            self._ready.set_result(None)
            while not self._ended.is_set():
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._ended.wait(), _REVIEW_S)
                self._review()
        finally:
            # The socket first: whoever opens a channel now waits for it. What a registry's watcher takes its time
            # with, nobody waits for.
            self.ads.close()
            await server.stop(1.0)
            folder.remove()
            self._released.set()
            tasks = [running.task for running in self._sources.values()]
            for task in tasks:
                task.cancel()
            if tasks:
                await asyncio.wait(tasks, timeout=_END_S)
            # What was cancelled completes in core a little later. With our loop closed by then it would arrive in
            # whichever loop of the application is alive, which would print it; core has no way to tell that it is done.
            put_back = False
            for _ in range(_END_TRIES):
                put_back = put_back or self._on_ended()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._hurry.wait(), _SETTLE_S)
                if put_back or self._hurry.is_set():
                    break

    def _offer(self, spec: SourceSpec, key: str, factory: WatcherFactory) -> None:
        if (service := self._put(key)) is not None:
            self._ensure(spec, service.source, factory)

    def _put(self, key: str) -> Service | None:
        """Tell the streams of a service as it is now; None when it was let go of before its turn came."""
        with self._lock:
            service = self._services.get(key)
            if service is None:
                return None
            policy = service.policy
        self.store.put_service(key, service.source, policy, service.zone)
        self.ads.changed()
        return service

    def _follow(self, spec: SourceSpec, factory: WatcherFactory, subscription: Subscription) -> None:
        running = self._ensure(spec, subscription.source, factory)
        if isinstance(subscription, Feed):
            self.store.offer_plainly(subscription.source)
            self.ads.changed()
        running.subscriptions.append(subscription)
        if running.source.latest is not None:
            _tell(subscription, running.source.latest)

    def _ensure(self, spec: SourceSpec, key: str, factory: WatcherFactory) -> _Source:
        if key not in self._sources:
            check = None
            if spec.health_service is not None:
                check = grpc_health_check(
                    spec.health_service, credentials=spec.credentials, options=spec.options, pace=self._pace
                )
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
        with self._lock:
            self._leases = {lease for lease in self._leases if not lease.is_over()}
            self._subscriptions = {s for s in self._subscriptions if not s.closed}
            for key in self._services.retain({lease.service for lease in self._leases}):
                self.store.remove_service(key)
            used_sources = self._services.sources | {s.source for s in self._subscriptions}
            self._specs = {spec: key for spec, key in self._specs.items() if key in used_sources}
            for key in self._sources.keys() - used_sources:
                self._sources.pop(key).task.cancel()
                self.store.remove_source(key)
            for running in self._sources.values():
                running.subscriptions = [s for s in running.subscriptions if not s.closed]
            if not self._leases and not self._subscriptions:
                self._unneeded(self)
                self._ended.set()


def _tell(subscription: Subscription, snapshot: Snapshot) -> None:
    if subscription.closed:
        return
    try:
        subscription.callback(snapshot)
    except (Exception, SystemExit):  # noqa: BLE001 -- a callback's fault must not end the watch for everybody
        _log.exception("a snapshot callback failed")


def _readable(target: Target) -> str:
    """A key for the target that reads like it and needs no escaping in a URI path."""
    rest = quote_path((target.authority + target.path).strip("/"))
    if len(rest) > 200:
        rest = re.sub("%.?$", "", rest[:180]) + "..."  # not in the middle of an escape
    return f"{target.scheme}/{rest}"
