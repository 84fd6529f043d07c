"""The page for a browser: well-formed, self-contained, and what a server sends cannot become markup."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from typing import Any

import pytest

from lb_client.driver import Run
from lb_client.history.happenings import told
from lb_client.history.history import History
from lb_client.history.html_page import html_of
from lb_client.history.svg import WIDTH, Charts, round_up, series_of
from lb_client.history.traffic import TrafficRecorder
from lb_client.ledger.book import CallBook
from lb_client.ledger.journals import Journals
from lb_client.ledger.reconcile import reconcile
from lb_client.membership import Membership
from lb_client.records import CallRecord, CallRecorder
from lb_client.report import Question, Report, build_report
from lb_client.warmup import WarmUp

EVIL = '</script><script>alert("x")</script>&'


def recorded(
    *, replicas: int = 3, seconds: int = 2, fail: bool = True
) -> tuple[CallRecorder, TrafficRecorder, CallBook]:
    sums, slices, book = CallRecorder(), TrafficRecorder(100.0, width_s=0.1), CallBook()
    for number in range(1, seconds * 100 + 1):
        name = f"r{number % replicas + 1}"
        record = CallRecord(100.0 + number / 100, 0.004, "OK", "", name, f"{name}:1", 0, number)
        if fail and number == 70:
            record = CallRecord(100.0 + number / 100, 0.004, "UNAVAILABLE", EVIL, number=number)
        for taker in (sums, slices, book):
            taker.add(record)
    return sums, slices, book


def report(**more: Any) -> Report:
    sums, slices, book = recorded(**more)
    ledger, _, _ = reconcile("0" * 16, book, sums.calls, Journals(missing=f"no journal {EVIL}"))
    happenings = (told(100.7, "died", "r2", detail=EVIL), told(101.0, "serving", "r2"))
    history = History(100.0, 2.0, slices.traffic(), happenings, ledger)
    return build_report(
        Question(target=f"static:{EVIL}", policy="round_robin", requested={"count": 200}),
        run=Run(100.0, 2.0),
        recorder=sums,
        warm_up=WarmUp(0.01, complete=True, connected=()),
        looks=(Membership(99.0, ()),),
        events=(),
        traffic={},
        bound=1,
        history=history,
    )


def parsed(page: str) -> ET.Element:
    """The page is well-formed XML but for its first line and its two void elements."""
    body = page.removeprefix("<!doctype html>").strip()
    for void in ('<meta charset="utf-8">', '<meta name="viewport" content="width=device-width,initial-scale=1">'):
        assert void in body
        body = body.replace(void, void[:-1] + "/>")
    return ET.fromstring(body)  # noqa: S314 -- our own page


def test_the_page_is_whole_and_needs_nothing_from_elsewhere() -> None:
    page = html_of(report())
    root = parsed(page)
    attributes = {name for element in root.iter() for name in element.attrib}
    assert not attributes & {"src", "href", "data", "action", "onclick"}
    assert "url(" not in page
    assert "@import" not in page
    assert [element.get("type") for element in root.iter("script")] == ["application/json"]


def test_what_a_server_sends_stays_text() -> None:
    page = html_of(report())
    assert "<script>alert" not in page
    root = parsed(page)
    texts = ["".join(cell.itertext()) for cell in root.iter("td")]
    assert EVIL in texts
    (embedded,) = root.iter("script")
    assert json.loads(embedded.text or "")["failures"][0]["details"] == EVIL


def test_light_and_dark_have_their_colours() -> None:
    style = "".join(next(parsed(html_of(report())).iter("style")).itertext())
    assert "prefers-color-scheme:dark" in style
    for number in range(8):
        assert style.count(f"--s{number}:") == 2


def test_a_run_without_a_history_has_a_page_too() -> None:
    from dataclasses import replace  # noqa: PLC0415 -- for this test alone

    root = parsed(html_of(replace(report(), history=None)))
    assert list(root.iter("svg")) == []


def charts(**more: Any) -> ET.Element:
    _, slices, _ = recorded(**more)
    happenings = (told(100.7, "died", "r2"), told(100.705, "failed", "r2"))
    return ET.fromstring(Charts(History(100.0, 2.0, slices.traffic(), happenings)).svg())  # noqa: S314 -- our own


def test_the_stack_is_as_high_as_all_calls_and_events_stand_at_their_time() -> None:
    root = charts(fail=False)
    areas = [path for path in root.iter("path") if (path.get("class") or "").startswith("s")]
    assert [area.findtext("title") for area in areas] == ["r1", "r2", "r3"]
    numbers = [
        float(pair.split()[1]) for pair in (areas[-1].get("d") or "").strip("MZ").replace("L", ",").split(",") if pair
    ]
    ticks = [text.text for text in root.iter("text") if text.get("class") == "tick end"]
    assert ticks[:3] == ["0", "50", "100"]
    assert min(numbers) == pytest.approx(62.0)  # 100 a second reach the top line
    letters = [text for text in root.iter("text") if text.text in ("a", "b")]
    first, second = (float(text.get("x") or 0) for text in letters)
    assert first == pytest.approx(58 + (WIDTH - 70) * 0.7 / 2.1, abs=1)
    assert second - first < 5
    assert letters[0].get("y") != letters[1].get("y")


def test_failures_have_a_chart_only_where_there_are_any() -> None:
    names = [[t.text for t in charts(fail=fail).iter("text") if t.get("class") == "name"] for fail in (True, False)]
    assert names == [
        ["calls per second", "failed calls", "latency in ms, p50 and p99"],
        ["calls per second", "latency in ms, p50 and p99"],
    ]


def test_more_backends_than_colours_share_the_last() -> None:
    _, slices, _ = recorded(replicas=20)
    found = series_of(slices.traffic())
    assert len(found) == 8
    assert found[-1][0] == "13 others"
    assert sum(sum(row) for _, row in found) == 199


def test_a_run_without_a_call_is_drawn() -> None:
    empty = History(100.0, 0.0, TrafficRecorder(100.0).traffic(), ())
    assert ET.fromstring(Charts(empty).svg()).tag == "svg"  # noqa: S314 -- our own


@pytest.mark.parametrize(
    ("value", "top"), [(0, 1), (1, 1), (1.2, 1.5), (31, 40), (3100, 4000), (0.07, 0.08), (9.9, 10)]
)
def test_an_axis_ends_at_the_next_round_number(value: float, top: float) -> None:
    assert round_up(value) == pytest.approx(top)
