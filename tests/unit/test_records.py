from __future__ import annotations

import pytest

from lb_client.records import MAX_SEGMENTS, SETTLE_S, SLICE_S, CallRecord, CallRecorder, Segment


def call(start_s: float, replica: str = "r1", status: str = "OK", **more: object) -> CallRecord:
    return CallRecord(start_s, 0.001, status, replica=replica, address=f"{replica}:1" if replica else "", **more)  # type: ignore[arg-type]


def counts(segment: Segment) -> dict[str, int]:
    return {replica: number for (replica, _), number in segment.counts.items()}


def test_calls_are_tallied_by_who_answered() -> None:
    recorder = CallRecorder()
    for replica in ("r1", "r2", "r1"):
        recorder.add(call(1.0, replica))
    assert {key: tally.calls for key, tally in recorder.backends.items()} == {("r1", "r1:1"): 2, ("r2", "r2:1"): 1}
    assert (recorder.calls, recorder.failed, recorder.statuses) == (3, 0, {"OK": 3})


def test_failure_is_data_and_stays_out_of_the_latencies() -> None:
    recorder = CallRecorder()
    recorder.add(call(1.0))
    recorder.add(CallRecord(1.0, 5.0, "DEADLINE_EXCEEDED", "Deadline Exceeded"))
    assert (recorder.calls, recorder.failed) == (2, 1)
    assert recorder.latency.max_s == 0.001
    assert recorder.failures == {("DEADLINE_EXCEEDED", "Deadline Exceeded"): 1}
    assert recorder.backends[("", "")].failed == 1


def test_distinct_failures_kept_are_few_and_all_are_counted() -> None:
    recorder = CallRecorder()
    for n in range(1000):
        recorder.add(CallRecord(1.0, 0.1, "UNAVAILABLE", f"attempt {n}"))
    assert recorder.failed == 1000
    assert len(recorder.failures) < 10


def test_retried_calls_are_counted() -> None:
    recorder = CallRecorder()
    recorder.add(call(1.0, previous_attempts=2))
    recorder.add(call(1.0))
    assert recorder.retried == 1


def test_without_a_change_there_is_one_segment() -> None:
    recorder = CallRecorder()
    for n in range(100):
        recorder.add(call(n * 0.02))
    assert [(s.settled, counts(s)) for s in recorder.segments] == [(True, {"r1": 100})]


def test_calls_shortly_before_and_after_a_change_are_not_judged() -> None:
    recorder = CallRecorder()
    change_s = 10.0 + SLICE_S / 2
    recorder.add(call(9.0, "r1"))
    recorder.add(call(10.0 + SLICE_S / 4, "r2"))
    recorder.add(call(change_s + 0.001, "r3"))
    recorder.mark(change_s, look=1)
    recorder.add(call(change_s + SETTLE_S / 2, "r4"))
    recorder.add(call(change_s + SETTLE_S + 0.001, "r5"))
    found = [(s.settled, s.look, counts(s)) for s in recorder.segments]
    assert found == [(True, 0, {"r1": 1}), (False, 1, {"r2": 1, "r3": 1, "r4": 1}), (True, 1, {"r5": 1})]


def test_change_heard_of_late_still_cuts_where_it_happened() -> None:
    recorder = CallRecorder()
    recorder.add(call(1.01, "before"))
    recorder.add(call(2.01, "after"))
    recorder.add(call(2.01 + SLICE_S, "after"))
    recorder.mark(2.005, look=1)
    assert [counts(s) for s in recorder.segments] == [{"before": 1}, {"after": 2}, {}]


def test_call_that_ends_late_counts_where_it_began() -> None:
    recorder = CallRecorder()
    recorder.add(call(1.0, "r1"))
    recorder.mark(2.0, look=1)
    recorder.add(call(3.0, "r2"))
    recorder.add(call(4.0, "r2"))
    recorder.add(call(1.5, "slow"))
    assert [counts(s) for s in recorder.segments] == [{"r1": 1, "slow": 1}, {}, {"r2": 2}]


def test_changes_on_the_heels_of_each_other_settle_once() -> None:
    recorder = CallRecorder()
    recorder.mark(1.0, look=1)
    recorder.add(call(1.05, "r1"))
    recorder.mark(1.1, look=2)
    recorder.add(call(1.1 + SETTLE_S / 2, "r2"))
    recorder.add(call(1.2 + SETTLE_S, "r3"))
    found = recorder.segments
    assert [s.settled for s in found] == [True, *[False] * (len(found) - 2), True]
    assert counts(found[-1]) == {"r3": 1}
    assert sum(sum(s.counts.values()) for s in found) == 3


def test_segments_are_bounded_and_no_call_is_lost() -> None:
    recorder = CallRecorder()
    for n in range(2000):
        recorder.mark(n * 1.0, look=n)
        recorder.add(call(n + 0.5))
    segments = recorder.segments
    assert len(segments) <= MAX_SEGMENTS + 2
    assert not segments[-1].settled
    assert sum(sum(s.counts.values()) for s in segments) == 2000


@pytest.mark.parametrize("order", [(1.0, 1.01, 1.2, 1.3), (1.3, 1.2, 1.01, 1.0), (1.2, 1.0, 1.3, 1.01)])
def test_no_call_is_lost_in_any_order_of_ending(order: tuple[float, ...]) -> None:
    recorder = CallRecorder()
    for start_s in order:
        recorder.add(call(start_s))
    assert counts(recorder.segments[0]) == {"r1": 4}
