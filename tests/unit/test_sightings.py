from __future__ import annotations

import asyncio
import logging

from lb_client.channelz import Subchannel
from lb_client.history.happenings import Happening
from lb_client.history.sightings import MOST_CONNECTIONS, Rejections, follow_connections
from lb_client.membership import Member, Membership
from lb_client.tracking import MembershipTracker
from tests.support.eventually import aeventually


class AView:
    """As much of a channel's view as is looked at."""

    def __init__(self, **states: str) -> None:
        self.states = states
        self.looks = 0

    def look(self) -> tuple[Subchannel, ...]:
        self.looks += 1
        return tuple(Subchannel(1, f"{host}:1", state, 0, 0) for host, state in self.states.items())


def tracker() -> MembershipTracker:
    found = MembershipTracker()
    found.accept(Membership(0.0, (Member("a:1", "r1"), Member("b:1", "r2"))))
    found.begin(lambda _at_s, _look: None)
    return found


async def test_connections_that_come_and_go_are_seen() -> None:
    view, seen = AView(a="READY", b="CONNECTING"), list[Happening]()
    following = asyncio.create_task(follow_connections(view, tracker(), seen))  # type: ignore[arg-type]
    await aeventually(lambda: _at_least(view.looks, 2))
    assert seen == []
    view.states = {"a": "TRANSIENT_FAILURE", "b": "READY", "c": "READY"}
    await aeventually(lambda: _at_least(len(seen), 3))
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
    assert [(found.kind, found.replica, found.address, found.text) for found in seen] == [
        ("disconnected", "r1", "a:1", "r1 lost its connection"),
        ("connected", "r2", "b:1", "r2 connected"),
        ("connected", "", "c:1", "c:1 connected"),
    ]


async def test_more_connections_than_can_be_looked_at_are_let_be() -> None:
    states = {f"h{number}": "READY" for number in range(MOST_CONNECTIONS + 1)}
    await asyncio.wait_for(follow_connections(AView(**states), tracker(), []), 5)  # type: ignore[arg-type]


def _at_least(value: int, bound: int) -> None:
    assert value >= bound


def test_what_grpc_refuses_is_an_event() -> None:
    seen: list[Happening] = []
    log = logging.getLogger("resolver.xds.server")
    with Rejections(seen):
        log.error("xDS client %s rejected version %s of %s (it keeps what it had): %s", "unix:", "7", "greeter", "no")
        log.error("something else")
    log.error("xDS client %s rejected version %s", "unix:", "8")
    assert [(found.kind, found.text) for found in seen] == [("nack", "gRPC refuses what it was told")]
    assert "version 7 of greeter" in seen[0].detail
