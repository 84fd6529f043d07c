from __future__ import annotations

import pytest

from lb_client.history.traffic import MOST_BACKENDS, OTHERS, TrafficRecorder
from lb_client.records import CallRecord


def ended(at_s: float, replica: str = "r1", *, status: str = "OK", latency_s: float = 0.001) -> CallRecord:
    """A call that ended so many seconds after 100."""
    return CallRecord(100.0 + at_s - latency_s, latency_s, status, "", replica, replica and f"{replica}:1")


def test_a_call_is_counted_when_it_ends() -> None:
    recorder = TrafficRecorder(100.0, width_s=0.1)
    for record in (ended(0.05), ended(0.25, latency_s=0.2), ended(0.15, "r2"), ended(0.25, "", status="UNAVAILABLE")):
        recorder.add(record)
    traffic = recorder.traffic()
    assert traffic.calls == {("r1", "r1:1"): [1, 0, 1], ("r2", "r2:1"): [0, 1, 0], ("", ""): [0, 0, 1]}
    assert traffic.failed == {("", ""): [0, 0, 1]}
    assert traffic.total() == [1, 1, 2]
    assert traffic.failures() == [0, 0, 1]
    assert [histogram.count for histogram in traffic.latency] == [1, 1, 1]
    assert traffic.latency[2].max_s == pytest.approx(0.2)


def test_slices_grow_wider_when_there_are_too_many_and_no_call_is_lost() -> None:
    recorder = TrafficRecorder(100.0, width_s=0.1, most=10)
    for tenth in range(0, 1000, 3):
        recorder.add(ended(tenth / 10, f"r{tenth % 2}", status="OK" if tenth % 5 else "ABORTED"))
    traffic = recorder.traffic()
    assert traffic.slices <= 10
    assert traffic.width_s == pytest.approx(12.8)
    assert sum(traffic.total()) == 334
    assert sum(traffic.failures()) == 67
    assert sum(histogram.count for histogram in traffic.latency) == 334 - 67


def test_calls_that_end_out_of_order_go_to_their_own_slice() -> None:
    recorder = TrafficRecorder(100.0, width_s=0.1)
    for at_s in (0.35, 0.05, 0.36, 0.15, -0.5):
        recorder.add(ended(at_s))
    assert recorder.traffic().calls["r1", "r1:1"] == [2, 1, 0, 2]


def test_silence_at_the_end_is_there_too() -> None:
    recorder = TrafficRecorder(100.0, width_s=0.1)
    recorder.add(ended(0.05))
    assert recorder.traffic(100.35).total() == [1, 0, 0, 0]
    assert TrafficRecorder(100.0).traffic().slices == 0


def test_more_backends_than_have_rows_share_one() -> None:
    recorder = TrafficRecorder(100.0)
    for number in range(MOST_BACKENDS + 10):
        recorder.add(ended(0.01, f"r{number}"))
        recorder.add(ended(0.01, f"r{number}", status="UNKNOWN"))
    traffic = recorder.traffic()
    assert len(traffic.calls) == MOST_BACKENDS + 1
    assert traffic.calls[OTHERS] == [20]
    assert traffic.failed[OTHERS] == [10]


def test_fewer_columns_hold_the_same_calls() -> None:
    recorder = TrafficRecorder(100.0, width_s=0.1)
    for tenth in range(10):
        recorder.add(ended(tenth / 10 + 0.05, status="OK" if tenth else "UNKNOWN"))
    coarse = recorder.traffic().coarser(4)
    assert coarse.width_s == pytest.approx(0.3)
    assert (coarse.total(), coarse.failures()) == ([3, 3, 3, 1], [1, 0, 0, 0])
    assert coarse.coarser(100) is coarse


def test_latencies_are_kept_only_where_somebody_wants_them() -> None:
    recorder = TrafficRecorder(100.0, with_latency=False)
    recorder.add(ended(0.01))
    assert recorder.traffic().latency[0].count == 0
    assert recorder.traffic().total() == [1]
