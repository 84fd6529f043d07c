"""Following who may get calls while calls are made: by a resolver's snapshots, or by looking at the channel.

Changes come with the time at which they can have happened at the earliest, so that calls near them are not judged.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from lb_client.membership import Member, Membership, MemberState, events_between

if TYPE_CHECKING:
    from collections.abc import Callable

    from lb_client.aim import Aim
    from lb_client.channelz import ChannelView
    from lb_client.membership import Event
    from resolver.claims import Subscription
    from resolver.model import Snapshot

LOOK_EVERY_S = 0.1
MAX_LOOKS = 1000


class MembershipTracker:
    """Keeps looks and the events between them, from `begin` on. Used on one loop.

    Attributes:
        looks: The membership at the beginning, then after each change, at most MAX_LOOKS of them.
        events: What happened from look to look.
    """

    knows_registry = False
    """Whether looks name every endpoint there should be, connected or not."""

    def __init__(self) -> None:
        self.looks: list[Membership] = []
        self.events: list[Event] = []
        self._now: Membership | None = None
        self._mark: Callable[[float, int], None] = lambda _at_s, _look: None
        self._begun = False
        self._waiting: dict[str, Event] = {}
        self._base: Membership | None = None
        self._ejected: frozenset[str] = frozenset()

    @property
    def now(self) -> Membership | None:
        """The last look; None before the first."""
        return self._now

    def begin(self, mark: Callable[[float, int], None]) -> None:
        """Forget what was, and tell `mark` the time and the look's index of each change from now on."""
        self.looks = [self._now] if self._now is not None else []
        self.events = []
        self._mark = mark
        self._begun = True

    def end(self) -> None:
        """What happens from now on is no part of the run."""
        self._begun = False
        self.events.extend(self._waiting.values())
        self._waiting.clear()

    def accept(self, look: Membership, *, since_s: float | None = None) -> None:
        """A new look. What it shows has happened at `since_s` or after, by default at its own time."""
        self._base = look
        look = look.with_ejected(self._ejected)
        before, self._now = self._now, look
        if not self._begun or before is None:
            return
        news = events_between(before, look)
        if len(self.looks) >= MAX_LOOKS or not (news or self.knows_registry):
            return
        self.looks.append(look)
        for event in news:
            self._tell(event)
        # What a resolver publishes makes a new picker, which begins anywhere, whoever may take calls after it.
        if self.knows_registry or before.ready_addresses != look.ready_addresses:
            self._mark(look.at_s if since_s is None else since_s, len(self.looks) - 1)

    def eject(self, addresses: frozenset[str], at_s: float, *, since_s: float, until_s: float) -> None:
        """These are ejected now, and no others: known at `at_s`, and so from some moment between the others on."""
        self._ejected = addresses
        known = len(self.looks)
        if self._base is not None:
            self.accept(replace(self._base, at_s=at_s), since_s=since_s)
        if len(self.looks) > known and until_s > since_s:
            self._mark(until_s, len(self.looks) - 1)

    def _tell(self, event: Event) -> None:
        """Keep an event. Who joins before it is ready has joined once it is."""
        address = event.member.address
        if event.kind == "joined" and event.member.state not in (MemberState.READY, MemberState.STANDBY):
            self._waiting[address] = event
            return
        waited = self._waiting.pop(address, None)
        if waited is not None and event.kind == "left":
            return
        self.events.append(event if waited is None else replace(event, kind="joined"))

    async def first(self, timeout_s: float) -> Membership | None:
        """Wait for the first look; None when there is none in time."""
        raise NotImplementedError

    async def follow(self) -> None:
        """Look again and again until cancelled, where nobody tells us."""

    def look_again(self) -> None:
        """Look once more, where nobody tells us."""

    def close(self) -> None:
        """Follow no longer."""


class SnapshotTracker(MembershipTracker):
    """Follows a resolver target, which must be one of ours. Make and use it on a running loop; `close` ends the watch.

    `aim` is what the client asks for: who is to get nothing then stands by.

    Raises:
        TargetError, ControlPlaneError: As `resolver.watch` does.
    """

    knows_registry = True

    def __init__(self, target: str, aim: Aim | None = None) -> None:
        super().__init__()
        self._aim = aim
        import resolver  # noqa: PLC0415 -- brings the control plane: only for targets of ours

        self._loop = asyncio.get_running_loop()
        self._first: asyncio.Future[None] = self._loop.create_future()
        self._subscription: Subscription = resolver.watch(target, self._told)

    def _told(self, snapshot: Snapshot) -> None:
        # On the control plane's thread.
        look = Membership.of_snapshot(snapshot, time.monotonic(), self._aim)
        self._loop.call_soon_threadsafe(self._take, look)

    def _take(self, look: Membership) -> None:
        self.accept(look)
        if not self._first.done():
            self._first.set_result(None)

    async def first(self, timeout_s: float) -> Membership | None:
        """Wait for the first snapshot."""
        await asyncio.wait([self._first], timeout=timeout_s)
        return self.now

    def close(self) -> None:
        """End the watch."""
        self._subscription.close()


class ChannelTracker(MembershipTracker):
    """Looks at the channel's own subchannels, ten times a second while calls are made."""

    def __init__(self, view: ChannelView | None) -> None:
        super().__init__()
        self._view = view

    async def first(self, timeout_s: float) -> Membership | None:  # noqa: ARG002 -- there is nothing to wait for
        """What the channel has now, which is nothing before it was used."""
        self.look_again()
        return self.now

    async def follow(self) -> None:
        """Look until cancelled."""
        while self._view is not None:
            await asyncio.sleep(LOOK_EVERY_S)
            self.look_again()

    def look_again(self) -> None:
        """Look once."""
        if self._view is None:
            return
        members: dict[str, Member] = {}
        for subchannel in self._view.look():
            ready = subchannel.state == "READY"
            # An address may have several subchannels, for a moment or for good: one that is connected is enough.
            if ready or subchannel.address not in members:
                state = MemberState.READY if ready else MemberState.DISCONNECTED
                members[subchannel.address] = Member(subchannel.address, state=state)
        since_s = self._now.at_s if self._now is not None else None
        self.accept(Membership(time.monotonic(), tuple(sorted(members.values()))), since_s=since_s)
