"""The chart of a run as text: bars on one axis, marks in their columns, what the lines say."""

from __future__ import annotations

import pytest

from lb_client.history.chart import Chart, consequence, described, rows_of, spark
from lb_client.history.happenings import Happening, Impact, grouped, told
from lb_client.history.history import History
from lb_client.history.traffic import TrafficRecorder
from lb_client.paper import Paper
from lb_client.records import CallRecord

STILL = "1,200 calls still went there (the last after 50 ms), 2 of them failed"


def history(*, happenings: tuple[Happening, ...] = (), failed_at: int = -1, slices: int = 40) -> History:
    """Ten calls a slice on r1; on r2 five, none from the twentieth to the thirtieth."""
    recorder = TrafficRecorder(100.0, width_s=0.1)
    for index in range(slices):
        names = ["r1"] * 10 + ([] if 20 <= index < 30 else ["r2"] * 5)
        for name in names:
            recorder.add(CallRecord(100.0 + index / 10 + 0.01, 0.01, replica=name, address=f"{name}:1"))
        if index == failed_at:
            recorder.add(CallRecord(100.0 + index / 10 + 0.01, 0.01, "UNAVAILABLE"))
    return History(100.0, slices / 10, recorder.traffic(), happenings)


def lines(of: History, *, width: int = 100, ascii_only: bool = False) -> list[str]:
    return list(Chart(of, Paper(width=width, ascii_only=ascii_only)).lines())


def test_a_bar_is_an_eighth_for_each_eighth_and_only_nothing_is_blank() -> None:
    assert spark([0, 1, 2, 4, 8], 8) == " ▁▂▄█"
    assert spark([0, 1, 100], 100) == " ▁█"
    assert spark([0, 0], 0) == "  "
    assert spark([0, 1, 100], 100, ascii_only=True) == " .@"


def test_rows_marks_and_axis_share_their_columns() -> None:
    found = lines(history(happenings=(told(102.0, "died", "r2"), told(103.0, "serving", "r2")), failed_at=20))
    assert found[:6] == [
        " timeline a column is 100 ms, █ is 10 calls",
        " r1       " + "█" * 40,
        " r2       " + "▄" * 20 + " " * 10 + "▄" * 10,
        " failed   " + " " * 20 + "█" + " " * 19,
        " events   " + " " * 20 + "a" + " " * 9 + "b" + " " * 9,
        "          0 s       1 s       2 s       3 s       4 s",
    ]
    assert found[6:] == [
        " a   +2.00 s  r2 died: not noticed",
        " b   +3.00 s  r2 serves",
    ]


@pytest.mark.parametrize("width", [80, 100, 140])
@pytest.mark.parametrize("slices", [7, 40, 88, 130, 299])
def test_a_chart_fits_its_width(width: int, slices: int) -> None:
    detail = "killed by SIGKILL; next start in 0.1 s " * 3
    happenings = tuple(told(100.0 + n / 3, "died", "r2", detail=detail) for n in range(24))
    found = lines(history(happenings=happenings, slices=slices), width=width)
    assert max(len(line) for line in found) <= width
    assert found[-1].strip() == "… 4 more events"


def test_a_short_run_has_events_and_no_shape() -> None:
    found = lines(history(happenings=(told(100.1, "died", "r2"),), slices=3))
    assert [line.strip() for line in found] == ["+0.10 s  r2 died: not noticed"]
    assert lines(history(slices=3)) == []


def test_a_failure_at_the_very_end_is_shown() -> None:
    """A call that waits for its deadline ends last, in a slice that has only just begun."""
    recorder = TrafficRecorder(100.0, width_s=0.1)
    recorder.add(CallRecord(100.0, 2.02, "DEADLINE_EXCEEDED"))
    found = lines(History(100.0, 2.02, recorder.traffic(), (told(101.0, "drain-begun", "r1"),)))
    assert found[0] == " timeline a column is 100 ms"
    assert found[1] == " failed   " + " " * 20 + "█"


def test_where_only_ascii_can_be_shown_nothing_else_is() -> None:
    happening = told(102.0, "died", "r2", detail="µ…")
    assert all(line.isascii() for line in lines(history(happenings=(happening,), failed_at=3), ascii_only=True))


def test_processes_of_one_replica_share_a_row() -> None:
    recorder = TrafficRecorder(100.0, width_s=0.1)
    for address in ("r2:1", "r2:2"):
        recorder.add(CallRecord(100.0, 0.01, replica="r2", address=address))
    recorder.add(CallRecord(100.0, 0.01, replica="", address="other:1"))
    assert rows_of(recorder.traffic()) == {"r2": [2], "other:1": [1]}


def seen(at_s: float, kind: str, text: str, replica: str = "r2") -> Happening:
    return Happening(at_s=at_s, source="client", kind=kind, replica=replica, text=f"{replica} {text}")


def test_what_the_client_saw_at_once_is_one_line_and_a_return_another() -> None:
    found = grouped(
        (
            seen(1.0, "unhealthy", "went unhealthy"),
            told(1.01, "died", "r2"),
            seen(1.02, "left", "left"),
            seen(1.03, "left", "left", "r3"),
            seen(1.1, "joined", "joined"),
            seen(1.15, "connected", "connected"),
            seen(2.0, "left", "left"),
        )
    )
    assert [happening.text for happening in found] == [
        "r2 went unhealthy, left", "r2 died", "r3 left", "r2 joined, connected", "r2 left",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("noticed_s", "impact", "text"),
    [
        (0.003, None, "noticed after 3 ms"),
        (-0.002, Impact(), "noticed at once, no call went there after it"),
        (
            0.1,
            Impact(in_flight=4, in_flight_failed=3, after=1200, failed_after=2, last_s=0.05),
            "noticed after 100 ms, 4 in flight, 3 of them failed, " + STILL,
        ),
        (0.1, Impact(in_flight=4), "noticed after 100 ms, 4 in flight, tried again, no call went there after it"),
    ],
)
def test_what_came_of_an_event_is_told(noticed_s: float, impact: Impact | None, text: str) -> None:
    happening = Happening(at_s=1.0, source="cluster", kind="died", text="r2 died", noticed_s=noticed_s, impact=impact)
    assert consequence(happening) == text
    assert described(happening) == f"r2 died: {text}"
