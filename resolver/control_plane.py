"""The control plane: a thread with its loop, its private socket and the sources it keeps up to date.

It ends by itself with its last lease and its last subscription: no thread, socket, task or file of it is left then. If
it fails before, it begins again, on the same thread and socket. Who may have one, and when, is runtime.py's matter.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import logging
import threading
import traceback
import weakref
from typing import TYPE_CHECKING

import grpc
import grpc.aio

from resolver.backoff import Backoff
from resolver.claims import Feed, Lease, SourceSpec, Subscription
from resolver.errors import ControlPlaneError, SharedPolicyError
from resolver.keeping import BudgetKeepers
from resolver.loop import ControlPlaneLoop
from resolver.private_folder import PrivateFolder
from resolver.services import Services, readable_key, unique
from resolver.sources import Sources
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

# A channel closed before it connected ends no stream that tells us; and what ended by itself is due within a second.
_REVIEW_S = 0.5
_START_S = 10.0
_END_S = 2.0
_END_TRIES = 10
_SETTLE_S = 0.2
_AGAIN_S = 0.05
_INTERRUPTIONS = 20


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
        self._specs: dict[SourceSpec, str] = {}  # -> the source's key
        self._factories: dict[str, WatcherFactory] = {}  # by the source's key
        self._loops: weakref.WeakSet[asyncio.AbstractEventLoop] = weakref.WeakSet()
        self._services = Services()
        self._budgets = BudgetKeepers(self._allow_retries)
        self._leases: set[Lease] = set()
        self._subscriptions: set[Subscription] = set()
        self._sources = Sources(self._published)  # touched on the loop only
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ended: asyncio.Event | None = None
        self._hurry: asyncio.Event | None = None
        self._told_to_end = threading.Event()
        self._alive = threading.Event()
        self._goes_on = True
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
        self._told_to_end.set()
        if self._loop is not None and self._ended is not None and self._hurry is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended by itself meanwhile
                self._loop.call_soon_threadsafe(self._hurry.set)
                self._loop.call_soon_threadsafe(self._ended.set)

    def join(self, timeout_s: float) -> None:
        """Wait until the thread has ended; if it takes longer, remove the socket's folder without it."""
        self._thread.join(timeout_s)
        if self._thread.is_alive() and self._folder is not None:
            self._folder.remove()

    def alive_within(self, timeout_s: float) -> bool:
        """Wait until the socket is served, if it just is not after a failure. Not with the lock held."""
        return self._alive.wait(timeout_s)

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
            self._loops.add(loop)
            self._call(lambda: self._share_with(loop))
        source = self._source_key(spec, factory)
        service = None if is_own else self._services.find(source, policy, zone)
        if service is None:
            service = self._services.add(source, policy, is_own=is_own, zone=zone)
            key = service.key
            # The loop runs this before anything that a channel, opened later, can ask of it.
            self._call(lambda: self._offer(key))
        lease = Lease(service.uri, service.key, self)
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
        subscription = Subscription(self, self._source_key(spec, factory), callback)
        self._begin(subscription)
        return subscription

    def feed(
        self, spec: SourceSpec, factory: WatcherFactory, callback: Callable[[Snapshot], None], zone: str = ""
    ) -> Feed:
        """The same, and offer the endpoints to an Envoy, those of the zone first."""
        feed = Feed(self, self._source_key(spec, factory), callback, zone)
        self._begin(feed)
        return feed

    def _begin(self, subscription: Subscription) -> None:
        self._subscriptions.add(subscription)
        self._call(lambda: self._follow(subscription))

    def review_soon(self) -> None:
        """Look on the loop which leases and subscriptions are over. From any thread."""
        self._call(self._review)

    def _call(self, function: Callable[[], object]) -> None:
        assert self._loop is not None  # noqa: S101 -- set before `start` returns
        with contextlib.suppress(RuntimeError):  # the loop has ended: for good, or the next one resumes all there is
            self._loop.call_soon_threadsafe(function)

    def _share_with(self, other: asyncio.AbstractEventLoop) -> None:
        assert isinstance(self._loop, ControlPlaneLoop)  # noqa: S101 -- it is the one that `_run` makes
        self._loop.share_with(other)

    def _source_key(self, spec: SourceSpec, factory: WatcherFactory) -> str:
        if spec not in self._specs:
            self._specs[spec] = key = unique(readable_key(spec.target), set(self._specs.values()))
            self._factories[key] = factory
        return self._specs[spec]

    # What follows runs on the loop.

    def _run(self) -> None:
        backoff = Backoff(first_s=_AGAIN_S)
        try:
            while not self._live():
                # Whoever has a channel counts on us: what failed in the last life need not fail in the next.
                if self._told_to_end.wait(backoff.next_s()):
                    break
        finally:
            with self._lock:
                self._unneeded(self)
            self._released.set()

    def _live(self) -> bool:
        """One life, from the socket's begin to its end; False when it failed, and another is due."""
        try:
            with asyncio.Runner(loop_factory=ControlPlaneLoop) as runner:
                self._run_to_its_end(runner.get_loop())
        except BaseException as error:  # noqa: BLE001 -- told to whoever waits for the start, or logged
            if self._ready.done():
                _log.critical("the control plane failed and begins again; channels go on meanwhile", exc_info=error)
                traceback.clear_frames(error.__traceback__)  # a log that keeps it would keep the server
                return False
            text = f"the control plane's socket {self.socket_path} cannot be served: {error}"
            self._ready.set_exception(ControlPlaneError(text))
        return True

    def _run_to_its_end(self, loop: asyncio.AbstractEventLoop) -> None:
        """Run the main task, whoever else ends a turn of the loop: a callback that exits, or stops the loop."""
        self._goes_on = True
        main = loop.create_task(self._main(), name="control plane")
        for _ in range(_INTERRUPTIONS):
            try:
                loop.run_until_complete(main)
            except BaseException:
                if main.done():
                    raise
                _log.critical("something ended a turn of the control plane's loop, which goes on", exc_info=True)
            else:
                return
        self._goes_on = False
        raise RuntimeError(f"its loop does not go on, for the {_INTERRUPTIONS}th time")

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._ended = asyncio.Event()
        self._hurry = asyncio.Event()
        server = grpc.aio.server(options=(("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", -1)))
        # The store is the last life's: who comes back is told the last good endpoints until there are others.
        self.ads = AdsServer(self.store, stream_ended=self._review)
        self.ads.add_to(server)
        self._sources = Sources(self._published)
        self._folder = folder = PrivateFolder(self.socket_path.parent)
        try:
            server.add_insecure_port(f"unix:{self.socket_path}")
            await server.start()
            if self._ready.done():
                self._resume()
            else:  # whoever waits for it holds the lock, and nobody can have asked for anything
                self._ready.set_result(None)
            self._alive.set()
            await self._watch_over(self._ended)
        finally:
            if isinstance(self._loop, ControlPlaneLoop):
                self._loop.listen()
            # The socket first: whoever opens a channel now waits for it. What a registry's watcher takes its time
            # with, nobody waits for.
            self.ads.close()
            self._alive.clear()
            try:
                await server.stop(1.0)
            finally:
                folder.remove()
            failed = not self._ended.is_set()
            if not failed:
                self._released.set()
            # After a failure the next life is urgent: core waits for a second before it looks again, and then longer.
            await self._sources.end(_SETTLE_S if failed else _END_S)
            # What was cancelled completes in core a little later. With our loop closed by then it would arrive in
            # whichever loop of the application is alive, which would print it; core has no way to tell that it is done.
            put_back = False
            for _ in range(0 if failed else _END_TRIES):
                put_back = put_back or self._on_ended()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._hurry.wait(), _SETTLE_S)
                if put_back or self._hurry.is_set():
                    break

    async def _watch_over(self, ended: asyncio.Event) -> None:
        """Look now and then, until it is time to end.

        Nothing else ends it, no fault of ours and no cancellation: core that loses its stream looks for it again after
        a second, and core that finds no socket after seconds, and then minutes.
        """
        last = ""
        while not ended.is_set():
            try:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(ended.wait(), _REVIEW_S)
                self._review()
            except (Exception, SystemExit, asyncio.CancelledError) as error:
                if not self._goes_on:
                    raise
                if (task := asyncio.current_task()) is not None:
                    task.uncancel()
                if last != (last := repr(error)):
                    _log.critical("the control plane stumbled, and goes on", exc_info=error)

    def _resume(self) -> None:
        """Take up what the life before left, and what came since."""
        for loop in list(self._loops):
            self._share_with(loop)
        with self._lock:
            services, subscriptions = self._services.keys, list(self._subscriptions)
        for key in services:
            self._offer(key)
        for subscription in subscriptions:
            self._follow(subscription)

    def _offer(self, key: str) -> None:
        if (service := self._put(key)) is not None:
            self._ensure(service.source)

    def _put(self, key: str) -> Service | None:
        """Tell the streams of a service as it is now; None when it was let go of before its turn came."""
        with self._lock:
            service = self._services.get(key)
            if service is None:
                return None
            policy = service.policy
        self.store.put_service(key, service.source, policy, service.zone)
        self._budgets.follow(service)
        self.ads.changed()
        return service

    def _allow_retries(self, key: str, allowed: bool) -> None:
        self.store.allow_retries(key, allowed=allowed)
        self.ads.changed()

    def _follow(self, subscription: Subscription) -> None:
        if not self._ensure(subscription.source):
            return
        if isinstance(subscription, Feed):
            self.store.offer_plainly(subscription.source, subscription.zone)
            self.ads.changed()
        self._sources.follow(subscription.source, subscription)

    def _ensure(self, source: str) -> bool:
        """Have the source run; False when it was let go of before its turn came."""
        with self._lock:
            spec = next((spec for spec, key in self._specs.items() if key == source), None)
            factory = self._factories.get(source)
        if spec is None or factory is None:
            return False
        self._sources.ensure(source, spec, factory)
        return True

    def _published(self, key: str, snapshot: Snapshot) -> None:
        self.store.put_snapshot(key, snapshot)
        self.ads.changed()

    def _review(self) -> None:
        """Let go of what nobody needs any more; with nothing left, end."""
        if self._ended is None or self._ended.is_set():
            return
        with self._lock:
            self._leases = {lease for lease in self._leases if not lease.is_over()}
            self._subscriptions = {s for s in self._subscriptions if not s.closed}
            for key in self._services.retain({lease.service for lease in self._leases}):
                self.store.remove_service(key)
                self._budgets.forget(key)
            used_sources = self._services.sources | {s.source for s in self._subscriptions}
            self._specs = {spec: key for spec, key in self._specs.items() if key in used_sources}
            self._factories = {key: factory for key, factory in self._factories.items() if key in used_sources}
            for key in self._sources.retain(used_sources):
                self.store.remove_source(key)
            self._sources.mend()
            self._budgets.mend()
            if not self._leases and not self._subscriptions:
                self._unneeded(self)
                self._ended.set()
