from __future__ import annotations

from dataclasses import replace

import pytest

from backends import fleet as fleets
from backends import fleet_orders, rolling, versions
from backends.cluster_errors import RefusedError, UnknownReplicaError
from backends.decision import Drain, Start, decide
from backends.fleet import Fleet, Member, Version
from backends.phase import Phase

NOW = 1000.0


def _running(*numbers: int, **changes: object) -> Fleet:
    members = tuple(
        Member(number=n, phase=Phase.RUNNING, address=f"127.0.0.1:{9000 + n}", pid=100 + n, serving_at=NOW)
        for n in numbers
    )
    return replace(Fleet(wanted=len(numbers), members=members), **changes)  # type: ignore[arg-type]  # the tests' own


def _serve(fleet: Fleet, id: str, now: float = NOW) -> Fleet:
    return decide(fleets.serving(fleet, id, address="127.0.0.1:1", now=now), now).fleet


def _drained(fleet: Fleet, id: str, now: float = NOW) -> Fleet:
    return decide(fleets.exited(fleet, id, code=0, why="exited with code 0", now=now), now).fleet


def _fail(fleet: Fleet, id: str, now: float = NOW) -> Fleet:
    fleet = fleets.cannot_start(fleet, id, reason="no such module")
    return decide(fleets.exited(fleet, id, code=3, why="exited with code 3", now=now), now).fleet


def _phases(fleet: Fleet) -> str:
    """One letter each: Starting, Running, Draining, Failed, stopped as X, Backing off."""
    letters = {Phase.STOPPED: "X"}
    return "".join(letters.get(m.phase, m.phase.name[0]) for m in fleet.members)


def _begin(fleet: Fleet, *ids: str, now: float = NOW) -> Fleet:
    return decide(rolling.begun(fleet, ids), now).fleet


def test_spare_serves_before_the_first_one_drains() -> None:
    decision = decide(rolling.begun(_running(1, 2, 3)), NOW)
    assert decision.actions == (Start("r4"),)
    assert decision.fleet.known("r4").spare
    decision = decide(fleets.serving(decision.fleet, "r4", address="x:1", now=NOW), NOW)
    assert decision.actions == (Drain("r1"),)


def test_each_goes_only_when_the_one_before_serves_again_and_all_keep_their_names() -> None:
    fleet = _begin(_running(1, 2, 3))
    seen = [_phases(fleet)]
    fleet = _serve(fleet, "r4")
    for name in ("r1", "r2", "r3"):
        seen.append(_phases(fleet))
        fleet = _drained(fleet, name)
        seen.append(_phases(fleet))
        fleet = _serve(fleet, name)
    seen.append(_phases(fleet))
    assert seen == ["RRRS", "DRRR", "SRRR", "RDRR", "RSRR", "RRDR", "RRSR", "RRRD"]
    assert all(phases.count("R") >= 3 for phases in seen)
    fleet = _drained(fleet, "r4")
    assert [m.id for m in fleet.members] == ["r1", "r2", "r3"]
    assert fleet.settled
    assert fleet.roll == rolling.Roll(todo=(), done=("r1", "r2", "r3"), floors=(("v1", 3),), over=True)
    assert [m.restarts for m in fleet.members] == [1, 1, 1]


def test_roll_of_one_replica_has_somebody_in_its_place() -> None:
    fleet = _serve(_begin(_running(1)), "r2")
    assert _phases(fleet) == "DR"


def test_named_ones_alone_are_restarted_in_that_order() -> None:
    fleet = _begin(_running(1, 2, 3), "r3", "r1", "r3")
    assert fleet.roll is not None
    assert fleet.roll.todo == ("r3", "r1")


def test_roll_stops_at_the_first_that_does_not_come_up_and_the_spare_stays_for_it() -> None:
    fleet = _drained(_serve(_begin(_running(1, 2, 3)), "r4"), "r1")
    fleet = _fail(fleet, "r1")
    assert _phases(fleet) == "FRRR"
    assert fleet.roll is not None
    assert fleet.roll.over
    assert fleet.roll.error == "r1 does not come up: no such module (none done; r2, r3 as before)"
    assert decide(fleet, NOW + 3600).actions == ()


def test_spare_of_a_failed_roll_leaves_once_all_others_serve() -> None:
    fleet = _fail(_drained(_serve(_begin(_running(1, 2)), "r3"), "r1"), "r1")
    fleet = decide(fleet_orders.restarted(fleet, ["r1"]), NOW).fleet
    assert _phases(fleet) == "SRR"
    assert _phases(_serve(fleet, "r1")) == "RRD"


def test_spare_of_a_failed_roll_is_kept_where_more_are_wanted() -> None:
    fleet = _fail(_drained(_serve(_begin(_running(1, 2)), "r3"), "r1"), "r1")
    decision = decide(fleets.scaled(fleet, 3), NOW)
    assert decision.actions == (Start("r1"),)
    assert not decision.fleet.known("r3").spare


def test_next_roll_uses_the_spare_that_is_there() -> None:
    fleet = _fail(_drained(_serve(_begin(_running(1, 2)), "r3"), "r1"), "r1")
    decision = decide(rolling.begun(fleet), NOW)
    assert decision.actions == (Start("r1"),)
    fleet = _serve(decision.fleet, "r1")
    assert _phases(fleet) == "RDR"


def test_spare_that_does_not_come_up_ends_the_roll_before_it_touched_anything() -> None:
    fleet = _fail(_begin(_running(1, 2)), "r3")
    assert _phases(fleet) == "RR"
    assert fleet.roll is not None
    assert fleet.roll.error == "the spare r3 does not come up: no such module (none done; r1, r2 as before)"


def test_who_is_paused_and_holds_the_roll_up_is_named() -> None:
    fleet = _serve(fleets.paused(_begin(_running(1, 2, 3)), "r3", yes=True), "r4")
    late = decide(fleet, NOW + rolling.PATIENCE_S).fleet.roll
    assert late is not None
    assert late.error.startswith("nobody serves in the place of r1 within 30 s, and r3 is paused (none done; ")


def test_patience_with_a_spare_that_never_serves_has_an_end() -> None:
    fleet = _begin(_running(1, 2))
    decision = decide(fleet, NOW)
    assert decision.wake_at == NOW + rolling.PATIENCE_S
    late = decide(fleet, NOW + rolling.PATIENCE_S)
    assert late.fleet.roll is not None
    assert late.fleet.roll.error.startswith("nobody serves in the place of r1 within 30 s")
    assert late.actions == (Drain("r3"),)


def test_patience_with_a_replica_that_never_serves_again_has_an_end() -> None:
    fleet = _drained(_serve(_begin(_running(1, 2)), "r3"), "r1")
    assert fleet.roll is not None
    late = decide(fleet, fleet.roll.due_at).fleet
    assert late.roll is not None
    assert late.roll.error == "r1 does not serve within 30 s (none done; r2 as before)"


def test_roll_waits_while_somebody_else_is_missing() -> None:
    fleet = _serve(_begin(_running(1, 2, 3)), "r4")
    fleet = fleets.exited(fleet, "r3", code=None, why="killed by SIGKILL", now=NOW)
    fleet = _serve(_drained(decide(fleet, NOW).fleet, "r1"), "r1")
    assert _phases(fleet) == "RRBR", "r2 must not go while r3 is dead"
    fleet = decide(fleet, NOW + 0.1).fleet
    assert _phases(_serve(fleet, "r3", NOW + 0.1)) == "RDRR"


def test_frozen_replica_does_not_count_as_one_that_serves() -> None:
    fleet = fleets.paused(_serve(_begin(_running(1, 2)), "r3"), "r3", yes=True)
    fleet = _serve(_drained(fleet, "r1"), "r1")
    assert _phases(fleet) == "RRR"
    assert _phases(decide(fleets.paused(fleet, "r3", yes=False), NOW).fleet) == "RDR"


def test_stopped_replicas_stay_stopped_unless_named() -> None:
    fleet = _running(1, 2)
    fleet = fleet.with_member(Member(number=2, phase=Phase.STOPPED))
    begun = _begin(fleet)
    assert begun.roll is not None
    assert begun.roll.todo == ("r1",)
    assert Start("r2") in decide(rolling.begun(fleet, ["r2"]), NOW).actions


def test_cancelled_roll_finishes_the_one_at_hand_and_begins_no_other() -> None:
    fleet = _serve(_begin(_running(1, 2, 3)), "r4")
    fleet = decide(rolling.cancelled(fleet), NOW).fleet
    assert _phases(fleet) == "DRRR"
    fleet = _serve(_drained(fleet, "r1"), "r1")
    assert _phases(fleet) == "RRRD"
    assert fleet.roll is not None
    assert fleet.roll.error == "interrupted (r1 done; r2, r3 as before)"


def test_roll_cancelled_before_anything_was_done_leaves_all_as_it_was() -> None:
    fleet = decide(rolling.cancelled(_begin(_running(1, 2))), NOW)
    assert fleet.actions == (Drain("r3"),)
    assert fleet.fleet.roll is not None
    assert fleet.fleet.roll.error == "interrupted (none done; r1, r2 as before)"


def test_nobody_to_replace_is_refused() -> None:
    fleet = _running(1).with_member(Member(number=1, phase=Phase.STOPPED))
    with pytest.raises(RefusedError, match="no replica runs that could be replaced"):
        rolling.begun(fleet)
    with pytest.raises(UnknownReplicaError, match="no replica 'r9': there is r1"):
        rolling.begun(_running(1), ["r9"])


def test_what_would_disturb_a_roll_is_refused_with_how_far_it_is() -> None:
    fleet = _serve(_drained(_serve(_begin(_running(1, 2, 3)), "r4"), "r1"), "r1")
    line = r"a rolling restart goes on \(1 of 3 done\)"
    with pytest.raises(RefusedError, match=line):
        fleets.scaled(fleet, 5)
    with pytest.raises(RefusedError, match=line):
        versions.with_version(fleet, "v2")
    with pytest.raises(RefusedError, match=line):
        rolling.begun(fleet)
    with pytest.raises(RefusedError, match=line):
        fleet_orders.drained(fleet, "r2")
    with pytest.raises(RefusedError, match=line):
        fleet_orders.restarted(fleet, ["r2"])
    assert fleet_orders.killable(fleet, "r2").id == "r2"


def test_cluster_that_stops_in_the_middle_of_a_roll_drains_all_and_starts_none() -> None:
    fleet = _drained(_serve(_begin(_running(1, 2, 3)), "r4"), "r1")
    decision = decide(fleets.stopped(fleet), NOW)
    assert {type(action) for action in decision.actions} == {Drain}
    fleet = decision.fleet
    for name in ("r1", "r2", "r3", "r4"):
        fleet = _drained(fleet, name)
    assert fleet.members == ()


def test_each_version_has_a_spare_of_its_own_kind() -> None:
    fleet = _running(1, 2)
    canary = replace(fleet.members[1], version="v2")
    fleet = replace(fleet, wanted=1, members=(fleet.members[0], canary), others=(Version(name="v2", wanted=1),))
    fleet = _begin(fleet)
    assert [(m.id, m.version) for m in fleet.members if m.spare] == [("r3", "v1")]
    fleet = _serve(_drained(_serve(fleet, "r3"), "r1"), "r1")
    assert _phases(fleet) == "RRDS", "the spare of v1 leaves, one of v2 starts, and r2 waits for it"
    assert fleet.known("r4").version == "v2"
    assert _phases(_serve(fleet, "r4")) == "RDDR"
