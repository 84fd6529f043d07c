"""Faults by name, as a user gives them: real processes are frozen, killed, drained, rolled; calls go on meanwhile."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from tests.support.command import LBDEMO, Ran, is_alive, lbdemo, start_lbdemo, status
from tests.support.eventually import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.timeout(90)


@pytest.fixture
def cluster() -> Iterator[dict[str, Any]]:
    lbdemo("up", "-n", "3", ok=True)
    yield status()
    lbdemo("down", ok=True)


def _replica(id: str) -> dict[str, Any]:
    found: dict[str, Any] = next(r for r in status()["replicas"] if r["id"] == id)
    return found


def _serve(*ids: str) -> None:
    assert [r["id"] for r in status()["replicas"]] == list(ids)


def _state_of(pid: int) -> str:
    return str(psutil.Process(pid).status())


def _log(id: str) -> str:
    return (Path(os.environ["LBDEMO_STATE_DIR"]) / "default" / "logs" / f"{id}.log").read_text()


def _all_gone(pids: list[int]) -> None:
    assert [pid for pid in pids if is_alive(pid)] == []


def _pids(cluster: dict[str, Any]) -> list[int]:
    replicas = [r["pid"] for r in cluster["replicas"]]
    nursery = psutil.Process(replicas[0]).parent()
    assert nursery is not None
    return [cluster["supervisor_pid"], nursery.pid, *replicas]


def _kinds(*args: str) -> list[tuple[str, str]]:
    out = lbdemo("events", "--json", *args, ok=True).out
    return [(event["kind"], event["replica"]) for event in map(json.loads, out.splitlines())]


def test_each_act_does_what_it_says_and_is_told(cluster: dict[str, Any]) -> None:
    pid = cluster["replicas"][1]["pid"]
    assert lbdemo("pause", "r2", ok=True).out == "r2 is paused: 'lbdemo resume r2' lets it go on\n"
    assert _state_of(pid) == psutil.STATUS_STOPPED
    assert (_replica("r2")["paused"], _replica("r2")["health"]) == (True, "UNREACHABLE")
    assert lbdemo("pause", "r2", ok=True).out == "r2 is paused already: nothing to do\n"
    refused = lbdemo("fault", "r2", "--latency", "5ms")
    assert (refused.code, refused.only_line) == (
        1,
        "lbdemo: r2 is paused and hears nothing: 'lbdemo resume r2' first",
    )
    lbdemo("resume", "r2", ok=True)
    assert _state_of(pid) != psutil.STATUS_STOPPED
    lbdemo("fault", "r1", "r3", "--latency", "50ms", "--error", "unavailable", "--rate", "30%", ok=True)
    lbdemo("health", "r3", "not-serving", ok=True)
    assert (
        lbdemo("status", ok=True)
        .out.splitlines()[3]
        .endswith("told NOT_SERVING; fault: 50 ms late, UNAVAILABLE, 30% of calls")
    )
    lbdemo("kill", "r1", "r2", ok=True)
    drained = lbdemo("drain", "r3", ok=True)
    assert drained.out.startswith("r3 is stopped, drained in ")
    assert (_replica("r3")["phase"], _replica("r3")["pid"]) == ("STOPPED", 0)
    assert lbdemo("restart", "r3", ok=True).out.startswith("r3 serves again\n1 replica restarted in ")
    assert {("died", "r1"), ("died", "r2"), ("paused", "r2"), ("resumed", "r2"), ("stopped", "r3")} <= set(_kinds())
    assert [kind for kind, _ in _kinds("r3")] == [
        "starting", "serving", "fault", "health", "drain-begun", "drained", "stopped", "starting", "serving",
    ]  # fmt: skip


def test_names_that_are_none_do_nothing_to_those_that_are(cluster: dict[str, Any]) -> None:
    ran = lbdemo("kill", "r1", "R2", "r9")
    assert (ran.code, ran.only_line) == (
        1,
        "lbdemo: no replica 'R2' or 'r9' in cluster 'default': did you mean r2? There are r1, r2, r3",
    )
    assert is_alive(cluster["replicas"][0]["pid"])
    twice = lbdemo("drain", "r1", "r1")
    assert (twice.code, twice.only_line) == (2, "lbdemo drain: r1 is named twice (see lbdemo drain --help)")


def test_last_one_that_drains_is_warned_of_and_nobody_is_left_to_roll(cluster: dict[str, Any]) -> None:
    ran = lbdemo("drain", *(r["id"] for r in cluster["replicas"]), ok=True)
    assert ran.only_line == "lbdemo: no replica of cluster 'default' serves now: calls fail"
    ran = lbdemo("restart", "--rolling")
    assert (ran.code, ran.only_line) == (
        1,
        "lbdemo: no replica runs that could be replaced: 'lbdemo restart R' starts what is stopped",
    )
    assert lbdemo("up", ok=True).out.startswith("3 replicas serve after ")


@pytest.mark.parametrize("ends", ["drain", "kill", "scale", "down"])
def test_frozen_replica_holds_nobody_up(cluster: dict[str, Any], ends: str) -> None:
    frozen = cluster["replicas"][2]["pid"]
    lbdemo("pause", "r3", ok=True)
    command = {"scale": ["scale", "2"], "down": ["down"]}.get(ends, [ends, "r3"])
    lbdemo(*command, ok=True)
    eventually(lambda: _all_gone([frozen]), within_s=3)  # long before it would be killed for taking too long
    assert ("drains (SIGTERM)" in _log("r3")) is (ends != "kill")


@pytest.mark.parametrize("dies", ["supervisor", "nursery", "both"])
def test_frozen_replica_outlives_nobody(cluster: dict[str, Any], dies: str) -> None:
    supervisor, nursery, *replicas = _pids(cluster)
    lbdemo("pause", "r2", ok=True)
    for pid in {"supervisor": [supervisor], "nursery": [nursery], "both": [nursery, supervisor]}[dies]:
        os.kill(pid, signal.SIGKILL)
    eventually(lambda: _all_gone([supervisor, nursery, *replicas]), within_s=10)
    assert all("drains (its supervisor is gone)" in _log(f"r{n}") for n in (1, 2, 3)), "nobody was cut off"


def _under_load(*command: str) -> tuple[Ran, dict[str, Any]]:
    """Do it while calls run: how it ended, and the report of the calls."""
    load = subprocess.Popen(
        [*LBDEMO, "call", "--duration", "3s", "--concurrency", "16", "--json"], stdout=subprocess.PIPE, text=True
    )

    def runs() -> None:
        assert sum(int(r["calls"]) for r in status()["replicas"]) > 100

    eventually(runs, within_s=20)
    ran = lbdemo(*command)
    out, _ = load.communicate(timeout=60)
    report: dict[str, Any] = json.loads(out)
    return ran, report


def test_rolling_restart_loses_no_call_and_keeps_the_names(cluster: dict[str, Any]) -> None:
    ran, report = _under_load("restart", "--rolling")
    assert ran.code == 0, ran
    assert ran.out.splitlines()[:3] == [f"r{n} serves again ({n} of 3)" for n in (1, 2, 3)]
    assert (report["failed"], set(report["statuses"])) == (0, {"OK"})
    eventually(lambda: _serve("r1", "r2", "r3"))  # the spare may be draining yet
    after = status()
    assert not {r["pid"] for r in after["replicas"]} & {r["pid"] for r in cluster["replicas"]}
    told = _kinds()
    for name in ("r1", "r2", "r3"):
        assert told.index(("serving", "r4")) < told.index(("drain-begun", name))
    assert ("rolling-done", "") in told


def test_rolling_restart_stops_at_the_first_that_does_not_come_up(tmp_path: Path) -> None:
    module = tmp_path / "fading.py"
    module.write_text("from backends import greeter\n\ndef register(server):\n    greeter.add(server)\n")
    lbdemo("up", "-n", "2", "--service", "fading:register", cwd=tmp_path, ok=True)
    try:
        before = status()["replicas"]
        module.write_text("raise ImportError('it has faded')\n")
        ran = lbdemo("restart", "--rolling", "--json")
        assert (ran.code, ran.json["restarted"], ran.json["serving"]) == (1, [], 2)
        assert f"lbdemo: {ran.json['error']}" == ran.only_line
        assert "the spare r3 does not come up: service 'fading:register'" in ran.only_line
        assert "it has faded" in ran.only_line
        assert "(none done; r1, r2 as before)" in ran.only_line
        assert [(r["id"], r["pid"]) for r in status()["replicas"]] == [(r["id"], r["pid"]) for r in before]
        module.write_text("from backends import greeter\n\ndef register(server):\n    greeter.add(server)\n")
        lbdemo("restart", "--rolling", ok=True)
    finally:
        lbdemo("down", ok=True)


class HeldRoll:
    """A rolling restart of r1 and r2 that stands still while r1 starts: its service waits for `go_on`."""

    def __init__(self, folder: Path) -> None:
        self._shut, self._ticket = folder / "shut", folder / "ticket"
        (folder / "held.py").write_text(
            "import pathlib, time\nfrom backends import greeter\n\ndef register(server):\n"
            f"    shut, ticket = pathlib.Path({str(self._shut)!r}), pathlib.Path({str(self._ticket)!r})\n"
            "    while shut.exists() and not ticket.exists():\n        time.sleep(0.01)\n"
            "    ticket.unlink(missing_ok=True)\n    greeter.add(server)\n"
        )
        lbdemo("up", "-n", "2", "--service", "held:register", cwd=folder, ok=True)
        self._shut.touch()
        self._ticket.touch()  # for the spare
        self.command = start_lbdemo("restart", "--rolling")
        eventually(self._first_starts, within_s=30)

    def _first_starts(self) -> None:
        assert _kinds().count(("starting", "r1")) == 2

    def go_on(self) -> None:
        self._shut.unlink(missing_ok=True)


@pytest.fixture
def held_roll(tmp_path: Path) -> Iterator[HeldRoll]:
    roll = HeldRoll(tmp_path)
    yield roll
    roll.go_on()
    lbdemo("down", ok=True)


def test_ctrl_c_ends_a_rolling_restart_after_the_one_at_hand(held_roll: HeldRoll) -> None:
    os.kill(held_roll.command.pid, signal.SIGINT)
    out, err = held_roll.command.communicate(timeout=20)
    assert (held_roll.command.returncode, out) == (130, "")
    assert err == (
        "lbdemo: interrupted; r1 is finished, then the rolling restart ends; r2 as before: see 'lbdemo status'\n"
    )
    held_roll.go_on()

    def settled() -> None:
        after = status()
        assert [(r["id"], r["phase"], r["restarts"]) for r in after["replicas"]] == [
            ("r1", "RUNNING", 1),
            ("r2", "RUNNING", 0),
        ]
        assert after["roll"] is None

    eventually(settled, within_s=20)
    assert ("rolling-failed", "") in _kinds()


def test_scale_in_a_rolling_restart_is_refused_and_a_killed_supervisor_leaves_nothing(held_roll: HeldRoll) -> None:
    during = status()
    assert (during["roll"]["now"], during["roll"]["todo"]) == ("r1", ["r2"])
    assert [r["phase"] for r in during["replicas"]] == ["STARTING", "RUNNING", "RUNNING"]
    ran = lbdemo("scale", "5")
    assert (ran.code, ran.only_line) == (
        1,
        "lbdemo: a rolling restart goes on (0 of 2 done): wait for its end, or end it with Ctrl-C where it runs",
    )
    nursery = psutil.Process(during["replicas"][1]["pid"]).parent()
    assert nursery is not None
    pids = [nursery.pid, *(child.pid for child in nursery.children())]
    os.kill(during["supervisor_pid"], signal.SIGKILL)
    _, err = held_roll.command.communicate(timeout=20)
    assert held_roll.command.returncode == 1
    assert err.startswith("lbdemo: cluster 'default' has ended meanwhile: see ")
    held_roll.go_on()
    eventually(lambda: _all_gone(pids), within_s=20)


def test_events_follow_until_the_cluster_ends() -> None:
    lbdemo("up", "-n", "2", ok=True)
    follow = start_lbdemo("events", "--follow", "--json")
    lbdemo("kill", "r1", ok=True)

    def back() -> None:
        assert _kinds()[-1] == ("serving", "r1")

    eventually(back, within_s=10)
    lbdemo("down", ok=True)
    out, err = follow.communicate(timeout=20)
    assert (follow.returncode, err) == (0, "")
    events = [json.loads(line) for line in out.splitlines()]
    assert [event["number"] for event in events] == list(range(1, len(events) + 1))
    kinds = [event["kind"] for event in events]
    assert kinds[:4].count("serving") == 2
    assert kinds[4:8] == ["died", "starting", "serving", "stopping"]
    assert kinds[8:].count("drained") == 2
    assert events == sorted(events, key=lambda event: event["at_s"])
