"""`lbdemo run`: scenarios are played for real, judged, and gone; what is wrong with a file costs one line."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest

from tests.support.command import LBDEMO, Ran, lbdemo, start_lbdemo, status

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

PASSES = """\
name: A kill and a roll
cluster: {replicas: 3}
calls: {until: 1s after restart rolling done, concurrency: 4, retry: 3}
steps:
  - {at: 300ms, kill: r2}
  - {at: 200ms after kill r2 done, restart: rolling}
expect:
  - failed: 0
  - unaccounted: 0
  - order: [r2 died, r2 serving, r2 drain-begun, r2 drained]
  - converged: within 1s
    from: restart rolling done
  - serving: 3
"""
FAILS = """\
name: Too much asked
calls: {duration: 600ms, rate: 100}
steps:
  - {at: 100ms, fault: r1, error: INTERNAL}
  - {at: 400ms after fault r1 done, kill: r3}
expect:
  - {failed: 0, replica: r2}
  - {failed: 0, replica: r1}
"""


def _run(*args: str | Path) -> Ran:
    return lbdemo("run", *(str(arg) for arg in args))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "play.yaml"


def test_scenario_that_is_as_expected_passes(file: Path) -> None:
    file.write_text(PASSES)
    ran = _run(file)
    assert ran.code == 0, ran
    lines = [line.strip() for line in ran.out.splitlines()]
    assert lines[1] == "A kill and a roll"
    assert any(re.match(r"0\.\d\d s  kill r2", line) for line in lines), ran.out
    assert [line[0] for line in lines if line[:1] in "✔✘" and line] == ["✔"] * 6, ran.out
    assert ran.err.splitlines()[0] == f"{file}: starting 3 replicas"
    assert ran.err.splitlines()[2].endswith(" s  kill r2")


def test_scenario_that_is_not_as_expected_fails_and_says_where(file: Path, tmp_path: Path) -> None:
    file.write_text(FAILS)
    ran = _run(file, "--json", "--seed", "7", "--junit", tmp_path / "junit.xml")
    assert (ran.code, ran.err) == (1, "")
    assert ran.json["passed"] is False
    (told,) = ran.json["scenarios"]
    assert (told["name"], told["source"], told["passed"], told["seed"]) == ("Too much asked", str(file), False, 7)
    well, poisoned = told["expectations"]
    assert (well["passed"], well["line"], well["seen"]) == (True, 7, "r2 0")
    assert (poisoned["passed"], poisoned["line"], poisoned["expected"]) == (False, 8, "failed of r1: 0")
    assert "INTERNAL" in poisoned["seen"]
    assert [step["name"] for step in told["steps"]] == ["fault r1", "kill r3"]
    assert told["steps"][0]["replicas"] == ["r1"]
    assert {"r1 fault", "r3 died"} <= {f"{event['replica']} {event['kind']}" for event in told["events"]}
    assert told["report"]["calls"] == 60
    suite = ET.parse(tmp_path / "junit.xml").getroot().find("testsuite")  # noqa: S314 -- our own
    assert suite is not None
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("2", "1", "0")


def test_step_that_cannot_be_done_fails_the_scenario(file: Path) -> None:
    # Whom `any` takes is known when it is played: nobody, since all were drained.
    steps = "[{at: 100ms, drain: all}, {at: 10ms after drain all done, kill: any}]"
    file.write_text(
        f"cluster: {{replicas: 1}}\ncalls: {{duration: 1500ms}}\nsteps: {steps}\nexpect: [calls: at least 1]\n"
    )
    ran = _run(file)
    assert ran.code == 1, ran
    assert "kill any: no replica serves" in ran.out
    assert "1 step not done" in ran.out
    assert f"{file}:3:" in ran.out


def test_cluster_of_a_failed_scenario_is_kept_when_asked_for(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text("cluster: {replicas: 1}\ncalls: {duration: 200ms}\nexpect: [calls: 0]\n")
    ran = _run(file, "--keep")
    assert ran.code == 1
    (line,) = [line for line in ran.out.splitlines() if "LBDEMO_STATE_DIR=" in line]
    folder = line.partition("LBDEMO_STATE_DIR=")[2].split()[0]
    monkeypatch.setenv("LBDEMO_STATE_DIR", folder)
    assert [replica["id"] for replica in status()["replicas"]] == ["r1"]
    lbdemo("down", ok=True)
    subprocess.run(["rm", "-r", folder], check=True)


def test_clusters_of_yours_are_not_touched(file: Path) -> None:
    lbdemo("up", "--replicas", "1", ok=True)
    try:
        before = status()
        file.write_text(
            "cluster: {replicas: 2}\ncalls: {duration: 200ms}\nexpect: [{calls: at least 1, replica: each}]\n"
        )
        assert _run(file).code == 0
        after = status()
        assert (after["supervisor_pid"], after["replicas"][0]["calls"]) == (before["supervisor_pid"], 0)
    finally:
        lbdemo("down", ok=True)


def test_ctrl_c_in_the_middle_leaves_nothing_running(file: Path) -> None:
    file.write_text("calls: {duration: 30s}\nsteps: [{at: 100ms, pause: r1}]\nexpect: [failed: 0]\n")
    with start_lbdemo("run", str(file)) as running:
        assert running.stderr is not None
        lines = iter(running.stderr.readline, "")
        assert any("pause r1" in line for line in lines)
        running.send_signal(signal.SIGINT)
        out, _ = running.communicate(timeout=20)
    assert running.returncode == 130
    assert "Interrupted" in out


def test_scenario_dies_with_its_cluster_when_it_is_killed(file: Path) -> None:
    file.write_text(
        "cluster: {replicas: 1}\ncalls: {duration: 30s}\nsteps: [{at: 10ms, kill: r1}]\nexpect: [calls: 0]\n"
    )
    with start_lbdemo("run", str(file)) as running:
        assert running.stderr is not None
        assert any("kill r1" in line for line in iter(running.stderr.readline, ""))
        running.kill()
    # The leak check waits for the cluster's end; its folder is swept by whoever comes next.
    file.write_text("cluster: {replicas: 1}\ncalls: {duration: 100ms}\nexpect: [calls: at least 1]\n")
    assert _run(file).code == 0


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("calls: {duration: 1s}\nsteps: [{at: 100ms, kil: r2}]\nexpect: [failed: 0]\n",
         "{file}:2:21: 'kil' is no word of a step: did you mean 'kill'?"),
        ("", "{file}: nothing is in it: a scenario has 'calls:', 'steps:' and 'expect:'"),
        ("calls: [\n", "{file}:2:1: no YAML: expected the node content, but found '<stream end>'"),
    ],
    ids=["typo", "empty", "no YAML"],
)  # fmt: skip
def test_file_that_is_no_scenario_costs_one_line(file: Path, text: str, line: str) -> None:
    file.write_text(text)
    ran = _run(file)
    assert (ran.code, ran.out, ran.only_line) == (2, "", f"lbdemo: {line.format(file=file)}")


def test_sound_one_is_not_played_before_all_are_read(file: Path) -> None:
    file.write_text(PASSES)
    ran = _run(file, "interop-ping-pog")
    assert (ran.code, ran.out) == (2, "")
    assert "did you mean 'interop-ping-pong'?" in ran.only_line


def _refused(args: Sequence[str | Path]) -> str:
    ran = _run(*args)
    assert (ran.code, ran.out) == (2, "")
    return ran.only_line


def test_what_is_no_file_costs_one_line(tmp_path: Path) -> None:
    assert _refused([tmp_path]) == f"lbdemo: {tmp_path} is a folder: name the file of one scenario in it"
    assert "is no file; see 'lbdemo run --list'" in _refused([tmp_path / "none.yaml"])
    assert "which scenario? Name a file" in _refused([])
    assert "--list tells all" in _refused(["freeze", "--list"])
    assert "262,145 bytes are too many" in _refused(["/dev/zero"])
    assert "there is no folder" in _refused(["freeze", "--junit", tmp_path / "no" / "junit.xml"])
    assert "that is a folder; name a file in it" in _refused(["freeze", "--junit", tmp_path])
    assert "--junit /proc/no.xml: " in _refused(["freeze", "--junit", "/proc/no.xml"]), "known before it is played"
    assert "'' names no scenario" in _refused([""])
    assert "is no seed" in _refused(["freeze", "--seed", "-1"])


def test_shipped_scenarios_are_listed_shown_and_checked(file: Path) -> None:
    listed = lbdemo("run", "--list", "--json", ok=True).json["scenarios"]
    assert {"rolling-restart", "interop-round-robin"} <= {one["name"] for one in listed}
    shown = lbdemo("run", "freeze", "--show", ok=True).out
    file.write_text(shown)
    checked = lbdemo("run", str(file), "--check", ok=True).out
    assert checked == f"{file}: sound: 3 replicas, 9 s of calls, 2 steps, 5 expectations\n"


def test_shipped_scenario_is_played_by_its_name() -> None:
    ran = lbdemo("run", "interop-ping-pong", ok=True)
    assert "✔ Passed: 2 expectations met" in ran.out


def test_more_than_one_has_a_line_for_all(file: Path) -> None:
    file.write_text("cluster: {replicas: 1}\ncalls: {duration: 200ms}\nexpect: [calls: 0]\n")
    good = file.with_name("good.yaml")
    good.write_text("cluster: {replicas: 1}\ncalls: {duration: 200ms}\nexpect: [calls: at least 1]\n")
    ran = _run(file, good)
    assert ran.code == 1
    assert ran.out.splitlines()[-1] == f" 1 of 2 scenarios passed; not: {file}"


def test_output_goes_to_a_closed_pipe_without_a_traceback(file: Path) -> None:
    file.write_text("cluster: {replicas: 1}\ncalls: {duration: 100ms}\nexpect: [calls: at least 1]\n")
    read, write = os.pipe()
    os.close(read)
    with subprocess.Popen([*LBDEMO, "run", str(file)], stdout=write, stderr=subprocess.PIPE, text=True) as running:
        os.close(write)
        _, err = running.communicate(timeout=20)
    assert "Traceback" not in err
    assert json.dumps(running.returncode) != "0"
