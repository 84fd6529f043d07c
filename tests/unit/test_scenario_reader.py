"""A scenario's file: what is understood, and what is refused with its place and the nearest word."""

from __future__ import annotations

import pytest

from lb_client.scenario import tree
from lb_client.scenario.model import END, Moment, Whom
from tests.support.scenarios import HEAD, expectation, refusal, refusal_of_bytes, scenario

WHOLE = """\
name: A play
about: >
  Two sentences,
  folded.
cluster:
  replicas: 4
calls:
  duration: 1m
  rate: 100
  deadline: 500ms
steps:
  - at: 1s
    kill: r2
  - {at: 2s, every: 500ms, until: 4s, health: r3, status: not-serving}
  - {at: 5s, name: slow, fault: [r1, r4], latency: 50ms, rate: 30%, for: 2s}
  - {at: 2s after slow done, restart: rolling}
expect:
  - failed: at most 3
  - {calls: 0, replica: r2, from: kill r2, until: 1s after kill r2}
  - share: 25% ± 1%
    replica: each
    until: 1s
"""


def test_whole_scenario_is_understood() -> None:
    found = scenario(WHOLE)
    assert (found.name, found.about, found.source) == ("A play", "Two sentences, folded.", "test.yaml")
    assert found.plan.replicas == 4
    assert (found.calls.duration_s, found.calls.rate, found.calls.deadline_s) == (60.0, 100.0, 0.5)
    kill, flap, slow, roll = found.steps
    assert (kill.name, kill.at, kill.whom, kill.place) == ("kill r2", Moment(offset_s=1.0), Whom(("r2",)), (13, 5))
    assert (flap.every_s, flap.until, dict(flap.options)) == (0.5, Moment(offset_s=4.0), {"status": "not-serving"})
    assert slow.text == "fault r1, r4, latency 50ms, rate 30%, for 2s"
    assert (roll.name, roll.at) == ("restart rolling", Moment("slow", done=True, offset_s=2.0))
    failed, calls, share = found.expectations
    assert failed.text == "failed: at most 3"
    assert calls.text == "calls of r2: 0, from kill r2, until 1s after kill r2"
    assert share.text == "share of each replica: 25% ± 1%, until 1s"
    assert (share.place, share.end, failed.end) == ((20, 5), Moment(offset_s=1.0), END)


def test_words_that_yaml_would_take_for_something_else_stay_words() -> None:
    found = scenario("name: on\ncalls: {duration: 10s}\nexpect: [{failed: none}]\n")
    assert found.name == "on"
    assert found.expectations[0].text == "failed: none"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (b"", "test.yaml: nothing is in it: a scenario has 'calls:', 'steps:' and 'expect:'"),
        (b"# nothing yet\n\n", "test.yaml: nothing is in it: a scenario has 'calls:', 'steps:' and 'expect:'"),
        (b"hello", "test.yaml:1:1: 'hello' is no scenario: it begins with 'name:' or 'calls:'"),
        (b"- kill: r2\n", "test.yaml:1:1: a list is no scenario: write it as 'word: value', a line each"),
        (b"name: x\n", "test.yaml:1:1: no calls: a scenario needs 'calls:' with their 'duration:'"),
        (b"calls:\nexpect: [failed: 0]", "test.yaml:1:1: 'calls:' is empty"),
        (b"calls: {rate: 5}\nexpect: [failed: 0]", "test.yaml:1:8: calls needs 'duration: \u2026'"),
        (b"calls: {duration: 5}\nexpect: [failed: 0]",
         "test.yaml:1:19: '5' is no length of time: write 500ms, 2s or 1m"),
        (b"calls: {duration: 5s, until: x}\nexpect: [failed: 0]",
         "test.yaml:1:23: 'duration' and 'until' both say when calls end: leave one away"),
        (b"calls: {until: 5s}\nexpect: [failed: 0]",
         "test.yaml:1:16: 'until' hangs on a step, as '2s after restart rolling done'; a time is a 'duration'"),
        (b"calls: {until: kill r2 done}\nsteps: [{at: 1s, kill: r1}]\nexpect: [failed: 0]",
         "test.yaml:1:16: no step is called 'kill r2': did you mean 'kill r1'?"),
        (b"calls: {until: kill r1 done}\nsteps: [{at: 1s before end, kill: r1}]\nexpect: [failed: 0]",
         "test.yaml:2:14: nobody knows before when these calls end: name a time, or another step"),
        (b"calls: {duration: 5h}\nexpect: [failed: 0]",
         "test.yaml:1:19: '5h' is no length of time: write 500ms, 2s or 1m"),
        (b"calls: {duration: 99m}\nexpect: [failed: 0]",
         "test.yaml:1:19: 'duration: 99m' makes no sense: 0.1s to 3600s are possible"),
        (b"calls: {duration: 5s}\n",
         "test.yaml:1:1: nothing is expected: a scenario needs 'expect:', such as '- failed: 0'"),
        (b"calls: {duration: 5s}\ncluster: {replicas: 1001}\nexpect: [failed: 0]",
         "test.yaml:2:21: 'replicas: 1001' makes no sense: 1 to 1,000 are possible"),
        (b"calls: {duration: 5s}\ncalls: {duration: 5s}\n",
         "test.yaml:2:1: 'calls' stands here twice: first in line 1"),
        (b"calls: {duration: 5s, polcy: x}\nexpect: [failed: 0]",
         "test.yaml:1:23: 'polcy' is no word of calls: did you mean 'policy'?"),
        (b"calls: {duration: 5s, policy: round_robbin}\nexpect: [failed: 0]",
         "test.yaml:1:31: 'round_robbin' is no policy: did you mean 'round_robin'?"),
        (b"cals: {duration: 5s}\n", "test.yaml:1:1: 'cals' is no word of a scenario: did you mean 'calls'?"),
        (b"calls: {duration: 5s\n", "test.yaml:2:1: no YAML: expected ',' or '}', but got '<stream end>'"),
        (b"calls:\n\tduration: 5s\n", "test.yaml:2:1: a tab at the beginning of a line: YAML takes blanks only"),
        (b"calls: {duration: 5s, zone: a}\nexpect: [failed: 0]",
         "test.yaml:1:29: no replica is in zone 'a': write 'zones: …' to 'cluster:'"),
        (b"calls: {duration: 5s, zone: c}\ncluster: {zones: [a, b]}\nexpect: [failed: 0]",
         "test.yaml:1:29: no replica is in zone 'c': known here are a, b"),
        (b"name: x: y\n", "test.yaml:1:8: a second colon in one line: put the text into quotes, or begin a new line"),
        (b"a: &x 1\ncalls: *x\n", "test.yaml:2:8: aliases are not for scenarios: write it out"),
        (b"calls: !!python/name:os.system x\n",
         "test.yaml:1:8: the tag tag:yaml.org,2002:python/name:os.system is not for scenarios: leave it away"),
        (b"name: \xff\n", "test.yaml:1:7: no UTF-8 text: a scenario is a YAML file"),
        (b"name: a\n---\nname: b\n", "test.yaml:2:1: a second document begins here: one file is one scenario"),
        (b"name: a\x00b\n", "test.yaml:1:8: the character '\\x00' is none that YAML allows"),
        (b"[" * 5000, "test.yaml: lists within lists without end: a scenario is three levels deep"),
        (b"x: " + b"[" * 20 + b"]" * 20,
         "test.yaml:1:12: lists within lists within lists: a scenario is three levels deep"),
        (b"#" * (tree.MAX_BYTES + 1), "test.yaml: 262,145 bytes are too many for a scenario: 256 KiB are the most"),
    ],
)  # fmt: skip
def test_file_that_is_no_scenario_is_refused(text: bytes, line: str) -> None:
    assert refusal_of_bytes(text) == line


@pytest.mark.parametrize(
    ("step", "line"),
    [
        ("{at: 1s, kil: r2}", "10: 'kil' is no word of a step: did you mean 'kill'?"),
        ("{at: 1s}", "1: nothing is done in this step: add a line such as 'kill: r2'"),
        ("{kill: r2}", "1: a step needs 'at: …'"),
        ("{at: 1s, kill: }", "10: 'kill:' has no value"),
        ("{at: 1s, kill: r2, drain: r2}", "20: 'kill' and 'drain' in one step: write two, each with its 'at:'"),
        ("{at: 1s, kill: r9}", "10: r9 is not there to kill then: there are r1 to r3"),
        ("{at: 1s, kill: two}", "16: 'two' is nobody to kill: known here are r1, r2, r3, all, any, zone a"),
        ("{at: 1s, restart: roling}", "19: 'roling' is nobody to restart: did you mean 'rolling'?"),
        ("{at: 1s, kill: [r1, r1]}", "21: 'r1' stands here twice"),
        ("{at: 1s, scale: 0}", "17: 'scale: 0' makes no sense: 1 to 1,000 are possible"),
        ("{at: 10s, kill: r2}", "6: 'kill r2' at 10s, and the calls end at 10s"),
        ("{at: end, kill: r2}", "6: 'kill r2' at the end of the calls would change nothing: do it earlier"),
        ("{at: 1s, health: r2}", "10: 'health' needs 'status: …'"),
        ("{at: 1s, health: r2, status: ill}",
         "30: 'ill' is no status: known here are serving, not-serving, unknown, own"),
        ("{at: 1s, fault: r2}", "10: a fault needs 'latency: …', 'jitter: …' or 'error: …'; 'clear: r2' takes it back"),
        ("{at: 1s, fault: r2, error: UNAVAILABEL}", "28: 'UNAVAILABEL' is no status code: did you mean 'UNAVAILABLE'?"),
        ("{at: 1s, fault: r2, error: UNAVAILABLE, rate: 130%}",
         "47: 'rate: 130%' makes no sense: more than 0% and at most 100% are possible"),
        ("{at: 1s, fault: r2, latency: fast}", "30: 'fast' is no length of time: write 500ms, 2s or 1m"),
        ("{at: 1s, kill: r2, latency: 5ms}",
         "20: 'latency' is no word of a step: known here are kill, at, every, until, name"),
        ("{at: 1s, kill: r2, until: 5s}", "20: 'until' ends what is done again and again: add 'every: …'"),
        ("{at: 5s, every: 1s, until: 4s, kill: r2}", "28: from 5s until 4s: that ends before it begins"),
        ("{at: after kill r3, kill: r2}", "6: how long 'after kill r3'? write '2s after kill r3', or 'kill r3' alone"),
        ("{at: 1s after kill r3, kill: r2}", "6: no step is called 'kill r3': did you mean 'kill r2'?"),
        ("{at: 1s after kill r2, kill: r2}", "6: '1s after kill r2' waits for a step below it: write that one first"),
        ("{at: soon, kill: r2}", "6: no step is called 'soon': known here are kill r2, start, end"),
        ("{at: 2s afer kill r2, kill: r2}", "6: 'afer' is no word of a moment: did you mean 'after'?"),
        ("{at: 1s befor end, kill: r2}", "6: 'befor' is no word of a moment: did you mean 'before'?"),
        ("{at: 11s before end, kill: r2}", "6: '11s before end' is before the first call: they last 10s"),
        ("{at: 1s, every: 1s, until: 11s, kill: r2}", "28: 'until 11s' is after the end of the calls, at 10s"),
        ("{at: 1s, kill: zone b}", "10: no replica is in zone 'b': write 'zones: …' to 'cluster:'"),
        ("{at: 1s, kill: version v2}", "10: no replica is of version 'v2': did you mean 'v1'?"),
        ("{at: 1s, name: end, kill: r2}", "16: 'end' is no name for a step: it means that of the calls"),
        ("{at: 1s, resume: r2}", "10: r2 is not paused then: nothing to resume"),
        ("kill r2", "1: 'kill r2' is no step: write it as 'word: value', a line each"),
    ],
)  # fmt: skip
def test_step_that_cannot_be_played_is_refused_with_its_column(step: str, line: str) -> None:
    # In the third line, three columns in: the columns above count from there.
    told = refusal(f"{HEAD}steps:\n  - {step}\nexpect: [failed: 0]\n")
    column, _, text = line.partition(": ")
    assert told == f"test.yaml:3:{int(column) + 4}: {text}"


@pytest.mark.parametrize(
    ("steps", "line"),
    [
        ("{at: 1s, pause: r2}|{at: 2s, pause: r2}", "r2 is paused already, since line 3"),
        ("{at: 1s, pause: r2}|{at: 1s, kill: r2}",
         "r2 at 1s: 'pause' (line 3) and 'kill' at once: give one of them another time"),
        ("{at: 1s, drain: r2}|{at: 2s, kill: r2}",
         "r2 was drained in line 3 and has no process then: 'restart' it first"),
        ("{at: 1s, pause: r2}|{at: 2s, drain: r2}", "r2 is paused then (line 3), and does not hear: 'resume' it first"),
        ("{at: 1s, scale: 4}|{at: 500ms, kill: r4}", "r4 is not there to kill then: there are r1 to r3"),
        ("{at: 1s, kill: r1}|{at: 2s, kill: r1}|{at: 3s after kill r1, kill: r2}",
         "several steps are called 'kill r1': give the one you mean a 'name:'"),
    ],
)  # fmt: skip
def test_steps_that_contradict_each_other_are_refused(steps: str, line: str) -> None:
    lines = "\n".join(f"  - {step}" for step in steps.split("|"))
    assert refusal(f"{HEAD}steps:\n{lines}\nexpect: [failed: 0]\n").endswith(f": {line}")


@pytest.mark.parametrize(
    "steps",
    [
        "{at: 1s, pause: r2}|{at: 2s, resume: r2}|{at: 3s, pause: r2}",
        "{at: 1s, drain: r2}|{at: 2s, restart: r2}|{at: 3s, kill: r2}",
        "{at: 1s, drain: all}|{at: 2s, restart: all}|{at: 3s, kill: r2}",
        "{at: 1s, scale: 4}|{at: 2s, kill: r4}",
        "{at: 1s, up: v2}|{at: 2s, kill: version v2}|{at: 3s, kill: version v1}",
        "{at: 1s, fault: r2, jitter: 5ms}",
        "{at: 1s, kill: r2}|{at: 1s, kill: r3}",
        "{at: 1s, fault: r2, latency: 5ms}|{at: 1s, health: r2, status: not-serving}",
        "{at: 1s, every: 1s, pause: r2}|{at: 1500ms, every: 1s, resume: r2}",
    ],
)
def test_steps_that_fit_together_are_taken(steps: str) -> None:
    lines = "\n".join(f"  - {step}" for step in steps.split("|"))
    assert scenario(f"{HEAD}steps:\n{lines}\nexpect: [failed: 0]\n").steps


@pytest.mark.parametrize(
    ("entry", "line"),
    [
        ("faild: 0", "4: 'faild' is no word of an expectation: did you mean 'failed'?"),
        (
            "failed: few",
            "12: 'failed: few' makes no sense: write 0, at most 8, more than 100, 20 to 30, or 'only in flight'",
        ),
        ("failed: 0, calls: 3", "15: 'failed' and 'calls' in one expectation: write two, each with its own '- '"),
        ("failed: 0, replica: r7", "4: r7 never is in this cluster: there are r1 to r3"),
        ("failed: 0, replica: reach", "24: 'reach' is no replica: did you mean 'each'?"),
        ("failed: 0, status: LOST", "23: 'LOST' is no status code, such as UNAVAILABLE or DEADLINE_EXCEEDED"),
        ("failed: 0, form: 2s", "15: 'form' is no word of an expectation: did you mean 'from'?"),
        ("failed: 0, from: 11s", "21: '11s' is no earlier than the end of the calls, at 10s"),
        ("failed: 0, until: 11s", "22: 'until 11s' is after the end of the calls, at 10s"),
        ("failed: 0, from: 3s, until: 2s", "32: from 3s until 2s: that ends before it begins"),
        ("failed: 0, from: kill r2", "21: no step is called 'kill r2': known here are start, end"),
        ("share: 120%, replica: r2", "11: 'share: 120%' is over 100%"),
        ("share: at least 120%", "11: 'share: at least 120%' is over 100%"),
        ("p99: at most 50", "9: 'p99: at most 50' makes no sense: write at most 50ms, less than 1s, 1s to 2s"),
        ("calls: 5 to 3", "11: 'calls: 5 to 3' makes no sense: write 0, at most 8, more than 100, 20 to 30"),
        ("shares: {r1: 5}", "12: 'shares' says who gets how much: {r1: 5, r2: 3, r3: 2}"),
        ("shares: {r1: 5, r2: much}", "24: how much for 'r2'? write a number"),
        ("order: [r2 died]", "11: an order needs two events or more: [r2 paused, r2 resumed]"),
        ("order: [r2 dead, r2 left]", "12: 'dead' is no event: did you mean 'died'?"),
        ("order: [r2 died, r2 lef]", "21: 'lef' is no event: did you mean 'left'?"),
        ("order: [two died, r2 left]", "12: 'two' is no replica: write 'r2 died', or 'died' for anybody's"),
        ("order: [r7 died, r2 left]", "4: r7 never is in this cluster: there are r1 to r3"),
        ("from: 2s", "3: what is expected? add a line such as 'failed: 0'"),
    ],
)
def test_expectation_that_makes_no_sense_is_refused_with_its_column(entry: str, line: str) -> None:
    column, _, text = line.partition(": ")
    told = refusal(f"{HEAD}expect:\n- {{{entry}}}\n")
    assert told == f"test.yaml:3:{column}: {text}"


def test_bigger_than_of_yaml_gets_advice() -> None:
    told = refusal(f"{HEAD}expect:\n- calls: > 5\n")
    assert (
        told
        == "test.yaml:3:12: YAML reads a value that begins with '>' as a long text: write 'more than …' or 'at least …'"
    )


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        ("calls: 5", [5], [4, 6]),
        ("calls: at most 5", [0, 5], [6]),
        ("calls: less than 5", [4], [5]),
        ("calls: at least 5", [5, 6], [4]),
        ("calls: more than 5", [6], [5]),
        ("calls: <= 5", [5], [6]),
        ("calls: 5 to 7", [5, 7], [4, 8]),
        ("calls: none", [0], [1]),
        ("calls: 1_000", [1000], [999]),
        ("share: 20% ± 2%", [0.18, 0.2, 0.22], [0.17, 0.23]),
        ("share: 20% +- 2%", [0.18, 0.22], [0.17, 0.23]),
        ("share: 0.2 to 0.3", [0.2, 0.3], [0.19]),
        ("p99: less than 1m", [59.9], [60]),
        ("converged: within 500ms", [0.0, 0.5], [0.51]),
        ("p50: 0 to 5ms", [0.005], [0.006]),
    ],
)
def test_comparison_accepts_what_it_says(text: str, inside: list[float], outside: list[float]) -> None:
    expected = expectation(text).expected
    assert expected is not None
    assert [value for value in inside if not expected.accepts(value)] == []
    assert [value for value in outside if expected.accepts(value)] == []
