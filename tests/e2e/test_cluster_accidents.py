"""A cluster that loses its folder, socket or supervisor, or that commands want different things of: no harm done."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from tests.support.command import LBDEMO, TIMEOUT_S, is_alive, lbdemo, start_lbdemo, status
from tests.support.eventually import eventually
from tests.support.leaks import strays

if TYPE_CHECKING:
    from collections.abc import Callable

SLOW = """
import pathlib, time
from backends import greeter

def add(server):
    while not pathlib.Path("go").exists():
        time.sleep(0.01)
    greeter.add(server)
"""

MANY = """
import grpc

def add(server):
    method = grpc.unary_unary_rpc_method_handler(lambda request, context: request)
    for number in range(200):
        name = f"a.rather.long.name.of.a.package.Service{number}"
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, {"Method": method}),))
"""

NURSERY = """
import pathlib, sys
from backends.nursery import fork_nursery
from backends.spec import ReplicaSpec
from backends.state import StateFolder
import dataclasses, json

folder = StateFolder.of("c")
folder.prepare()
pipes = fork_nursery(folder)
spec = ReplicaSpec(id="r1", service="stuck:add", linger_s=0, grace_s=0)
pipes.link.sendall(json.dumps({"op": "start", "spec": dataclasses.asdict(spec)}).encode() + b"\\n")
print(json.loads(pipes.link.recv(1000))["pid"], flush=True)
sys.stdin.read()
"""


@pytest.fixture
def state() -> Path:
    return Path(os.environ["LBDEMO_STATE_DIR"])


@pytest.fixture
def slow(tmp_path: Path) -> Path:
    """Where `slow:add` is, a Greeter that starts once there is a file `go` beside it."""
    (tmp_path / "slow.py").write_text(SLOW)
    return tmp_path


def _assert_contains(log: Path, words: str) -> None:
    assert words in log.read_text()


def _remove_socket(state: Path) -> None:
    (state / "default" / "cluster.sock").unlink()


def _replace_socket(state: Path) -> None:
    (state / "default" / "cluster.sock").unlink()
    (state / "default" / "cluster.sock").write_text("")


def test_up_right_after_the_folder_was_removed_is_not_disturbed_by_the_old_cluster(state: Path) -> None:
    lbdemo("up", "-n", "3", ok=True)
    old = status()["supervisor_pid"]
    shutil.rmtree(state)
    lbdemo("up", "-n", "2", ok=True)

    def old_one_ended() -> None:
        assert not is_alive(old)

    eventually(old_one_ended)
    assert status()["serving"] == 2
    assert sorted(p.name for p in (state / "default" / "greeter").iterdir()) == ["r1.json", "r2.json"]
    lbdemo("down", ok=True)


@pytest.mark.parametrize("accident", [_remove_socket, _replace_socket])
def test_cluster_that_cannot_be_reached_any_more_ends(accident: Callable[[Path], None], state: Path) -> None:
    lbdemo("up", "-n", "1", ok=True)
    status()  # the socket is open soon after the first calls can be made
    accident(state)
    eventually(lambda: _assert_no_process_in(state))
    assert "stopping: its socket is gone" in (state / "default" / "logs" / "supervisor.log").read_text()
    lbdemo("up", "-n", "1", ok=True)
    lbdemo("down", ok=True)


def test_nothing_of_the_socket_is_left_after_down(state: Path) -> None:
    lbdemo("up", "-n", "1", ok=True)
    status()
    assert sorted(p.name for p in (state / "default").iterdir()) == ["cluster.sock", "greeter", "lock", "logs"]
    lbdemo("down", ok=True)
    assert sorted(p.name for p in (state / "default").iterdir()) == ["greeter", "lock", "logs"]


def test_records_that_were_removed_come_back_and_no_call_fails(state: Path) -> None:
    lbdemo("up", "-n", "3", ok=True)
    registry = state / "default" / "greeter"
    names = ["r1.json", "r2.json", "r3.json"]

    def all_announced() -> None:
        assert registry.is_dir()
        assert sorted(path.name for path in registry.iterdir()) == names

    calls = start_lbdemo("call", "--duration", "6s", "--rate", "100", "--json")
    eventually(lambda: _assert_called(100), within_s=10)
    (registry / "r2.json").unlink()
    eventually(all_announced)
    shutil.rmtree(registry)
    eventually(all_announced)
    out, err = calls.communicate(timeout=20)
    assert calls.returncode == 0, err
    report = json.loads(out)
    assert (report["failed"], len(report["backends"])) == (0, 3)
    lbdemo("down", ok=True)
    assert list(registry.iterdir()) == []


def test_replicas_of_a_removed_cluster_announce_nothing_to_its_successor(state: Path) -> None:
    lbdemo("up", "-n", "3", ok=True)
    old = [r["address"] for r in status()["replicas"]]
    shutil.rmtree(state)
    lbdemo("up", "-n", "1", ok=True)
    registry, end = state / "default" / "greeter", time.monotonic() + 1.5
    while time.monotonic() < end:  # by then each of the old ones has looked after its record
        assert [path.name for path in registry.glob("*.json")] == ["r1.json"]
        assert not any(address in (registry / "r1.json").read_text() for address in old)
        time.sleep(0.02)
    lbdemo("down", ok=True)


@pytest.mark.parametrize("in_the_way", ["logs/supervisor.log", "cluster.sock"])
def test_what_stands_in_the_supervisors_way_is_told_in_one_line(in_the_way: str, state: Path) -> None:
    (state / "default").mkdir(0o700, parents=True)
    (state / "default" / in_the_way).mkdir(parents=True)
    ran = lbdemo("up", "-n", "1")
    assert (ran.code, ran.out) == (1, "")
    assert f"{state}/default/{in_the_way} cannot be " in ran.only_line
    assert "Is a directory" in ran.only_line
    _assert_no_process_in(state)


def test_missing_standard_input_is_no_obstacle() -> None:
    def without_stdin(*args: str) -> None:
        subprocess.run(
            ["/bin/sh", "-c", 'exec "$@" <&-', "sh", *LBDEMO, *args],
            stdout=subprocess.DEVNULL, timeout=TIMEOUT_S, check=True,
        )  # fmt: skip

    without_stdin("up", "-n", "2")
    without_stdin("scale", "1")
    assert status()["serving"] == 1
    without_stdin("down")


def test_stuck_replica_does_not_outlive_its_supervisor(tmp_path: Path, state: Path) -> None:
    (tmp_path / "stuck.py").write_text("import time\ndef add(server): time.sleep(3600)\n")
    (tmp_path / "supervisor.py").write_text(NURSERY)
    with subprocess.Popen(
        [LBDEMO[0], "supervisor.py"], cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as supervisor:
        assert supervisor.stdout is not None
        stuck = int(supervisor.stdout.readline())
        eventually(lambda: _assert_written(state / "c" / "logs" / "r1.log"))
        supervisor.kill()
    assert is_alive(stuck)
    eventually(lambda: _assert_gone(stuck), within_s=10)


def test_up_ends_with_another_number_when_somebody_scales_meanwhile(slow: Path) -> None:
    first = start_lbdemo("up", "-n", "2", "--service", "slow:add", cwd=slow)
    eventually(lambda: _assert_starting(2))
    lbdemo("scale", "3", "--no-wait", ok=True)
    (slow / "go").touch()
    out, err = first.communicate(timeout=10)
    assert (first.returncode, err) == (0, "")
    assert out.startswith("somebody scaled to 3 meanwhile, not to the 2 of this command: 3 replicas serve after ")
    assert status()["serving"] == 3
    lbdemo("down", ok=True)


def test_scale_that_somebody_overrules_says_so_once_theirs_is_done(slow: Path) -> None:
    lbdemo("up", "-n", "1", "--no-wait", "--service", "slow:add", ok=True, cwd=slow)
    first = start_lbdemo("scale", "4")
    eventually(lambda: _assert_starting(4))
    second = start_lbdemo("up", "-n", "2", "--json")
    eventually(lambda: _assert_starting(2))
    (slow / "go").touch()
    (out, err), (other, _) = first.communicate(timeout=10), second.communicate(timeout=10)
    assert (first.returncode, err) == (0, "")
    assert out.startswith("somebody scaled to 2 meanwhile, not to the 4 of this command: 2 replicas serve after ")
    outcome = json.loads(other)
    assert (outcome["asked"], outcome["wanted"], outcome["serving"], outcome["before"]) == (2, 2, 2, 4)
    lbdemo("down", ok=True)


def test_scale_whose_cluster_ends_meanwhile_says_so(slow: Path) -> None:
    lbdemo("up", "-n", "1", "--no-wait", "--service", "slow:add", ok=True, cwd=slow)
    scaling = start_lbdemo("scale", "2")
    eventually(lambda: _assert_starting(2))
    lbdemo("down", ok=True)
    out, err = scaling.communicate(timeout=10)
    assert (scaling.returncode, out) == (1, "")
    assert re.fullmatch(r"lbdemo: cluster 'default' has ended meanwhile: see \S+/supervisor.log\n", err)


@pytest.mark.parametrize("number", ["2", "3"])
def test_up_while_a_cluster_ends_waits_and_starts_another(number: str, state: Path) -> None:
    lbdemo("up", "-n", "2", ok=True)
    old = status()
    nursery = psutil.Process(old["replicas"][0]["pid"]).parent()
    assert nursery is not None
    nursery.send_signal(signal.SIGKILL)
    log = state / "default" / "logs" / "supervisor.log"
    eventually(lambda: _assert_contains(log, "the nursery is gone"))
    lbdemo("up", "-n", number, ok=True)
    new = status()
    assert new["serving"] == int(number)
    assert new["supervisor_pid"] != old["supervisor_pid"]
    lbdemo("down", ok=True)


def test_services_with_many_and_long_names_are_all_known(tmp_path: Path) -> None:
    (tmp_path / "many.py").write_text(MANY)
    lbdemo("up", "-n", "8", "--service", "many:add", ok=True, cwd=tmp_path)
    assert len(status()["services"]) == 200
    lbdemo("down", ok=True)


def test_killed_laggard_is_told_in_the_log(tmp_path: Path, state: Path) -> None:
    (tmp_path / "slow.py").write_text(SLOW)
    lbdemo("up", "-n", "1", "--no-wait", "--service", "slow:add", ok=True, cwd=tmp_path)
    eventually(lambda: _assert_starting(1))
    time.sleep(0.2)
    lbdemo("down", ok=True)
    log = (state / "default" / "logs" / "supervisor.log").read_text()
    assert "WARNING r1 does not end in time and is killed; its calls are lost" in log


def _assert_starting(count: int) -> None:
    ran = lbdemo("status", "--json")
    assert ran.code == 0
    assert [r["phase"] for r in ran.json["replicas"]] == ["STARTING"] * count


def _assert_called(count: int) -> None:
    assert sum(r["calls"] for r in status()["replicas"]) >= count


def _assert_written(path: Path) -> None:
    assert path.exists()
    assert path.stat().st_size


def _assert_gone(pid: int) -> None:
    assert not is_alive(pid)


def _assert_no_process_in(state: Path) -> None:
    assert strays(state) == {}
