"""What people and build servers read of a scenario that was played, and the files that come with lbdemo."""

from __future__ import annotations

from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest

from lb_client.paper import Paper
from lb_client.scenario import shipped
from lb_client.scenario.judge import judge
from lb_client.scenario.junit import as_xml
from lb_client.scenario.outcome import Outcome
from lb_client.scenario.page import page_of
from lb_client.scenario.played import Done, Happened
from tests.support.scenarios import BEGIN_S, in_turn, played, scenario

TEXT = """\
name: A play
about: What it shows.
calls: {duration: 10s, concurrency: 4}
steps:
  - {at: 1s, every: 1s, until: 6s, kill: any}
  - {at: 7s, pause: r3}
expect:
  - calls: 900
  - failed: at least 1
"""
PLAY = scenario(TEXT)
KILL, PAUSE = PLAY.steps
PLAYED = played(
    in_turn("r1 r2 r3", 900),
    done=[
        *(Done(KILL, BEGIN_S + n, BEGIN_S + n + 0.3, ("r2",)) for n in range(1, 6)),
        Done(PAUSE, BEGIN_S + 7, BEGIN_S + 7, error="r3 is gone"),
    ],
    happened=[Happened(BEGIN_S + 1.01, "r2", "died"), Happened(BEGIN_S + 1.2, "r2", "serving")],
)
OUTCOME = Outcome(
    scenario=PLAY, seed=7, elapsed_s=11.2, played=PLAYED, judged=tuple(judge(PLAYED, e) for e in PLAY.expectations)
)


def test_page_tells_what_was_done_and_what_was_expected() -> None:
    assert page_of(OUTCOME, Paper(80)) == [
        "",
        " A play",
        " What it shows.",
        "",
        "    0.00 s  calls begin: 4 at a time, round_robin over 3 replicas",
        "    1.00 s  kill any (r2)  done after 300 ms",
        "              r2 died +10 ms · r2 serving +200 ms",
        "    2.00 s  kill any (r2)  done after 300 ms",
        "    3.00 s  kill any, every 1 s: 5 times in all",
        "    7.00 s  pause r3: r3 is gone",
        "   10.00 s  calls end",
        "",
        " ✔ calls: 900          900",
        " ✘ failed: at least 1  0",
        "",
        " ✘ Failed: 1 of 2 expectations not met, 1 step not done, 11.2 s, seed 7",
        "   test.yaml:9: failed: at least 1",
        "   test.yaml:6: r3 is gone",
        "",
    ]


def test_page_in_ascii_has_nothing_else() -> None:
    assert "\n".join(page_of(OUTCOME, Paper(80, ascii_only=True))).isascii()


@pytest.mark.parametrize("width", [40, 60, 100, 160])
def test_page_fits_its_width(width: int) -> None:
    assert [line for line in page_of(OUTCOME, Paper(width)) if len(line) > max(width, 75)] == []


def test_scenario_that_was_not_played_says_why() -> None:
    lines = page_of(Outcome(scenario=PLAY, seed=7, error="no room"), Paper(80))
    assert lines[-2] == " ✘ Not played: no room"
    stopped = replace(OUTCOME, judged=(), interrupted=True)
    assert " ✘ Interrupted: nothing is judged, nothing is left running" in page_of(stopped, Paper(80))


def test_passed_is_only_what_was_played_done_and_met() -> None:
    met = tuple(judged for judged in OUTCOME.judged if judged.passed)
    sound = replace(OUTCOME, judged=met, played=replace(PLAYED, done=PLAYED.done[:-1]))
    assert sound.passed
    assert not replace(sound, judged=OUTCOME.judged).passed
    assert not replace(sound, played=PLAYED).passed
    assert not replace(sound, error="lost").passed
    assert not replace(sound, interrupted=True).passed
    assert not replace(sound, judged=()).passed


def test_build_servers_get_a_suite_for_each_scenario() -> None:
    broken = Outcome(scenario=replace(PLAY, name="<&\"'\x07>"), seed=7, error="it is <gone>")
    root = ET.fromstring(as_xml([OUTCOME, broken]))  # noqa: S314 -- our own
    one, other = root.findall("testsuite")
    assert {key: one.get(key) for key in ("name", "tests", "failures", "errors", "time")} == {
        "name": "A play",
        "tests": "3",
        "failures": "2",
        "errors": "0",
        "time": "11.200",
    }
    cases = one.findall("testcase")
    assert [case.get("name") for case in cases] == ["calls: 900", "failed: at least 1", "pause r3"]
    assert [len(case.findall("failure")) for case in cases] == [0, 1, 1]
    assert (other.get("name"), other.get("errors")) == ("<&\"'?>", "1")
    (error,) = other.iter("error")
    assert error.get("message") == "it is <gone>"


def test_json_is_what_was_done_and_seen() -> None:
    told = OUTCOME.as_dict()
    assert told["passed"] is False
    assert told["steps"][-1] == {
        "line": 6,
        "name": "pause r3",
        "step": "pause r3",
        "replicas": [],
        "begin_s": 7.0,
        "end_s": 7.0,
        "error": "r3 is gone",
    }
    assert told["events"][0] == {"at_s": 1.01, "replica": "r2", "kind": "died", "detail": ""}
    assert [one["line"] for one in told["expectations"]] == [8, 9]


@pytest.mark.parametrize("name", shipped.names())
def test_shipped_scenario_is_sound_and_tells_of_itself(name: str) -> None:
    data = shipped.data(name)
    assert data is not None
    text = data.decode()
    found = scenario(text)
    assert found.about
    assert text.startswith("# ")
    assert ("https://github.com/grpc/" in text) == name.startswith("interop-")


def test_scenarios_that_the_lab_promises_are_there() -> None:
    assert {
        "rolling-restart", "kill-under-load", "freeze", "slow-replica", "poisoned-replica", "zone-outage",
        "flapping-health", "thundering-scale-up", "control-plane-outage", "interop-ping-pong", "interop-round-robin",
        "interop-backends-restart", "interop-secondary-locality-on-primary-failure", "interop-traffic-splitting",
    } <= set(shipped.names())  # fmt: skip
    assert shipped.data("none") is None
