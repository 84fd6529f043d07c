"""Who was ejected and let back, told from traffic: core's outlier detection (gRFC A50) says nothing itself. Pure.

Channelz shows an ejected subchannel as READY. But a policy that goes round gives everybody calls: an endpoint that is
connected and healthy and gets none of many has been taken out.
"""

from __future__ import annotations

import bisect
from typing import TYPE_CHECKING

from lb_client.history.happenings import Happening

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lb_client.history.traffic import Traffic
    from lb_client.membership import Membership

ENOUGH = 10
"""Calls that an endpoint would have got by its share, and did not, before it counts as ejected."""


def ejections(traffic: Traffic, looks: Sequence[Membership]) -> tuple[Happening, ...]:
    """What the traffic tells, in the order of time, each to a slice.

    Args:
        traffic: The run's.
        looks: Who should have got calls, from when on.
    """
    found = [event for key in traffic.calls if key[1] for event in _of(key, traffic, looks)]
    return tuple(sorted(found, key=lambda happening: happening.at_s))


def _of(key: tuple[str, str], traffic: Traffic, looks: Sequence[Membership]) -> Iterator[Happening]:
    """One endpoint's. A silence counts only while it is there to be called, and while others get calls."""
    replica, address = key
    label, total = replica or address, traffic.total()
    silent_since: int | None = None
    missed, out, called = 0.0, False, False
    for index, calls in enumerate(traffic.calls[key]):
        begin_s = traffic.begin_s + index * traffic.width_s
        others = _others(address, looks, begin_s, begin_s + traffic.width_s)
        if calls or others is None:
            if out and calls:
                yield _happening(begin_s, "let-back", replica, address, f"{label} gets calls again")
            silent_since, missed, out = None, 0.0, False
            called = called or bool(calls)
        elif called and others:
            silent_since = index if silent_since is None else silent_since
            missed += total[index] / others
            if missed >= ENOUGH and not out:
                out = True
                at_s = traffic.begin_s + silent_since * traffic.width_s
                yield _happening(at_s, "ejected", replica, address, f"{label} is ejected: it gets no calls any more")


def _others(address: str, looks: Sequence[Membership], begin_s: float, end_s: float) -> int | None:
    """How many others there are to call; None when the endpoint itself is not there all the time."""
    last = bisect.bisect_right([look.at_s for look in looks], end_s)
    first = max(0, bisect.bisect_right([look.at_s for look in looks], begin_s) - 1)
    during = looks[first:last]
    if not during or any(address not in look.ready_addresses for look in during):
        return None
    return len(during[-1].ready) - 1


def _happening(at_s: float, kind: str, replica: str, address: str, text: str) -> Happening:
    return Happening(at_s=at_s, source="client", kind=kind, replica=replica, address=address, text=text)
