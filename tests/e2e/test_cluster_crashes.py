from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from tests.support.command import is_alive, lbdemo, start_lbdemo, status
from tests.support.eventually import eventually
from tests.support.leaks import strays

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def state() -> Path:
    return Path(os.environ["LBDEMO_STATE_DIR"])


@pytest.fixture
def cluster() -> Iterator[dict[str, Any]]:
    lbdemo("up", "-n", "2", ok=True)
    yield status()
    lbdemo("down", ok=True)


def _nursery(cluster: dict[str, Any]) -> psutil.Process:
    nursery = psutil.Process(cluster["replicas"][0]["pid"]).parent()
    assert nursery is not None
    return nursery


def test_killed_supervisor_takes_everything_with_it_and_up_works_again(cluster: dict[str, Any]) -> None:
    nursery = _nursery(cluster).pid
    os.kill(cluster["supervisor_pid"], signal.SIGKILL)

    def all_gone() -> None:
        assert [pid for pid in (nursery, *(r["pid"] for r in cluster["replicas"])) if is_alive(pid)] == []

    eventually(all_gone)
    ran = lbdemo("status")
    assert ran.code == 1
    assert ran.only_line == (
        "lbdemo: cluster 'default' is not running: start it with 'lbdemo up' "
        "(which also clears what a crashed supervisor left: cluster.sock)"
    )
    assert lbdemo("up", "-n", "2", ok=True).out.startswith("2 replicas serve after ")


def test_up_right_after_a_killed_supervisor_works(cluster: dict[str, Any], state: Path) -> None:
    os.kill(cluster["supervisor_pid"], signal.SIGKILL)
    lbdemo("up", "-n", "2", ok=True)

    def old_ones_gone() -> None:
        assert [r["pid"] for r in cluster["replicas"] if is_alive(r["pid"])] == []

    eventually(old_ones_gone)
    # The old ones withdrew their own records only.
    assert sorted(p.name for p in (state / "default" / "greeter").iterdir()) == ["r1.json", "r2.json"]
    assert status()["serving"] == 2


def test_down_clears_what_a_killed_supervisor_left(cluster: dict[str, Any], state: Path) -> None:
    os.kill(cluster["supervisor_pid"], signal.SIGKILL)
    eventually(lambda: _assert_no_process_in(state))
    assert lbdemo("down", ok=True).out.endswith("removed what a crash had left: cluster.sock\n")
    assert not (state / "default" / "cluster.sock").exists()


def test_killed_nursery_drains_its_replicas_and_ends_the_supervisor(cluster: dict[str, Any], state: Path) -> None:
    _nursery(cluster).kill()
    eventually(lambda: _assert_no_process_in(state))
    assert "the nursery is gone" in (state / "default" / "logs" / "supervisor.log").read_text()
    assert not (state / "default" / "cluster.sock").exists()
    assert list((state / "default" / "greeter").iterdir()) == []


def test_killed_replica_comes_back_under_its_name(cluster: dict[str, Any]) -> None:
    killed = cluster["replicas"][0]
    os.kill(killed["pid"], signal.SIGKILL)

    def is_back() -> None:
        first = status()["replicas"][0]
        assert (first["id"], first["phase"], first["restarts"]) == ("r1", "RUNNING", 1)
        assert first["pid"] != killed["pid"]

    eventually(is_back)
    assert [p.status() for p in _nursery(status()).children() if p.status() == psutil.STATUS_ZOMBIE] == []


@pytest.mark.usefixtures("cluster")
def test_scale_right_after_a_death_waits_and_says_that_one_was_missing() -> None:
    def is_back_after(deaths: int) -> None:
        first = status()["replicas"][0]
        assert (first["phase"], first["restarts"]) == ("RUNNING", deaths)

    # The fifth death in a row is followed by a break of 1.6 s: longer than a command takes to ask.
    for deaths in range(5):
        eventually(partial(is_back_after, deaths), within_s=10)
        os.kill(status()["replicas"][0]["pid"], signal.SIGKILL)
    ran = lbdemo("scale", "2", ok=True)
    assert re.fullmatch(r"2 replicas serve after \d\.\d\d s \(1 of 2 before\)\n", ran.out)
    is_back_after(5)
    assert lbdemo("scale", "2", ok=True).out == "2 replicas serve already: nothing to do\n"


def test_scale_does_not_count_a_frozen_replica_nor_wait_for_it(cluster: dict[str, Any]) -> None:
    silent = cluster["replicas"][0]["pid"]
    os.kill(silent, signal.SIGSTOP)
    try:
        for args in (["scale", "2"], ["up", "-n", "2"]):
            ran = lbdemo(*args)
            assert ran.code == 1
            assert "1 of 2 replicas serve, r1 is paused: 'lbdemo resume r1' lets it go on" in ran.only_line
    finally:
        os.kill(silent, signal.SIGCONT)
    assert lbdemo("scale", "2", ok=True).out.startswith("2 replicas serve ")


def test_record_of_a_killed_replica_is_removed_at_once(cluster: dict[str, Any], state: Path) -> None:
    record = state / "default" / "greeter" / "r1.json"
    before = record.read_text()
    os.kill(cluster["replicas"][0]["pid"], signal.SIGKILL)

    def removed_or_renewed() -> None:
        with contextlib.suppress(FileNotFoundError):
            assert record.read_text() != before

    eventually(removed_or_renewed, within_s=1)


def test_silent_replica_is_told_and_delays_nobody(cluster: dict[str, Any]) -> None:
    silent = cluster["replicas"][0]["pid"]
    os.kill(silent, signal.SIGSTOP)
    try:
        began = time.monotonic()
        assert [r["health"] for r in status()["replicas"]] == ["UNREACHABLE", "SERVING"]
        assert time.monotonic() - began < 5  # not for as long as it is silent
    finally:
        os.kill(silent, signal.SIGCONT)


def test_silent_supervisor_is_told_with_its_pid(cluster: dict[str, Any]) -> None:
    pid = cluster["supervisor_pid"]
    os.kill(pid, signal.SIGSTOP)
    try:
        for process in [start_lbdemo(command) for command in ("status", "down", "up")]:
            _, err = process.communicate(timeout=30)
            assert process.returncode == 1
            assert f"(pid {pid}) does not answer within" in err
            assert err.count("\n") == 1
        assert is_alive(pid)
    finally:
        os.kill(pid, signal.SIGCONT)


def test_pid_in_a_stale_lock_file_is_never_signalled(state: Path) -> None:
    (state / "default").mkdir(0o700, parents=True)
    with subprocess.Popen(["sleep", "60"]) as bystander:
        try:
            for name in ("lock", "supervisor.pid", "pid"):
                (state / "default" / name).write_text(str(bystander.pid))
            assert lbdemo("status").code == 1
            lbdemo("down", ok=True)
            lbdemo("up", "-n", "1", ok=True)
            lbdemo("down", ok=True)
            assert bystander.poll() is None
        finally:
            bystander.kill()


def test_stale_socket_is_no_obstacle(state: Path) -> None:
    (state / "default").mkdir(0o700, parents=True)
    (state / "default" / "cluster.sock").write_text("")
    assert "cluster.sock" in lbdemo("status").only_line
    lbdemo("up", "-n", "1", ok=True)
    lbdemo("down", ok=True)


def test_cluster_whose_folder_was_removed_ends(state: Path) -> None:
    lbdemo("up", "-n", "1", ok=True)
    found = status()
    shutil.rmtree(state)

    def ended() -> None:
        assert [pid for pid in (found["supervisor_pid"], found["replicas"][0]["pid"]) if is_alive(pid)] == []

    eventually(ended)


def test_sigterm_to_the_supervisor_drains_everything(state: Path) -> None:
    lbdemo("up", "-n", "1", ok=True)
    os.kill(status()["supervisor_pid"], signal.SIGTERM)
    eventually(lambda: _assert_no_process_in(state))
    assert sorted(p.name for p in (state / "default").iterdir()) == ["greeter", "lock", "logs"]


@pytest.mark.parametrize("shape", ["file", "foreign", "foreign-link", "open", "too-long", "unwritable"])
@pytest.mark.parametrize("args", [["up"], ["down"], ["status"], ["scale", "2"], ["logs"]], ids=lambda a: a[0])
def test_state_folder_that_is_no_good_is_refused_in_one_line(
    args: list[str], shape: str, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if shape.startswith("foreign") and os.geteuid() != 0:
        pytest.skip("only root can give a folder away")
    match shape:
        case "file":
            state.write_text("")
        case "foreign":
            (state / "default").mkdir(0o700, parents=True)
            os.chown(state / "default", 54321, -1)
        case "foreign-link":
            (state.parent / "x").mkdir(0o700)
            os.chown(state.parent / "x", 54321, -1)
            state.symlink_to(state.parent / "x")
        case "open":
            (state / "default").mkdir(parents=True)
            (state / "default").chmod(0o777)
        case "too-long":
            monkeypatch.setenv("LBDEMO_STATE_DIR", str(state / ("x" * 100)))
        case "unwritable":
            if args != ["up"]:
                return
            monkeypatch.setenv("LBDEMO_STATE_DIR", "/proc/lbdemo")
    ran = lbdemo(*args)
    assert (ran.code, ran.out) == (1, "")
    assert "LBDEMO_STATE_DIR" in ran.only_line


@pytest.mark.parametrize("gone", ["HOME", "XDG_RUNTIME_DIR"])
def test_missing_variables_are_no_obstacle(gone: str, state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state.mkdir()
    monkeypatch.delenv("LBDEMO_STATE_DIR")
    monkeypatch.setenv("HOME", str(state))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(state / "missing" if gone == "XDG_RUNTIME_DIR" else state))
    if gone == "HOME":
        monkeypatch.delenv("HOME")
    up = lbdemo("up", "-n", "1", "--json", ok=True).json
    assert up["target"].startswith(f"dir://{state}")
    lbdemo("down", ok=True)


def test_logs_follow_new_and_restarted_replicas(cluster: dict[str, Any]) -> None:
    following = start_lbdemo("logs", "-f", "--tail", "0", "r1", "r3")
    try:
        assert following.stdout is not None
        time.sleep(0.5)  # lines from before the follower looked are not what is tested
        lbdemo("scale", "3", ok=True)
        os.kill(cluster["replicas"][0]["pid"], signal.SIGKILL)
        seen = set()
        for line in following.stdout:
            if "starts, pid" in line:
                seen.add(line.split()[0])
            if seen == {"r1", "r3"}:
                break
    finally:
        following.send_signal(signal.SIGINT)
        following.communicate(timeout=10)


@pytest.mark.usefixtures("cluster")
def test_logs_name_their_writers() -> None:
    lines = lbdemo("logs", "--tail", "1", ok=True).out.splitlines()
    assert [line.partition("|")[0].strip() for line in lines] == ["supervisor", "r1", "r2"]
    assert lbdemo("logs", "r2", ok=True).out.splitlines()[0].startswith("r2 | --- ")
    assert "there are supervisor, r1, r2" in lbdemo("logs", "r7").only_line


def _assert_no_process_in(state: Path) -> None:
    assert strays(state) == {}


@pytest.mark.parametrize("number", ["-1", "x", "1.5", ""])
def test_senseless_number_of_log_lines_is_one_line(number: str) -> None:
    ran = lbdemo("logs", "--tail", number)
    assert ran.code == 2
    assert f"{number!r} is no number of lines: write 0 to " in ran.only_line
