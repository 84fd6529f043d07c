from __future__ import annotations

from dataclasses import replace

import pytest

from backends import fleet as fleets
from backends import fleet_orders
from backends.cluster_errors import RefusedError, UnknownReplicaError
from backends.decision import Decision, Drain, Kill, Start, decide
from backends.fault import NO_FAULT, Fault
from backends.fleet import Fleet, Member
from backends.member import After
from backends.phase import Phase

NOW = 1000.0


def _running(*numbers: int) -> Fleet:
    members = tuple(
        Member(number=n, phase=Phase.RUNNING, address=f"127.0.0.1:{9000 + n}", pid=100 + n, serving_at=NOW)
        for n in numbers
    )
    return Fleet(wanted=len(numbers), members=members)


def _end(fleet: Fleet, id: str, *, code: int | None = 0, why: str = "exited with code 0") -> Fleet:
    return fleets.exited(fleet, id, code=code, why=why, now=NOW)


def _serve(fleet: Fleet, id: str) -> Fleet:
    fleet = fleets.started(fleet, id, pid=7, now=NOW)
    return fleets.serving(fleet, id, address="127.0.0.1:9000", now=NOW)


def _phase(fleet: Fleet, id: str) -> Phase:
    return fleet.known(id).phase


def _with(fleet: Fleet, id: str, **changes: object) -> Fleet:
    return fleet.with_member(replace(fleet.known(id), **changes))  # type: ignore[arg-type]  # the tests' own words


def test_drained_replica_stays_stopped_and_nobody_takes_its_place() -> None:
    decision = decide(fleet_orders.drained(_running(1, 2, 3), "r2"), NOW)
    assert decision.actions == (Drain("r2"),)
    assert decision.wake_at == NOW + decision.fleet.drain_limit_s
    gone = _end(decision.fleet, "r2")
    assert _phase(gone, "r2") is Phase.STOPPED
    assert decide(gone, NOW + 3600) == Decision(gone, (), None)


def test_drain_of_one_that_drains_or_is_stopped_changes_nothing() -> None:
    once = decide(fleet_orders.drained(_running(1, 2), "r2"), NOW).fleet
    assert decide(fleet_orders.drained(once, "r2"), NOW).fleet == once
    stopped = _end(once, "r2")
    assert fleet_orders.drained(stopped, "r2") == stopped


def test_drain_that_takes_too_long_ends_by_a_kill_that_is_told() -> None:
    fleet = decide(fleet_orders.drained(_running(1, 2), "r2"), NOW).fleet
    late = decide(fleet, NOW + fleet.drain_limit_s)
    assert late.actions == (Kill("r2"),)
    assert late.fleet.known("r2").overstayed
    stopped = _end(late.fleet, "r2", code=None, why="killed by SIGKILL")
    assert (_phase(stopped, "r2"), stopped.known("r2").reason) == (Phase.STOPPED, "killed by SIGKILL while it drained")


def test_drain_of_one_that_never_served_loses_no_calls_however_it_ends() -> None:
    starting = _with(_running(1, 2), "r2", phase=Phase.STARTING, address="", serving_at=None)
    stopped = _end(decide(fleet_orders.drained(starting, "r2"), NOW).fleet, "r2", code=None, why="killed by SIGTERM")
    assert (_phase(stopped, "r2"), stopped.known("r2").reason) == (Phase.STOPPED, "")


@pytest.mark.parametrize("phase", [Phase.BACKING_OFF, Phase.FAILED])
def test_drain_of_one_without_a_process_stops_it_at_once(phase: Phase) -> None:
    fleet = _with(_running(1, 2), "r2", phase=phase, reason="died", due_at=NOW + 5)
    fleet = fleet_orders.drained(fleet, "r2")
    assert fleet.known("r2") == Member(number=2, phase=Phase.STOPPED)
    assert decide(fleet, NOW + 10).actions == ()


def test_last_one_may_be_drained_too() -> None:
    assert decide(fleet_orders.drained(_running(1), "r1"), NOW).actions == (Drain("r1"),)


def test_scale_starts_what_was_stopped() -> None:
    fleet = _with(_running(1, 2, 3), "r2", phase=Phase.STOPPED, pid=0)
    decision = decide(fleets.scaled(fleet, 3), NOW)
    assert decision.actions == (Start("r2"),)
    assert decision.fleet.known("r2").restarts == 1


def test_scale_brings_back_what_still_drains() -> None:
    fleet = decide(fleet_orders.drained(_running(1, 2), "r2"), NOW).fleet
    fleet = _end(fleets.scaled(fleet, 2), "r2")
    assert decide(fleet, NOW).actions == (Start("r2"),)


def test_restart_drains_and_starts_at_once_under_the_same_name() -> None:
    decision = decide(fleet_orders.restarted(_running(1, 2), ["r2"]), NOW)
    assert decision.actions == (Drain("r2"),)
    again = decide(_end(decision.fleet, "r2"), NOW)
    assert again.actions == (Start("r2"),)
    assert (again.fleet.known("r2").restarts, again.fleet.known("r2").deaths) == (1, 0)


@pytest.mark.parametrize("phase", [Phase.STOPPED, Phase.FAILED, Phase.BACKING_OFF])
def test_restart_of_one_without_a_process_starts_it_at_once(phase: Phase) -> None:
    fleet = _with(_running(1, 2), "r2", phase=phase, due_at=NOW + 5, deaths=3)
    assert decide(fleet_orders.restarted(fleet, ["r2"]), NOW).actions == (Start("r2"),)


def test_last_word_on_one_replica_holds() -> None:
    drains = decide(fleet_orders.drained(_running(1, 2), "r2"), NOW).fleet
    restarts = decide(fleet_orders.restarted(drains, ["r2"]), NOW)
    assert restarts.actions == (), "it drains already, and a second signal would cut its calls off"
    assert decide(_end(restarts.fleet, "r2"), NOW).actions == (Start("r2"),)
    stops = fleet_orders.drained(restarts.fleet, "r2")
    assert _phase(_end(stops, "r2"), "r2") is Phase.STOPPED


def test_what_is_stopping_or_stopped_leaves_with_the_cluster() -> None:
    fleet = decide(fleet_orders.drained(_running(1, 2, 3), "r2"), NOW).fleet
    fleet = _with(fleet, "r3", phase=Phase.STOPPED, pid=0)
    decision = decide(fleets.stopped(fleet), NOW)
    assert decision.actions == (Drain("r1"),)
    assert [m.id for m in decision.fleet.members] == ["r1", "r2"]
    assert _end(_end(decision.fleet, "r1"), "r2").members == ()


def test_restart_is_over_when_all_serve_again() -> None:
    before = _running(1, 2)
    fleet = decide(fleet_orders.restarted(before, ["r1", "r2"]), NOW).fleet
    assert fleet_orders.restart_result(before, before, ["r1"]) == (False, "")
    for name in ("r1", "r2"):
        assert fleet_orders.restart_result(before, fleet, ["r1", "r2"]) == (False, "")
        fleet = _serve(decide(_end(fleet, name), NOW).fleet, name)
    assert fleet_orders.restart_result(before, fleet, ["r1", "r2"]) == (True, "")
    assert fleet_orders.restart_result(before, fleet, []) == (True, "")


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"phase": Phase.FAILED, "reason": "port 80 is taken"}, "r2 does not come up: port 80 is taken"),
        ({"phase": Phase.STOPPED}, "r2 does not come back: it was drained meanwhile"),
        ({"after": After.STOP}, "r2 does not come back: it was drained meanwhile"),
        ({"after": After.LEAVE}, "r2 does not come back: it was scaled away meanwhile"),
    ],
)
def test_restart_that_comes_to_nothing_says_why(changes: dict[str, object], line: str) -> None:
    before = _running(1, 2)
    assert fleet_orders.restart_result(before, _with(before, "r2", **changes), ["r2"]) == (True, line)


def test_unknown_name_is_told_with_those_there_are() -> None:
    for order in (fleet_orders.drained, fleet_orders.killable, fleet_orders.pausable, fleet_orders.askable):
        with pytest.raises(UnknownReplicaError, match=r"no replica '2': did you mean r2\? There are r1, r2"):
            order(_running(1, 2), "2")


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"phase": Phase.STARTING}, "r2 is starting: only what is in service can be paused"),
        ({"phase": Phase.STOPPED}, r"r2 is stopped \('lbdemo restart r2' starts it\): only what is in service"),
        (
            {"phase": Phase.FAILED, "reason": "no module"},
            r"r2 cannot start \(no module; 'lbdemo restart r2' tries again\): only",
        ),
        (
            {"phase": Phase.BACKING_OFF, "reason": "killed by SIGKILL"},
            r"r2 died \(killed by SIGKILL\) and starts again",
        ),
        ({"phase": Phase.DRAINING}, r"r2 is going \(it drains\): only"),
    ],
)
def test_only_what_is_in_service_can_be_paused_or_told(changes: dict[str, object], line: str) -> None:
    fleet = _with(_running(1, 2), "r2", **changes)
    with pytest.raises(RefusedError, match=line):
        fleet_orders.pausable(fleet, "r2")
    with pytest.raises(RefusedError):
        fleet_orders.askable(fleet, "r2")


def test_frozen_replica_is_not_told_anything() -> None:
    fleet = fleets.paused(_running(1, 2), "r2", yes=True)
    with pytest.raises(RefusedError, match="r2 is paused and hears nothing: 'lbdemo resume r2' first"):
        fleet_orders.askable(fleet, "r2")
    assert fleet_orders.pausable(fleet, "r2").paused
    assert fleet_orders.killable(fleet, "r2").paused


def test_nobody_can_kill_what_has_no_process() -> None:
    with pytest.raises(RefusedError, match="there is no process to kill"):
        fleet_orders.killable(_with(_running(1), "r1", phase=Phase.STOPPED), "r1")


@pytest.mark.parametrize("goes", ["scaled away", "the cluster is going down"])
def test_what_leaves_is_neither_drained_nor_restarted(goes: str) -> None:
    fleet = _running(1, 2)
    fleet = decide(fleets.scaled(fleet, 1) if "scaled" in goes else fleets.stopped(fleet), NOW).fleet
    with pytest.raises(RefusedError, match=f"r2 is leaving: .*{goes}"):
        fleet_orders.drained(fleet, "r2")
    with pytest.raises(RefusedError, match="r2 is leaving"):
        fleet_orders.restarted(fleet, ["r2"])


def test_unknown_health_is_refused_with_those_there_are() -> None:
    with pytest.raises(ValueError, match="'WELL' is no health: SERVING, NOT_SERVING, UNKNOWN"):
        fleet_orders.askable(_running(1), "r1", health="WELL")


def test_fault_with_an_end_is_over_then_and_not_before() -> None:
    fleet = fleet_orders.faulted(_running(1), "r1", Fault(latency_ms=5, for_ms=2000), NOW)
    decision = decide(fleet, NOW)
    assert decision.wake_at == NOW + 2
    assert decide(fleet, NOW + 1.999).fleet.known("r1").fault
    over = decide(fleet, NOW + 2).fleet
    assert (over.known("r1").fault, decide(over, NOW + 2).wake_at) == (NO_FAULT, None)


def test_what_was_done_to_a_process_ends_with_it() -> None:
    fleet = fleet_orders.faulted(_running(1), "r1", Fault(error="ABORTED", for_ms=2000), NOW)
    fleet = fleet_orders.told_health(fleets.paused(fleet, "r1", yes=True), "r1", "UNKNOWN")
    member = _end(fleet, "r1", code=None, why="killed by SIGKILL").known("r1")
    assert (member.fault, member.fault_over_at, member.told_health, member.paused) == (NO_FAULT, 0.0, "", False)
