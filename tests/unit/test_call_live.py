from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from lb_client.cli.call_live import LiveSpread
from lb_client.driver import Load
from lb_client.membership import Event, Member, Membership, MemberState, in_order
from lb_client.paper import Paper
from lb_client.records import CallRecord, CallRecorder
from lb_client.tracking import MembershipTracker

if TYPE_CHECKING:
    from lb_client.channelz import Traffic


class AMeasurement:
    """As much of one as the live view looks at."""

    def __init__(self, *members: Member) -> None:
        self.load = Load(count=None, duration_s=12)
        self.recorder = CallRecorder()
        self.tracker = MembershipTracker()
        self.tracker.accept(Membership(0.0, members))

    def traffic(self) -> dict[str, Traffic]:
        return {}


def live(*members: Member) -> tuple[LiveSpread, AMeasurement]:
    measurement = AMeasurement(*members)
    return LiveSpread(measurement, "round_robin over dir:///run/greeter"), measurement  # type: ignore[arg-type]


def test_backend_that_is_gone_is_said_to_be_gone() -> None:
    view, _ = live(Member("a:1", "r1"), Member("a:2", "r2"))
    rates = {("r10", "a:10"): 0.0, ("r1", "a:1"): 30.0, ("r2", "a:2"): 10.0}
    assert view.shares(rates) == "40/s  r1 75.0%  r2 25.0%  r10 gone"


def test_backend_that_is_gone_and_still_answers_is_not_gone_yet() -> None:
    view, _ = live(Member("a:1", "r1"))
    assert view.shares({("r1", "a:1"): 5.0, ("r2", "a:2"): 5.0}) == "10/s  r1 50.0%  r2 50.0%"


def test_endpoint_that_takes_no_calls_now_is_not_called_gone_when_it_should() -> None:
    view, _ = live(Member("a:1", "r1"), Member("a:2", "r2", MemberState.READY))
    assert view.shares({("r1", "a:1"): 5.0, ("r2", "a:2"): 0.0}) == "5/s  r1 100.0%  r2 0.0%"


def test_restarted_replica_is_told_apart_from_its_predecessor() -> None:
    view, _ = live(Member("a:1", "r1"), Member("a:9", "r2"))
    rates = {("r1", "a:1"): 5.0, ("r2", "a:2"): 0.0, ("r2", "a:9"): 5.0}
    assert view.shares(rates) == "10/s  r1 50.0%  r2 (a:2) gone  r2 (a:9) 50.0%"


def test_calls_that_nobody_answered_have_a_name_and_no_end() -> None:
    view, measurement = live(Member("a:1", "r1"))
    assert view.shares({("r1", "a:1"): 5.0, ("", ""): 0.0}) == "5/s  r1 100.0%  nobody 0.0%"
    measurement.recorder.add(CallRecord(0.0, 0.1, "UNAVAILABLE"))
    measurement.recorder.add(CallRecord(0.0, 0.1, "OK", replica="r1", address="a:1"))
    _, lines = view.frame(Paper())
    assert "no backend known" in lines[-1]


@pytest.mark.parametrize("width", [60, 71, 72, 80, 100])
def test_no_row_is_longer_than_the_terminal_is_wide(width: int) -> None:
    view, measurement = live(Member("127.0.0.1:40299", "r1"))
    measurement.recorder.add(CallRecord(0.0, 0.1, "OK", replica="r1", address="127.0.0.1:40299"))
    _, lines = view.frame(Paper(width=width))
    assert max(map(len, lines)) <= width, "the terminal would cut it in the middle of a figure"
    assert ("share" in "\n".join(lines)) is (width >= 72)


def left(number: int, at_s: float) -> Event:
    return Event(at_s, "left", Member(f"a:{number}", f"r{number}"))


def test_news_are_told_together_in_the_order_of_names() -> None:
    view, measurement = live()
    now_s = time.monotonic()
    measurement.tracker.events += [left(5, now_s - 1), left(10, now_s - 0.95), left(3, now_s - 0.93)]
    news, _ = view.frame(Paper())
    assert [line.split()[-2:] for line in news] == [["r3", "left"], ["r5", "left"], ["r10", "left"]]
    assert view.frame(Paper())[0] == []


def test_news_to_which_more_may_belong_are_held_back_but_not_for_long() -> None:
    view, measurement = live()
    now_s = time.monotonic() + 3600  # as recent as can be, however slow this machine is
    measurement.tracker.events.append(left(5, now_s))
    assert view.frame(Paper())[0] == []
    measurement.tracker.events.insert(0, left(4, now_s - 7200))
    assert len(view.frame(Paper())[0]) == 2


@pytest.mark.parametrize(
    ("events", "order"),
    [
        ([(5, 1.00), (3, 1.09), (4, 1.10)], [3, 4, 5]),
        ([(5, 1.0), (3, 1.2)], [5, 3]),
        ([(9 - n, 1.0 + n * 0.09) for n in range(8)], [4, 5, 6, 7, 8, 9, 2, 3]),  # no longer than half a second
        ([], []),
    ],
)
def test_order_is_of_time_and_within_a_moment_of_names(events: list[tuple[int, float]], order: list[int]) -> None:
    assert [event.member.label for event in in_order(left(*event) for event in events)] == [f"r{n}" for n in order]
