"""A play is judged: each expectation against calls made of literals, and what is told of it."""

from __future__ import annotations

import pytest

from lb_client.records import CallRecord
from lb_client.scenario import chi_squared
from lb_client.scenario.call_log import CallLog
from lb_client.scenario.judge import judge
from lb_client.scenario.played import Done, Happened
from tests.support.scenarios import BEGIN_S, call, expectation, in_turn, look, played, scenario

EVEN = in_turn("r1 r2 r3", 900)


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("calls: 900", "900"),
        ("failed: 0", "0"),
        ("rate: 90", "90"),
        ("spread: even", "r1 300, r2 300, r3 300"),
        ("spread: 0", "0: r1 300, r2 300, r3 300"),
        ("share: 33% ± 1%, replica: r2", "r2 33.3%"),
        ("share: 33% ± 1%, replica: each", "r1 33.3%, r2 33.3% and r3 33.3%"),
        ("calls: at least 300, replica: [r1, r3]", "r1 300 and r3 300"),
        ("calls: 100, from: 8s", "100"),
        ("calls: 100, until: 1s", "100"),
        ("calls: 100, from: 2s before end, until: 1s before end", "100"),
        ("p99: at most 2ms", "1 ms"),
        ("max: at most 1ms", "1 ms"),
        ("min: at least 1ms, replica: r1", "r1 1 ms"),
        ("shares: {r1: 1, r2: 1, r3: 1}", "r1 33.3%, r2 33.3%, r3 33.3% of 900 calls, p = 1"),
        ("converged: within 1s", "20 ms, r3 last"),
    ],
)
def test_even_play_is_as_expected(text: str, seen: str) -> None:
    judged = judge(played(EVEN), expectation(text))
    assert (judged.passed, judged.seen) == (True, seen)


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("calls: at least 901", "900"),
        ("failed: more than 0", "0"),
        ("share: 50%, replica: each", "r1 33.3%, r2 33.3% and r3 33.3%"),
        ("calls: 300, replica: [r1, r2], until: 1s", "r1 34 and r2 33"),
        ("p50: less than 1ms", "1 ms"),
        ("p50: less than 1ms, from: 9s", "nothing"),
        ("share: at least 1%, from: 9s", "nothing"),
        ("shares: {r1: 5, r2: 3, r3: 2}", "r1 33.3%, r2 33.3%, r3 33.3% of 900 calls, p = 1.1e-29"),
        ("shares: {r1: 1, r2: 1}", "r1 33.3%, r2 33.3% of 900 calls; 300 calls of others"),
        ("spread: even, from: 9s", "no calls"),
        ("converged: within 1s, from: 9s", "no call reached r1, r2 and r3 in 1 s"),
        ("attempts: 900", "nothing"),
    ],
)
def test_even_play_is_not_what_was_not_so(text: str, seen: str) -> None:
    judged = judge(played(EVEN), expectation(text))
    assert (judged.passed, judged.seen) == (False, seen)


def test_failed_calls_are_told_by_status() -> None:
    calls = [*EVEN, call(5, status="UNAVAILABLE"), call(5.1, "", "UNAVAILABLE"), call(5.2, "r2", "INTERNAL")]
    assert judge(played(calls), expectation("failed: 0")).seen == "3 (UNAVAILABLE 2 and INTERNAL 1)"
    assert judge(played(calls), expectation("failed: 1, status: INTERNAL")).passed
    assert judge(played(calls), expectation("failed: 1, replica: r2")).passed
    assert not judge(played(calls), expectation("failed: 0, from: 5s, until: 6s")).passed


def test_spread_of_one_more_than_it_may_be_is_uneven() -> None:
    calls = [*in_turn("r1 r2 r3", 30), call(9, "r1"), call(9, "r1")]
    assert judge(played(calls), expectation("spread: even")).passed
    assert not judge(played([*calls, call(9, "r1")]), expectation("spread: even")).passed


def test_spread_is_that_of_those_who_could_take_calls_all_the_time() -> None:
    calls = [*in_turn("r1 r2", 100), *in_turn("r1 r2 r3", 300, begin_s=1)]
    looks = [look(0, "r1 r2"), look(1, "r1 r2 r3")]
    told = judge(played(calls, looks=looks), expectation("spread: even"))
    assert told.seen == "r1 150, r2 150"
    assert judge(played(calls, looks=looks), expectation("spread: even, from: 1s")).seen == "r1 100, r2 100, r3 100"


def test_each_takes_in_who_came_later() -> None:
    looks = [look(0, "r1"), look(5, "r1 r2")]
    judged = judge(played(in_turn("r1", 100), looks=looks), expectation("calls: at least 1, replica: each"))
    assert (judged.passed, judged.seen) == (False, "r1 100 and r2 0: not r2")


def test_zone_and_version_narrow_it_down() -> None:
    zones = {"r1": "a", "r2": "b", "r3": "a"}
    play = played(EVEN, zones=zones, versions={"r1": "v1", "r2": "v2", "r3": "v1"})
    assert judge(play, expectation("calls: 600, zone: a")).passed
    assert judge(play, expectation("share: 33% ± 1%, version: v2")).passed
    assert judge(play, expectation("spread: even, zone: a")).seen == "r1 300, r3 300"
    assert judge(play, expectation("shares: {a: 2, b: 1}")).passed
    assert judge(play, expectation("shares: {v1: 66, v2: 33}")).passed


STEPS = "[{at: 2s, kill: r2}, {at: 4s, pause: r3, name: frost}]"


def _play(calls: list, *, error: str = "", **more: object) -> object:  # type: ignore[type-arg]  # of calls
    kill, frost = scenario(f"calls: {{duration: 10s}}\nsteps: {STEPS}\nexpect: [failed: 0]\n").steps
    done = [
        Done(kill, BEGIN_S + 2, BEGIN_S + 2.5, ("r2",), error),
        Done(frost, BEGIN_S + 4, BEGIN_S + 4, ("r3",)),
    ]
    return played(calls, done=done, **more)


def _judge(calls: list, text: str, **more: object) -> tuple[bool, str]:  # type: ignore[type-arg]  # of calls
    judged = judge(_play(calls, **more), expectation(text, steps=STEPS))  # type: ignore[arg-type]  # it is one
    return judged.passed, judged.seen


def test_windows_hang_on_steps() -> None:
    assert _judge(EVEN, "calls: 200, from: kill r2, until: frost") == (True, "200")
    assert _judge(EVEN, "calls: 150, from: kill r2 done, until: frost") == (True, "150")
    assert _judge(EVEN, "calls: 300, from: 2s after frost") == (True, "300")
    assert _judge(EVEN, "calls: 100, from: 1s before kill r2, until: kill r2") == (True, "100")


def test_step_that_was_not_done_fails_what_hangs_on_it() -> None:
    assert _judge(EVEN, "calls: 200, from: kill r2", error="r2 is gone") == (False, "'kill r2' was never done")


def test_window_that_turned_out_empty_fails() -> None:
    assert _judge(EVEN, "failed: 0, from: 3s after kill r2, until: frost") == (
        False,
        "no time between 3s after kill r2 (5.00 s) and frost (4.00 s)",
    )


def test_only_calls_under_way_at_a_kill_may_fail_in_flight() -> None:
    under_way = [call(1.9, "", "UNAVAILABLE", took_s=0.2), call(2.55, "", "UNAVAILABLE")]
    assert _judge([*EVEN, *under_way], "failed: only in flight") == (True, "2 failed, each of them in flight")
    assert _judge([*EVEN, *under_way, call(3, "", "UNAVAILABLE")], "failed: only in flight") == (
        False,
        "3 failed, 1 of them not in flight (UNAVAILABLE 1), the first at 3.00 s",
    )


def test_kill_is_over_with_the_death_of_its_victim() -> None:
    late = [*EVEN, call(2.45, "", "UNAVAILABLE")]
    died = [Happened(BEGIN_S + 2.01, "r2", "died")]
    assert _judge(late, "failed: only in flight", happened=died)[0] is False
    assert _judge([*EVEN, call(2.1, "", "UNAVAILABLE")], "failed: only in flight", happened=died)[0] is True


def test_convergence_is_when_the_last_wrong_call_went_and_everybody_was_called() -> None:
    looks = [look(0, "r1 r2"), look(2.1, "r1 r3")]
    late = [*in_turn("r1 r2", 230), *in_turn("r1 r3", 100, begin_s=2.4)]
    assert _judge(late, "converged: within 1s, from: kill r2", looks=looks) == (True, "410 ms, r3 last")
    assert _judge(late, "converged: within 200ms, from: kill r2", looks=looks) == (False, "410 ms, r3 last")
    astray = [*late, call(2.9, "r2")]
    assert _judge(astray, "converged: within 1s, from: kill r2", looks=looks) == (True, "900 ms")
    failed = [*late, call(3.5, "r3", "UNAVAILABLE")]
    assert _judge(failed, "converged: within 1s, from: kill r2", looks=looks) == (False, "1.5 s")


def test_who_went_and_came_back_is_waited_for() -> None:
    looks = [look(0, "r1 r2 r3"), look(2.1, "r1 r3"), look(2.9, "r1 r2 r3")]
    calls = [*in_turn("r1 r2 r3", 210), *in_turn("r1 r3", 80, begin_s=2.1), *in_turn("r1 r2 r3", 90, begin_s=3.0)]
    assert _judge(calls, "converged: within 2s, from: kill r2", looks=looks) == (True, "1.01 s, r2 last")


def test_events_come_in_order() -> None:
    happened = [
        Happened(BEGIN_S + 2.0, "r2", "died"),
        Happened(BEGIN_S + 2.1, "r2", "left"),
        Happened(BEGIN_S + 2.3, "r2", "serving"),
    ]
    passed, seen = _judge(EVEN, "order: [r2 died, r2 serving]", happened=happened)
    assert (passed, seen) == (True, "r2 died 2.00 s, r2 serving 2.30 s")
    assert _judge(EVEN, "order: [r2 serving, r2 left]", happened=happened) == (
        False,
        "no 'r2 left' after r2 serving 2.30 s",
    )
    assert _judge(EVEN, "order: [r3 died, r2 left]", happened=happened) == (False, "no 'r3 died'")


def test_totals_are_those_of_the_whole_play() -> None:
    totals = {"serving": 3, "lost": 0, "answered-twice": 2}
    assert _judge(EVEN, "serving: 3", totals=totals) == (True, "3")
    assert _judge(EVEN, "answered-twice: none", totals=totals) == (False, "2")


@pytest.mark.parametrize(
    ("statistic", "freedom", "chance"),
    # Tables: Abramowitz and Stegun, 26.8; the last is exp(-x / 2) itself.
    [(3.841, 1, 0.05), (5.991, 2, 0.05), (16.919, 9, 0.05), (1.0, 3, 0.80125), (23.928, 1, 1e-6), (27.631, 2, 1e-6)],
)
def test_chance_of_chi_squared_is_that_of_the_tables(statistic: float, freedom: int, chance: float) -> None:
    assert chi_squared.upper_tail(statistic, freedom) == pytest.approx(chance, rel=1e-3)


def test_who_has_a_share_of_nothing_must_get_nothing() -> None:
    assert chi_squared.likely({"a": 100, "b": 0}, {"a": 1, "b": 0}) == 1.0
    assert chi_squared.likely({"a": 100, "b": 1}, {"a": 1, "b": 0}) == 0.0


def test_log_keeps_calls_and_learns_where_they_were() -> None:
    log = CallLog()
    log.add(CallRecord(5.0, 0.5, "OK", "", "r1", "127.0.0.1:1", 1))
    log.add(CallRecord(6.0, 0.5, "UNAVAILABLE", "gone", number=7))
    log.attribute({7: "r2"})
    assert list(log.between(0, 6)) == [(5.0, 5.5, "OK", "r1", 1)]
    assert list(log.between(6, 7)) == [(6.0, 6.5, "UNAVAILABLE", "r2", 0)]
    assert (log.calls, log.failed, log.retried) == (2, 1, 1)
