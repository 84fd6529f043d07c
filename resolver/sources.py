"""The sources that run, with who listens to each: begun when needed, begun again when one fails, ended when not."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from resolver.health import grpc_health_check
from resolver.probes import Pace
from resolver.snapshots import SnapshotSource

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from resolver.claims import SourceSpec, Subscription
    from resolver.model import Snapshot
    from resolver.registry.base import WatcherFactory

_log = logging.getLogger(__name__)

_SURELY_S = 0.15
"""A task that is being cancelled now and still is after this was told to end. For a moment every `asyncio.timeout` that
is over cancels the task around it; this is no multiple of any interval of ours, at which the next one would be."""


@dataclass(slots=True)
class _Running:
    """One of them."""

    spec: SourceSpec
    factory: WatcherFactory
    source: SnapshotSource
    task: asyncio.Task[None]
    subscriptions: list[Subscription] = field(default_factory=list)


class Sources:
    """By key. On the control plane's loop only, and of one life of it.

    Args:
        published: Called with each new snapshot of a source, before those who listen to it.
    """

    def __init__(self, published: Callable[[str, Snapshot], None]) -> None:
        self._published = published
        self._pace = Pace()
        self._running: dict[str, _Running] = {}

    def ensure(self, key: str, spec: SourceSpec, factory: WatcherFactory) -> None:
        """Have this source run."""
        if key not in self._running:
            self._running[key] = self._begin(key, spec, factory)

    def follow(self, key: str, subscription: Subscription) -> None:
        """Have somebody listen to a source that runs; who does so already goes on."""
        running = self._running[key]
        if subscription in running.subscriptions:
            return
        running.subscriptions.append(subscription)
        if running.source.latest is not None:
            _tell(subscription, running.source.latest)

    def retain(self, keys: Collection[str]) -> list[str]:
        """End all but these, and let go of who no longer listens; returns what was ended."""
        gone = [key for key in self._running if key not in keys]
        for key in gone:
            self._running.pop(key).task.cancel()
        for running in self._running.values():
            running.subscriptions = [s for s in running.subscriptions if not s.closed]
        return gone

    def mend(self) -> None:
        """Begin those again that have ended by themselves: they bear what a registry does, but not a fault of ours."""
        for key, running in list(self._running.items()):
            if running.task.done():
                self._begin_again(key, running)
            elif running.task.cancelling():
                asyncio.get_running_loop().call_later(_SURELY_S, self._mend_one_that_ends, key, running)

    def _mend_one_that_ends(self, key: str, running: _Running) -> None:
        # One that was told to end and still does is as good as gone: what it waits for may never come.
        if self._running.get(key) is running and (running.task.done() or running.task.cancelling()):
            self._begin_again(key, running)

    def _begin_again(self, key: str, running: _Running) -> None:
        gone = running.task.done() and not running.task.cancelled()
        error = running.task.exception() if gone else None
        _log.critical("what follows %s ended; it is begun again", running.spec.target, exc_info=error)
        self._running[key] = self._begin(key, running.spec, running.factory, running.subscriptions)

    async def end(self, within_s: float) -> None:
        """End all, and wait for it for so long."""
        tasks = [running.task for running in self._running.values()]
        self._running.clear()
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=within_s)

    def _begin(
        self, key: str, spec: SourceSpec, factory: WatcherFactory, subscriptions: Collection[Subscription] = ()
    ) -> _Running:
        check = None
        if spec.health_service is not None:
            check = grpc_health_check(
                spec.health_service, credentials=spec.credentials, options=spec.options, pace=self._pace
            )
        source = SnapshotSource(
            str(spec.target),
            lambda: factory(spec.target),
            check=check,
            publish=lambda snapshot: self._publish(key, source, snapshot),
        )
        task = asyncio.create_task(source.run(), name=f"source {key}")
        return _Running(spec, factory, source, task, list(subscriptions))

    def _publish(self, key: str, source: SnapshotSource, snapshot: Snapshot) -> None:
        running = self._running.get(key)
        if running is None or running.source is not source:
            return  # let go of while it was about to speak
        self._published(key, snapshot)
        for subscription in list(running.subscriptions):
            _tell(subscription, snapshot)


def _tell(subscription: Subscription, snapshot: Snapshot) -> None:
    if subscription.closed:
        return
    try:
        subscription.callback(snapshot)
    except (Exception, SystemExit):  # noqa: BLE001 -- a callback's fault must not end the watch for everybody
        _log.exception("a snapshot callback failed")
