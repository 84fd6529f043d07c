"""Which endpoints outlier detection has ejected, inferred from the traffic: gRPC core tells nobody.

An ejected endpoint keeps its connection and gets no calls. Where calls go in turn, or by weights, one that is connected
and well by the registry's word, and is passed over again and again, is ejected; with the first call it is let back.
"""

from __future__ import annotations

import asyncio
import math
import time
from typing import TYPE_CHECKING

from lb_client.membership import MemberState
from lb_client.policy import RoundRobin, WeightedRoundRobin

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lb_client.channelz import ChannelView
    from lb_client.membership import Membership
    from lb_client.policy import Policy
    from lb_client.tracking import MembershipTracker

LOOK_EVERY_S = 0.1
MOST_CONNECTIONS = 64
"""A look costs about 0.2 ms for each: more would hold up the calls that are measured."""

PASSED_OVER = 10.0
"""So many calls an endpoint must have been due to get, and has not got, to count as ejected."""

HEARD_WITHIN_S = 15.0
"""It takes that long at two calls a second over three endpoints."""


def can_be_seen(policy: Policy) -> bool:
    """Whether ejections show in the traffic: under ring_hash an endpoint may get nothing for want of keys."""
    return policy.outlier_detection is not None and isinstance(policy, RoundRobin | WeightedRoundRobin)


class EjectionWatch:
    """Takes looks, in the order of time, and knows who is ejected. Pure.

    Attributes:
        ejected: Their addresses.
        since_s: Nothing of the last change was so before, and all of it from `until_s` on.
        until_s: See there.
    """

    def __init__(self) -> None:
        self.ejected: frozenset[str] = frozenset()
        self.since_s = -math.inf
        self._at_s = -math.inf
        self.until_s = -math.inf
        # By address, the look that saw its last call, and the one before that.
        self._called_s: dict[str, tuple[float, float]] = {}
        self._started: dict[str, int] = {}
        self._missed: dict[str, float] = {}

    def look(self, at_s: float, started: Mapping[str, int], shares: Mapping[str, float]) -> bool:
        """Take in a look; returns whether `ejected` has changed.

        Args:
            at_s: When.
            started: By address of those that are connected, the attempts that it has got so far.
            shares: By address of those that should get calls, which part of them, 0 to 1.
        """
        known = self._started.keys() & started.keys() & shares.keys()
        grown = {address: started[address] - self._started[address] for address in known}
        self._started = dict(started)
        calls = sum(grown.values())
        before_s, self._at_s = self._at_s, at_s
        ejected = set(self.ejected & known)  # who is gone, or ill, is another matter
        for address, number in grown.items():
            if number:
                self._called_s[address] = before_s, at_s
                self._missed[address] = 0.0
                ejected.discard(address)
                continue
            self._missed[address] = self._missed.get(address, 0.0) + calls * shares[address]
            if self._missed[address] >= PASSED_OVER:
                ejected.add(address)
        self._missed = {address: missed for address, missed in self._missed.items() if address in known}
        changed = self.ejected != ejected
        if changed:
            here = before_s, at_s
            moments = [self._called_s.get(address, here) for address in ejected - self.ejected]
            moments += [here] if self.ejected - ejected else []
            self.since_s, self.until_s = min(first for first, _ in moments), max(last for _, last in moments)
        self.ejected = frozenset(ejected)
        return changed


async def follow_ejections(
    view: ChannelView, tracker: MembershipTracker, shares: Callable[[], Mapping[str, float]]
) -> None:
    """Tell the tracker who is ejected, until cancelled. `shares` is who should get which part of the calls now."""
    watch = EjectionWatch()
    while True:
        subchannels = view.look()
        if len(subchannels) > MOST_CONNECTIONS:
            return
        started: dict[str, int] = {}
        for subchannel in subchannels:
            if subchannel.state == "READY":
                started[subchannel.address] = started.get(subchannel.address, 0) + subchannel.started
        now_s = time.monotonic()
        if watch.look(now_s, started, shares()):
            tracker.eject(watch.ejected, now_s, since_s=watch.since_s, until_s=watch.until_s)
        await asyncio.sleep(LOOK_EVERY_S)


def even_shares(look: Membership | None) -> dict[str, float]:
    """Which part each member is to get, those that are ejected as if they were not."""
    takers = [] if look is None else [m for m in look.members if m.state in (MemberState.READY, MemberState.EJECTED)]
    return {m.address: 1 / len(takers) if m.expected.share is None else m.expected.share for m in takers}
