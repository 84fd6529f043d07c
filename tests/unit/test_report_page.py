from __future__ import annotations

import io
from typing import Any

import pytest

from lb_client.channelz import Traffic
from lb_client.driver import Run
from lb_client.membership import Event, Member, Membership, MemberState
from lb_client.paper import Paper
from lb_client.phrases import and_more, counted, duration, listed, printable, to_ascii
from lb_client.records import CallRecord, CallRecorder
from lb_client.report import Question, Report, build_report
from lb_client.report_table import MAX_ROWS, asked, page_of
from lb_client.warmup import WarmUp

REQUESTED = {"count": 100, "concurrency": 1, "deadline_s": 5.0, "method": "helloworld.Greeter/SayHello"}


def report_of(
    calls: dict[str, int], *, failed: int = 0, target: str = "dir:///run/lbdemo/default/greeter", **more: Any
) -> Report:
    recorder = CallRecorder()
    for name, number in calls.items():
        for n in range(number):
            recorder.add(
                CallRecord(
                    100.0 + n / 1000, 0.00064, replica=name, address=f"127.0.0.1:{5000 + len(name)}" if name else ""
                )
            )
    for _ in range(failed):
        recorder.add(CallRecord(100.0, 0.1, "UNAVAILABLE", "connection\x1b[31m refused\nby nobody"))
    facts: dict[str, Any] = {"looks": (Membership(99.0, ()),), "events": (), "traffic": {}, "bound": 1, **more}
    return build_report(
        Question(target=target, policy="round_robin", requested=REQUESTED),
        run=Run(100.0, 0.08),
        recorder=recorder,
        warm_up=WarmUp(0.012, complete=True, connected=("127.0.0.1:5002",)),
        **facts,
    )


@pytest.mark.parametrize("width", [80, 100, 120])
def test_page_fits_its_width_and_has_no_trailing_blanks(width: int) -> None:
    page = page_of(report_of({"r1": 34, "r2": 33, "r3": 33}, failed=3), Paper(width=width))
    assert all(len(line) <= width and line == line.rstrip() for line in page.splitlines())


def test_who_is_announced_and_never_takes_calls_is_named() -> None:
    ill = Member("127.0.0.1:9", "r9", MemberState.UNHEALTHY)
    well, left = Member("127.0.0.1:8", "r8"), Member("127.0.0.1:7", "r7", MemberState.DRAINING)
    looks = (Membership(99.0, (left, well, ill)), Membership(100.1, (well, ill)))
    report = report_of({"r8": 2}, looks=looks, events=(Event(100.1, "left", left),))
    assert [line for line in report.verdict.reasons if "announced" in line] == [
        "announced, and not to be called: r9 unhealthy"
    ]
    back = (Membership(99.0, (ill,)), Membership(100.1, (Member("127.0.0.1:9", "r9"),)))
    assert not any("announced" in line for line in report_of({"r9": 2}, looks=back).verdict.reasons)


def test_page_says_what_matters() -> None:
    page = page_of(report_of({"r1": 34, "r2": 33, "r3": 33}), Paper())
    for words in (
        "round_robin over dir:///run/lbdemo/default/greeter",
        "34.0%",
        "0.64",
        "helloworld.Greeter/SayHello, 100 calls, 1 at a time, deadline 5 s",
        "100 calls in 80 ms, 1,250/s",
        "OK 100",
        "✔ Even: 100 calls over 3 endpoints, 34/33/33.",
        "expected: 33 or 34 calls on each of 3 endpoints",
    ):
        assert words in page


def test_plain_page_has_no_colours_and_a_coloured_one_has_the_same_text() -> None:
    report = report_of({"r1": 3}, failed=1)
    plain, coloured = page_of(report, Paper()), page_of(report, Paper(colour=True))
    assert "\x1b" not in plain
    assert "\x1b[31m" in coloured


def test_even_spread_is_green_only_when_no_call_failed() -> None:
    good, bad = "\x1b[1;32m✔\x1b[0m", "\x1b[1;33m✔\x1b[0m"
    assert good in page_of(report_of({"r1": 3, "r2": 3}), Paper(colour=True))
    assert bad in page_of(report_of({"r1": 3, "r2": 3}, failed=1), Paper(colour=True))


def test_ascii_page_is_ascii() -> None:
    page = page_of(report_of({"r1": 34, "r2": 10, "ä": 1}, failed=1), Paper(ascii_only=True))
    assert page.isascii()
    assert "####" in page


def test_what_a_server_sends_cannot_steer_the_terminal() -> None:
    page = page_of(report_of({"r\x1b]0;evil\x07": 3}, failed=2), Paper())
    assert "\x1b" not in page
    assert "\x07" not in page


def test_failed_calls_are_told_with_their_reason() -> None:
    page = page_of(report_of({"r1": 3}, failed=2), Paper())
    assert "2 calls failed: 2 UNAVAILABLE" in page
    assert "no backend known" in page


def test_unknown_figures_are_dashes() -> None:
    page = page_of(report_of({"": 4}, traffic={"10.0.0.1:1": Traffic(2, 0), "10.0.0.2:1": Traffic(2, 0)}), Paper())
    assert page.count(" —") >= 6
    assert "do not say who they are" in page


def test_long_table_is_cut_in_the_middle() -> None:
    page = page_of(report_of({f"r{n}": 1 for n in range(1, 101)}), Paper())
    assert page.count("127.0.0.1") == MAX_ROWS
    assert " … 60 more" in page
    assert "r100" in page


def test_events_stand_with_their_time() -> None:
    event = Event(100.5, "joined", Member("127.0.0.1:9", "r9"))
    assert "events   +0.50 s  r9 joined" in page_of(report_of({"r1": 3}, events=(event,)), Paper())


def test_long_target_is_folded() -> None:
    target = f"ipv4:{','.join(f'127.0.0.1:{port}' for port in range(50000, 50030))}"
    page = page_of(report_of({"r1": 3}, target=target), Paper(width=80))
    assert "127.0.0.1:50029" in page.replace("\n", "").replace(" ", "")
    assert max(map(len, page.splitlines())) <= 80


@pytest.mark.parametrize(
    ("requested", "words"),
    [
        ({"count": 1, "concurrency": 1, "deadline_s": 0.5}, "1 call, 1 at a time, deadline 500 ms"),
        (
            {"count": None, "duration_s": 20.0, "concurrency": 64, "deadline_s": 5},
            "calls for 20 s, 64 at a time, deadline 5 s",
        ),
        (
            {"count": 1000, "duration_s": 1.0, "rate": 2500.0, "concurrency": 9, "deadline_s": 5},
            "1,000 calls, at most 1 s, 2,500/s on schedule, at most 9 in flight, deadline 5 s",
        ),
    ],
)
def test_request_is_repeated_in_words(requested: dict[str, Any], words: str) -> None:
    assert asked(requested) == words


def test_colours_only_where_they_are_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        encoding = "utf-8"

        def isatty(self) -> bool:
            return True

    assert Paper.of(Terminal()).colour
    assert not Paper.of(io.StringIO()).colour
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert Paper.of(io.StringIO()).colour
    monkeypatch.setenv("NO_COLOR", "1")
    assert not Paper.of(Terminal()).colour
    monkeypatch.setenv("COLUMNS", "77")
    assert Paper.of(Terminal()).width == 77


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.00064, "640 µs"),
        (0.0123, "12.3 ms"),
        (0.5, "500 ms"),
        (1, "1 s"),
        (99.94, "99.9 s"),
        (0.00099999, "1 ms"),
        (0.9996, "1 s"),
        (125, "2 m 5 s"),
        (3600, "60 m"),
    ],
)
def test_durations_read_well(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_words() -> None:
    assert [counted(n, "call") for n in (0, 1, 1234)] == ["0 calls", "1 call", "1,234 calls"]
    assert listed(["a"]) == "a"
    assert listed(["a", "b", "c"]) == "a, b and c"
    assert listed([]) == ""
    assert and_more(["a", "b", "c"], 3) == "a, b and c"
    assert and_more(["a", "b", "c", "d"], 2) == "a, b and 2 more"
    assert printable("a\x1b\n") == "a??"
    assert to_ascii("µ…✔€") == "u...+?"
