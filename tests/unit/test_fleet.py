from __future__ import annotations

from dataclasses import replace

import pytest

from backends import fleet as fleets
from backends.decision import STARTING_MAX, Decision, Drain, Kill, Start, decide
from backends.fleet import Fleet, Member, backoff_s
from backends.phase import Phase

NOW = 1000.0


def _running(*numbers: int, wanted: int | None = None, since: float = NOW) -> Fleet:
    members = tuple(
        Member(number=n, phase=Phase.RUNNING, address=f"127.0.0.1:{9000 + n}", pid=100 + n, serving_at=since)
        for n in numbers
    )
    return Fleet(wanted=len(numbers) if wanted is None else wanted, members=members)


def _phases(fleet: Fleet) -> dict[str, Phase]:
    return {m.id: m.phase for m in fleet.members}


def _serve(fleet: Fleet, id: str, now: float = NOW) -> Fleet:
    fleet = fleets.started(fleet, id, pid=7, now=now)
    return fleets.serving(fleet, id, address="127.0.0.1:9000", now=now)


def _die(fleet: Fleet, id: str, now: float = NOW, why: str = "killed by SIGKILL") -> Fleet:
    return fleets.exited(fleet, id, code=None, why=why, now=now)


def test_empty_fleet_starts_the_lowest_numbers() -> None:
    decision = decide(Fleet(wanted=3), NOW)
    assert decision.actions == (Start("r1"), Start("r2"), Start("r3"))
    assert _phases(decision.fleet) == dict.fromkeys(("r1", "r2", "r3"), Phase.STARTING)
    assert decision.wake_at is None


def test_deciding_again_without_news_does_nothing() -> None:
    once = decide(Fleet(wanted=3), NOW).fleet
    assert decide(once, NOW) == Decision(once, (), None)


def test_free_numbers_are_filled_before_new_ones() -> None:
    assert decide(_running(1, 3, wanted=4), NOW).actions == (Start("r2"), Start("r4"))


def test_scale_down_drains_the_highest_numbers() -> None:
    decision = decide(_running(1, 2, 3, 4, wanted=2), NOW)
    assert decision.actions == (Drain("r4"), Drain("r3"))
    assert decision.wake_at == NOW + decision.fleet.drain_limit_s


def test_replica_that_drains_already_is_not_told_twice() -> None:
    fleet = fleets.draining(_running(1, 2, wanted=1), "r2")
    decision = decide(fleet, NOW)
    assert decision.actions == ()
    assert decision.fleet.members[1].retiring


def test_number_of_a_draining_replica_is_not_free() -> None:
    shrunk = decide(_running(1, 2, wanted=1), NOW).fleet
    assert decide(fleets.scaled(shrunk, 2), NOW).actions == (Start("r3"),)


def test_replica_that_overstays_its_drain_is_killed() -> None:
    shrunk = decide(_running(1, 2, wanted=1), NOW).fleet
    assert decide(shrunk, NOW + shrunk.drain_limit_s - 0.001).actions == ()
    assert decide(shrunk, NOW + shrunk.drain_limit_s).actions == (Kill("r2"),)


def test_drained_replica_is_gone() -> None:
    shrunk = decide(_running(1, 2, wanted=1), NOW).fleet
    gone = fleets.exited(shrunk, "r2", code=0, why="exited with code 0", now=NOW)
    assert _phases(gone) == {"r1": Phase.RUNNING}
    assert gone.settled


def test_replica_that_died_comes_back_under_its_name_after_the_first_back_off() -> None:
    fleet = _die(_running(1, 2), "r1")
    waiting = decide(fleet, NOW)
    assert waiting.actions == ()
    assert waiting.wake_at == pytest.approx(NOW + 0.1)
    assert fleet.find("r1") == Member(
        number=1, phase=Phase.BACKING_OFF, deaths=1, due_at=NOW + 0.1, reason="killed by SIGKILL"
    )
    again = decide(fleet, NOW + 0.1)
    assert again.actions == (Start("r1"),)
    assert again.fleet.members[0].restarts == 1


def test_back_off_doubles_up_to_ten_seconds() -> None:
    assert [backoff_s(n) for n in range(1, 10)] == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10, 10])
    assert backoff_s(10_000) == 10


def test_deaths_in_a_row_wait_longer_each_time() -> None:
    fleet, now, waits = _running(1), NOW, []
    for _ in range(4):
        fleet = _die(fleet, "r1", now)
        member = fleet.members[0]
        waits.append(member.due_at - now)
        now = member.due_at
        fleet = _serve(decide(fleet, now).fleet, "r1", now)
    assert waits == pytest.approx([0.1, 0.2, 0.4, 0.8])


def test_ten_healthy_seconds_forgive_earlier_deaths() -> None:
    fleet = replace(_running(1), members=(replace(_running(1).members[0], deaths=6),))
    assert _die(fleet, "r1", NOW + 9.9).members[0].deaths == 7
    assert _die(fleet, "r1", NOW + 10).members[0].deaths == 1


@pytest.mark.parametrize("stated", [True, False], ids=["by-event", "by-exit-code"])
def test_replica_that_cannot_start_is_not_started_again(stated: bool) -> None:
    fleet = fleets.started(decide(Fleet(wanted=1), NOW).fleet, "r1", pid=7, now=NOW)
    if stated:
        fleet = fleets.cannot_start(fleet, "r1", reason="port 80 is taken")
    fleet = fleets.exited(fleet, "r1", code=3, why="exited with code 3", now=NOW)
    member = fleet.members[0]
    assert (member.phase, member.reason) == (Phase.FAILED, "port 80 is taken" if stated else "exited with code 3")
    assert decide(fleet, NOW + 3600) == Decision(fleet, (), None)


def test_three_deaths_before_serving_are_a_failure() -> None:
    fleet, now = decide(Fleet(wanted=1), NOW).fleet, NOW
    for attempt in (1, 2, 3):
        fleet = fleets.exited(fleet, "r1", code=1, why="exited with code 1", now=now)
        assert fleet.members[0].phase is (Phase.FAILED if attempt == 3 else Phase.BACKING_OFF)
        now = fleet.members[0].due_at
        fleet = decide(fleet, now).fleet
    assert fleet.members[0].reason == "exited with code 1, 3 times in a row before serving"


def test_deaths_before_serving_count_anew_once_it_served() -> None:
    fleet, now = decide(Fleet(wanted=1), NOW).fleet, NOW
    for _ in range(2):
        fleet = _die(fleet, "r1", now)
        now = fleet.members[0].due_at
        fleet = decide(fleet, now).fleet
    fleet = _die(_serve(fleet, "r1", now), "r1", now)
    assert fleet.members[0].phase is Phase.BACKING_OFF


def test_asking_for_a_number_gives_failed_replicas_another_try() -> None:
    failed = Member(number=2, phase=Phase.FAILED, reason="no such module")
    fleet = fleets.scaled(Fleet(wanted=2, members=(*_running(1).members, failed)), 2)
    assert decide(fleet, NOW).actions == (Start("r2"),)


def test_replicas_without_a_process_leave_at_once() -> None:
    fleet = Fleet(wanted=1, members=(*_running(1).members, Member(number=2, phase=Phase.BACKING_OFF, due_at=NOW + 5)))
    decision = decide(fleet, NOW)
    assert decision.actions == ()
    assert decision.fleet.settled


def test_stopping_drains_all_and_starts_none() -> None:
    fleet = fleets.stopped(Fleet(wanted=5, members=_running(1, 2).members))
    decision = decide(fleet, NOW)
    assert decision.actions == (Drain("r2"), Drain("r1"))
    gone = _die(_die(decision.fleet, "r1"), "r2")
    assert gone.members == ()
    assert decide(gone, NOW) == Decision(gone, (), None)


def test_only_so_many_start_at_once() -> None:
    decision = decide(Fleet(wanted=1000), NOW)
    assert len(decision.actions) == STARTING_MAX
    next_one = decide(_serve(decision.fleet, "r5"), NOW)
    assert next_one.actions == (Start(f"r{STARTING_MAX + 1}"),)


def test_replica_drained_by_somebody_else_is_replaced() -> None:
    fleet = fleets.draining(_running(1, 2), "r2")
    assert decide(fleet, NOW).actions == ()
    fleet = fleets.exited(fleet, "r2", code=0, why="exited with code 0", now=NOW)
    assert fleet.members[1].phase is Phase.BACKING_OFF


def test_late_news_of_one_that_is_gone_changes_nothing() -> None:
    fleet = _running(1)
    assert fleets.serving(fleet, "r9", address="127.0.0.1:1", now=NOW) == fleet
    assert _die(fleet, "r9") == fleet
    assert fleets.draining(fleet, "r9") == fleet


def test_replica_that_retires_before_it_serves_has_little_time() -> None:
    fleet = decide(fleets.stopped(decide(Fleet(wanted=1), NOW).fleet), NOW).fleet
    assert decide(fleet, NOW + 1.0).actions == (Kill("r1"),)


def test_late_serving_of_one_that_retires_gives_it_time_and_does_not_bring_it_back() -> None:
    fleet = decide(fleets.stopped(decide(Fleet(wanted=1), NOW).fleet), NOW).fleet
    fleet = fleets.serving(fleet, "r1", address="127.0.0.1:1", now=NOW + 0.5)
    assert fleet.members[0].phase is Phase.DRAINING
    assert decide(fleet, NOW + 1.0).actions == ()
    assert decide(fleet, NOW + 0.5 + fleet.drain_limit_s).actions == (Kill("r1"),)


@pytest.mark.parametrize("wanted", [0, -1, 1001])
def test_impossible_numbers_are_refused(wanted: int) -> None:
    with pytest.raises(ValueError, match="1 to 1000"):
        fleets.scaled(_running(1), wanted)
