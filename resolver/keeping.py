"""Keeps a retry budget: looks at what core has counted, and takes the retries away from a service while it is spent.

Core's own retry throttling is a field of the service config, which xDS cannot say (gRFC A44), and a cluster's
`retry_budget`, which is Envoy's, core does not read. What it does follow is the route's retry policy, and that is ours
to send: where the route has none, no call that begins from then on is retried.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

from resolver.budget import BudgetMeter, Spent
from resolver.core_counts import counts_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from resolver.retry import RetryBudget
    from resolver.services import Service

_log = logging.getLogger(__name__)

LOOK_EVERY_S = 0.1
MOST_TIME = 0.02
"""The part of its time that the loop spends on looking, at most: many subchannels are looked at less often."""


async def keep_budget(budget: RetryBudget, uri: str, allow: Callable[[bool], None]) -> None:
    """Look until cancelled, and tell `allow` each time that it changes whether calls may be retried.

    Only what begins from now on counts: a channel that switches to a budget has a past without one.

    Args:
        budget: How many retries there may be.
        uri: The target whose channels are counted, all of this process.
        allow: Told True or False; they may be at first.
    """
    before, allowed = counts_of(uri), True
    meter = BudgetMeter(budget, before.waiting)
    while True:
        began_s = time.thread_time()
        now = counts_of(uri)
        calls, attempts = now.since(before)
        before = now
        room = meter.add(Spent(time.monotonic(), calls, attempts, now.in_flight))
        if room is not allowed:
            allowed = room
            _log.log(
                logging.INFO if room else logging.WARNING,
                "the retry budget of %s %s: %d retries in %g s, where %.0f may be",
                uri, "has room again" if room else "is spent, calls are not retried",
                meter.retries, budget.window_s, meter.allowance,
            )  # fmt: skip
            allow(room)
        # Of this thread alone: what others keep the interpreter busy with is no reason to look away.
        await asyncio.sleep(max(LOOK_EVERY_S, (time.thread_time() - began_s) / MOST_TIME))


class BudgetKeepers:
    """One keeper for each service that has a budget. Used on the control plane's loop.

    Args:
        allow: Told the service's key, and whether its calls may be retried, each time that this changes.
    """

    def __init__(self, allow: Callable[[str, bool], None]) -> None:
        self._allow = allow
        self._kept: dict[str, tuple[Service, asyncio.Task[None]]] = {}
        self._last_failure = ""

    def follow(self, service: Service) -> None:
        """The service's budget from now on, where it has one; a new beginning, with retries allowed."""
        key, retry = service.key, service.policy.retry
        self.forget(key)
        if retry is not None and retry.budget is not None:
            keeping = keep_budget(retry.budget, service.uri, lambda allowed: self._allow(key, allowed))
            self._kept[key] = service, asyncio.create_task(keeping, name=f"retry budget of {key}")

    def forget(self, key: str) -> None:
        """The service is gone. No error if it had no budget."""
        if (kept := self._kept.pop(key, None)) is not None:
            kept[1].cancel()

    def mend(self) -> None:
        """Begin those again that have ended by themselves: else nobody would give retries back, or take them away."""
        for key, (service, task) in list(self._kept.items()):
            if not task.done():
                continue
            error = None if task.cancelled() else task.exception()
            if self._last_failure != (failure := repr(error)):
                _log.critical("what keeps the retry budget of %s ended; it is begun again", service.uri, exc_info=error)
            self._last_failure = failure
            self._allow(key, True)
            self.follow(service)
