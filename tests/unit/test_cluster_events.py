from __future__ import annotations

import asyncio
import logging
from dataclasses import replace

import pytest

from backends import fleet as fleets
from backends import fleet_orders, rolling
from backends.decision import decide
from backends.events import EventHistory
from backends.fault import NO_FAULT, Fault
from backends.fleet import Fleet, Member, Version
from backends.member import After
from backends.phase import Phase
from backends.transitions import News, ending, transitions

R1 = Member(number=1, phase=Phase.RUNNING, address="127.0.0.1:9001", pid=7, serving_at=1.0)
ONE = Fleet(wanted=1, members=(R1,))
NOW = 10.0


def _told(before: Fleet, after: Fleet) -> list[tuple[str, str, str]]:
    return [(n.kind, n.replica, n.detail) for n in transitions(before, after)]


def test_events_are_numbered_without_gaps_and_carry_both_clocks() -> None:
    history = EventHistory(clock=lambda: 5.0, wall=lambda: 1_700_000_000.0)
    history.add(News("serving", "r1", "127.0.0.1:1", "pid 7", "a line"))
    history.add(News("died", "r1"))
    first, second = history.after(0)
    assert (first.number, first.at_s, first.unix_s) == (1, 5.0, 1_700_000_000.0)
    assert (first.kind, first.replica, first.address, first.detail) == ("serving", "r1", "127.0.0.1:1", "pid 7")
    assert second.number == history.last == 2


def test_history_is_bounded_and_the_numbers_go_on() -> None:
    history = EventHistory(most=3)
    for _ in range(5):
        history.add(News("died", "r1"))
    assert [e.number for e in history.after(0)] == [3, 4, 5]
    assert [e.number for e in history.after(4)] == [5]
    assert history.after(5) == history.after(99) == []


async def test_whoever_waits_is_woken_by_the_next_event() -> None:
    history = EventHistory()
    waiting = [asyncio.create_task(history.wait()) for _ in range(2)]
    await asyncio.sleep(0)
    history.add(News("died", "r1"))
    await asyncio.wait_for(asyncio.gather(*waiting), 1)


def test_a_drain_that_did_not_wait_for_all_calls_tells_how_many_it_cut_off() -> None:
    drains = fleet_orders.drained(ONE, "r1")
    cut = fleets.cut_off(drains, "r1", calls=2, after_s=5.0)
    news = ending(cut.known("r1"), code=0, why="exited with code 0", stopping=False)
    assert news is not None
    assert (news.kind, news.detail) == ("drained", "2 calls were cut off after 5 s")
    assert (news.line, news.level) == ("r1 has drained; 2 calls were cut off after 5 s", logging.WARNING)
    stopped = fleets.exited(cut, "r1", code=0, why="exited with code 0", now=NOW).known("r1")
    assert (stopped.phase, stopped.reason) == (Phase.STOPPED, "2 calls were cut off after 5 s")


def test_each_thing_done_to_a_replica_is_an_event() -> None:
    paused = fleets.paused(ONE, "r1", yes=True)
    assert _told(ONE, paused) == [("paused", "r1", "")]
    assert _told(paused, ONE) == [("resumed", "r1", "")]
    told = fleet_orders.told_health(ONE, "r1", "NOT_SERVING")
    assert _told(ONE, told) == [("health", "r1", "told to report NOT_SERVING")]
    assert _told(told, ONE) == [("health", "r1", "reports its own health again")]
    fault = fleet_orders.faulted(ONE, "r1", Fault(latency_ms=50, for_ms=10_000), NOW)
    assert _told(ONE, fault) == [("fault", "r1", "50 ms late, for 10 s")]
    assert _told(fault, decide(fault, NOW + 10).fleet) == [("fault-over", "r1", "")]
    assert _told(fault, fleet_orders.faulted(fault, "r1", NO_FAULT, NOW)) == [("fault-over", "r1", "")]


def test_way_of_a_drained_replica_in_events() -> None:
    drains = decide(fleet_orders.drained(ONE, "r1"), NOW).fleet
    assert _told(ONE, drains) == [("drain-begun", "r1", "to be stopped")]
    news = ending(drains.members[0], code=0, why="exited with code 0", stopping=False)
    assert news is not None
    assert (news.kind, news.address) == ("drained", "127.0.0.1:9001")
    stopped = fleets.exited(drains, "r1", code=0, why="exited with code 0", now=NOW)
    assert _told(drains, stopped) == [("stopped", "r1", "")]


def test_death_tells_how_and_when_it_starts_again() -> None:
    dead = fleets.exited(ONE, "r1", code=None, why="killed by SIGKILL", now=NOW)
    assert ending(R1, code=None, why="killed by SIGKILL", stopping=False) is None
    (news,) = transitions(ONE, dead)
    assert (news.kind, news.address, news.level) == ("died", "127.0.0.1:9001", logging.WARNING)
    assert news.detail == "killed by SIGKILL; next start in 0.1 s"
    assert _told(dead, decide(dead, NOW + 1).fleet) == [("starting", "r1", "again (1)")]


@pytest.mark.parametrize("overstayed", [True, False])
def test_death_in_a_drain_tells_that_calls_are_lost(overstayed: bool) -> None:
    member = replace(R1, phase=Phase.DRAINING, after=After.LEAVE, overstayed=overstayed)
    news = ending(member, code=None, why="killed by SIGKILL", stopping=False)
    assert news is not None
    assert news.kind == "died"
    how = "killed by SIGKILL: it did not end in time" if overstayed else "killed by SIGKILL while it drained"
    assert news.line == f"r1 {how}; its calls are lost"


def test_end_of_one_that_never_served_is_no_death() -> None:
    member = replace(R1, phase=Phase.DRAINING, address="", serving_at=None, after=After.STOP)
    news = ending(member, code=None, why="killed by SIGTERM", stopping=False)
    assert news is not None
    assert (news.kind, news.line) == ("drained", "r1 has drained before it served")


def test_drain_by_somebody_elses_signal_is_a_drain() -> None:
    drains = fleets.draining(ONE, "r1")
    ended = fleets.exited(drains, "r1", code=0, why="exited with code 0", now=NOW)
    assert [kind for kind, *_ in _told(drains, ended)] == ["drained"]


def test_wanted_numbers_are_told_and_by_version_where_there_are_several() -> None:
    assert _told(ONE, replace(ONE, wanted=5)) == [("scaled", "", "5 replicas are wanted, 1 were")]
    canary = replace(ONE, others=(Version(name="v2", wanted=1, share=10.0),))
    assert _told(ONE, canary) == [
        ("scaled", "", "1 replicas of v2 are wanted, 0 were"),
        ("scaled", "", "v2 gets 10 % of the calls"),
    ]


def test_roll_has_a_beginning_and_an_end_and_who_serves_is_told_first() -> None:
    begun = decide(rolling.begun(ONE), NOW).fleet
    assert _told(ONE, begun) == [
        ("rolling-begun", "", "r1"),
        ("starting", "r2", "in the place of those that are restarted"),
    ]
    replaced = decide(fleets.serving(begun, "r2", address="x:1", now=NOW), NOW).fleet
    assert [(kind, name) for kind, name, _ in _told(begun, replaced)] == [("serving", "r2"), ("drain-begun", "r1")]
    again = decide(fleets.exited(replaced, "r1", code=0, why="exited with code 0", now=NOW), NOW).fleet
    over = decide(fleets.serving(again, "r1", address="x:1", now=NOW), NOW).fleet
    assert [(kind, name) for kind, name, _ in _told(again, over)] == [
        ("serving", "r1"),
        ("drain-begun", "r2"),
        ("rolling-done", ""),
    ]
    failed = decide(rolling.cancelled(begun), NOW).fleet
    assert ("rolling-failed", "", "interrupted (none done; r1 as before)") in _told(begun, failed)
