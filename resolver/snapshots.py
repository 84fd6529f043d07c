"""Snapshots: what a registry tells joined with what the health monitor sees, published at every change. No gRPC."""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import time
from contextlib import aclosing
from typing import TYPE_CHECKING

from resolver.backoff import Backoff
from resolver.model import Endpoint, Health, Snapshot, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from resolver.health import HealthCheck
    from resolver.registry.base import EndpointWatcher

_log = logging.getLogger(__name__)

# The first snapshot waits for every endpoint's first verdict; once one is healthy, this much longer for the others: in
# vain only where one is frozen. On a busy machine 0.1 s was too short for healthy ones: channels began without them.
_FIRST_VERDICTS_S = 0.5
# A set in which nobody is known to be healthy, and somebody may be, waits this long at most: the first one, so that a
# call does not fail before it could succeed, and one that replaces all endpoints at once.
_NOBODY_YET_S = 1.0
# A watcher that lasted so long did its work; the next back-off begins anew.
_LASTED_S = 5.0

_boot = f"{time.time_ns() // 1_000_000:x}{os.urandom(2).hex()}"
_numbers = itertools.count(1)


def next_version() -> str:
    """A version that no other moment and no other process has: clients keep theirs over a control plane's restart.

    Later versions of one process sort after earlier ones.
    """
    return f"{_boot}-{next(_numbers):010d}"


class SnapshotSource:
    """Keeps the snapshot of one target up to date while `run()` runs.

    An endpoint that joins is UNHEALTHY until its check has answered. The first snapshot waits a moment for these
    answers, and so does one in which nobody could take a call yet. What changes in one turn of the loop is one
    snapshot.

    Args:
        name: How the log calls it: the target.
        make_watcher: Makes a watcher that has not begun; called again, after a back-off, when one raises or ends.
        check: Checks one endpoint; None takes every endpoint as the registry tells it.
        publish: Called on the loop with each snapshot that differs from the one before.
    """

    def __init__(
        self,
        name: str,
        make_watcher: Callable[[], EndpointWatcher],
        *,
        check: HealthCheck | None,
        publish: Callable[[Snapshot], None],
    ) -> None:
        self._name = name
        self._make_watcher = make_watcher
        self._check = check
        self._publish = publish
        self._endpoints: dict[str, Endpoint] | None = None  # None: the registry has told nothing yet
        self._verdicts: dict[str, Verdict] = {}
        self._nobody_answers = False
        self._checks: dict[str, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()  # the checks, and those that are ending
        self._latest: Snapshot | None = None
        self._last_failure = ""
        self._waiting_since_s: float | None = None
        self._first_healthy_s: float | None = None
        self._flush: asyncio.Handle | None = None
        self._timer: asyncio.TimerHandle | None = None

    @property
    def latest(self) -> Snapshot | None:
        """The last snapshot published; None before the first."""
        return self._latest

    async def run(self) -> None:
        """Watch and publish until cancelled; no task or stream of ours is left then."""
        backoff = Backoff()
        try:
            while True:
                began_s = time.monotonic()
                try:
                    async with aclosing(self._make_watcher()) as watcher:
                        async for endpoints in watcher:
                            self._accept(endpoints)
                            await asyncio.sleep(0)  # a watcher that never waits must not starve the others
                except (Exception, SystemExit) as error:  # noqa: BLE001 -- a registry's fault must not end the watch
                    self._tell_failure("the registry's watcher failed; the last endpoints stay in force", error)
                else:
                    self._tell_failure("the registry's watcher ended; the last endpoints stay in force", None)
                task = asyncio.current_task()
                if task is not None and task.cancelling():
                    return  # the watcher kept the cancellation to itself
                if time.monotonic() - began_s > _LASTED_S:
                    backoff.reset()
                await asyncio.sleep(backoff.next_s())
        finally:
            for check in self._tasks:
                check.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            for handle in (self._flush, self._timer):
                if handle is not None:
                    handle.cancel()

    def _accept(self, endpoints: Iterable[Endpoint]) -> None:
        """A complete set from the registry: begin checks for who joined, end those for who left."""
        unique: dict[str, Endpoint] = {}
        for endpoint in endpoints:
            if unique.setdefault(endpoint.address, endpoint) != endpoint:
                # gRPC refuses an assignment that names an address twice (gRFC A27).
                _log.warning("%s: the registry names %s twice; the first is taken", self._name, endpoint.address)
        known = self._endpoints or {}
        for address in sorted(known.keys() - unique.keys()):
            _log.info("%s: %s left", self._name, _named(known[address]))
            self._verdicts.pop(address, None)
            if address in self._checks:
                self._checks.pop(address).cancel()
        for address in sorted(unique.keys() - known.keys()):
            _log.info("%s: %s joined", self._name, _named(unique[address]))
            if self._check is not None:
                check = asyncio.create_task(self._follow(unique[address], self._check), name=f"health of {address}")
                self._tasks.add(check)
                check.add_done_callback(self._tasks.discard)
                self._checks[address] = check
        self._endpoints = unique
        self._changed()

    async def _follow(self, endpoint: Endpoint, check: HealthCheck) -> None:
        """Take the verdicts of one endpoint's check for as long as it is in the set."""
        backoff = Backoff()
        while True:
            try:
                async with aclosing(check(endpoint)) as verdicts:
                    async for verdict in verdicts:
                        backoff.reset()
                        self._take(endpoint, verdict)
            except (Exception, SystemExit) as error:  # noqa: BLE001 -- a check's fault must not end the check
                self._tell_failure(f"the health check of {_named(endpoint)} failed; its last verdict stays", error)
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                return  # the check kept the cancellation to itself
            await asyncio.sleep(backoff.next_s())

    def _take(self, endpoint: Endpoint, verdict: Verdict) -> None:
        last = self._verdicts.get(endpoint.address)
        self._verdicts[endpoint.address] = verdict
        if last is not None and (last.health, last.silent) == (verdict.health, verdict.silent):
            return
        if verdict.health.takes_calls:
            _log.info("%s: %s is %s", self._name, _named(endpoint), verdict.health.value)
            if self._first_healthy_s is None:
                self._first_healthy_s = time.monotonic()
        else:
            _log.warning("%s: %s is %s: %s", self._name, _named(endpoint), verdict.health.value, verdict.reason)
        self._changed()

    def _tell_failure(self, what: str, error: BaseException | None) -> None:
        """Whole when it is new, in one line when it is the last one again: a registry may be away for days."""
        text = f"{what}: {error!r}" if error is not None else what
        if text != self._last_failure:
            _log.error("%s: %s", self._name, text, exc_info=error)
        else:
            _log.warning("%s: again, %s", self._name, text)
        self._last_failure = text

    def _changed(self) -> None:
        if self._flush is None:
            self._flush = asyncio.get_running_loop().call_soon(self._publish_if_due)

    def _publish_if_due(self) -> None:
        self._flush = None
        if self._endpoints is None:
            return
        endpoints = self._joined(self._endpoints.values())
        wait_s = self._wait_s(endpoints)
        if wait_s > 0:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = asyncio.get_running_loop().call_later(wait_s, self._publish_if_due)
            return
        self._waiting_since_s = None
        if self._latest is None or endpoints != self._latest.endpoints:
            snapshot = Snapshot(endpoints, next_version())
            self._publish(snapshot)
            self._latest = snapshot

    def _wait_s(self, endpoints: tuple[Endpoint, ...]) -> float:
        """Seconds that these endpoints should still wait for verdicts that are on their way."""
        if self._check is None or self._verdicts.keys() >= {endpoint.address for endpoint in endpoints}:
            return 0.0
        now = time.monotonic()
        if not any(endpoint.health.takes_calls for endpoint in endpoints):
            # Nobody to call yet: keep what there was, if only for a moment, rather than fail every call.
            self._waiting_since_s = self._waiting_since_s or now
            return self._waiting_since_s + _NOBODY_YET_S - now
        if self._latest is None and self._first_healthy_s is not None:
            return self._first_healthy_s + _FIRST_VERDICTS_S - now
        return 0.0

    def _joined(self, endpoints: Iterable[Endpoint]) -> tuple[Endpoint, ...]:
        """The endpoints with their health, sorted.

        That nobody answers is more often told by this machine than by all the servers; and a call that waits for one
        that is stuck may be answered yet, one that is sent to nobody may not.
        """
        joined = tuple(sorted(self._judged(endpoint) for endpoint in endpoints))
        silent = {address for address, verdict in self._verdicts.items() if verdict.silent}
        nobody_answers = bool(silent) and not any(endpoint.health.takes_calls for endpoint in joined)
        if nobody_answers is not self._nobody_answers:
            self._nobody_answers = nobody_answers
            if nobody_answers:
                _log.warning("%s: nobody answers; the %d that were well keep their calls", self._name, len(silent))
        if not nobody_answers:
            return joined
        return tuple(e.with_health(Health.HEALTHY) if e.address in silent else e for e in joined)

    def _judged(self, endpoint: Endpoint) -> Endpoint:
        if self._check is None:
            return endpoint
        verdict = self._verdicts.get(endpoint.address)
        return endpoint.with_health(Health.UNHEALTHY if verdict is None else verdict.health)


def _named(endpoint: Endpoint) -> str:
    return f"{endpoint.id} ({endpoint.address})" if endpoint.id else endpoint.address
