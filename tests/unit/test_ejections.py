"""Who is ejected, inferred from the traffic; and what a report makes of it."""

from __future__ import annotations

from lb_client.ejections import HEARD_WITHIN_S, EjectionWatch, can_be_seen, even_shares
from lb_client.membership import Member, Membership, MemberState, events_between
from lb_client.policy import OutlierDetection, PickFirst, RingHash, RoundRobin, WeightedRoundRobin
from lb_client.records import CallRecord, CallRecorder

THIRD = dict.fromkeys(("a", "b", "c"), 1 / 3)


def test_who_is_passed_over_when_due_is_ejected_and_with_a_call_let_back() -> None:
    watch = EjectionWatch()
    assert not watch.look(1.0, {"a": 5, "b": 5, "c": 5}, THIRD)
    assert not watch.look(1.1, {"a": 15, "b": 15, "c": 15}, THIRD)
    assert not watch.look(1.2, {"a": 25, "b": 15, "c": 25}, THIRD)  # 6.7 were due
    assert watch.look(1.3, {"a": 35, "b": 15, "c": 35}, THIRD)
    assert watch.ejected == {"b"}
    assert (watch.since_s, watch.until_s) == (1.0, 1.1)  # its last call came between these looks
    assert not watch.look(1.4, {"a": 45, "b": 15, "c": 45}, THIRD)
    assert watch.look(1.5, {"a": 46, "b": 16, "c": 46}, THIRD)
    assert (watch.ejected, watch.since_s, watch.until_s) == (frozenset(), 1.4, 1.5)


def test_a_small_share_is_no_ejection() -> None:
    watch = EjectionWatch()
    shares = {"a": 0.98, "b": 0.01, "c": 0.01}
    watch.look(1.0, {"a": 0, "b": 0, "c": 0}, shares)
    watch.look(1.1, {"a": 500, "b": 1, "c": 0}, shares)
    assert watch.ejected == frozenset()


def test_without_calls_nobody_is_ejected() -> None:
    watch = EjectionWatch()
    for number in range(50):
        watch.look(number / 10, {"a": 7, "b": 7, "c": 7}, THIRD)
    assert watch.ejected == frozenset()


def test_who_leaves_or_loses_its_connection_is_not_ejected() -> None:
    watch = EjectionWatch()
    watch.look(1.0, {"a": 0, "b": 0, "c": 0}, THIRD)
    assert watch.look(1.1, {"a": 100, "b": 0, "c": 100}, THIRD)
    assert watch.look(1.2, {"a": 200, "c": 200}, THIRD)
    assert watch.ejected == frozenset()


def test_only_where_everybody_gets_calls_can_it_be_seen() -> None:
    detection = OutlierDetection()
    assert can_be_seen(RoundRobin(outlier_detection=detection))
    assert can_be_seen(WeightedRoundRobin(outlier_detection=detection))
    assert not can_be_seen(RingHash("key", outlier_detection=detection))
    assert not can_be_seen(RoundRobin())
    assert not can_be_seen(PickFirst())


def test_an_ejection_is_an_event_and_so_is_its_end() -> None:
    all_well = Membership(1.0, (Member("a", "r1"), Member("b", "r2"), Member("c", "r3", MemberState.UNHEALTHY)))
    out = all_well.with_ejected(frozenset({"b", "c"}))
    assert [m.state for m in out.members] == [MemberState.READY, MemberState.EJECTED, MemberState.UNHEALTHY]
    assert out.ready_addresses == {"a"}
    assert [event.text for event in events_between(all_well, out)] == ["r2 was ejected (inferred from the traffic)"]
    assert [(e.kind, e.text) for e in events_between(out, all_well)] == [("let-back", "r2 was let back")]
    assert even_shares(out) == {"a": 0.5, "b": 0.5}
    assert even_shares(None) == {}


def test_a_change_that_is_heard_of_late_takes_the_calls_since_out_of_the_judged() -> None:
    patient, usual = CallRecorder(), CallRecorder()
    patient.hold_s = HEARD_WITHIN_S
    for recorder in (patient, usual):
        for number in range(200):
            recorder.add(CallRecord(100.0 + number / 25, 0.01, replica="r1", address="a:1"))
        recorder.mark(104.0, 1)  # heard of at 108
    judged = [sum(sum(s.counts.values()) for s in each.segments if s.settled) for each in (patient, usual)]
    # With the usual patience it is too late to tell apart the calls from 104 s on.
    assert judged[0] <= 100 < judged[1]
    assert sum(sum(s.counts.values()) for s in patient.segments) == 200
