from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import psutil
import pytest

from protos import helloworld_pb2, helloworld_pb2_grpc
from tests.support.command import LBDEMO, is_alive, lbdemo, start_lbdemo, status
from tests.support.eventually import eventually
from tests.support.leaks import strays
from tests.support.services import BUILT_IN

if TYPE_CHECKING:
    from collections.abc import Iterator

STATUS_KEYS = {"id", "address", "health", "pid", "calls", "in_flight", "uptime_s"}


@pytest.fixture
def state() -> Path:
    return Path(os.environ["LBDEMO_STATE_DIR"])


@pytest.fixture
def three() -> Iterator[dict[str, object]]:
    lbdemo("up", "--replicas", "3", ok=True)
    yield status()
    lbdemo("down", ok=True)


def _ids(found: dict[str, object]) -> list[str]:
    replicas = found["replicas"]
    assert isinstance(replicas, list)
    return [r["id"] for r in replicas]


def _greet(address: str) -> str:
    with grpc.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)]) as channel:
        reply = helloworld_pb2_grpc.GreeterStub(channel).SayHello(helloworld_pb2.HelloRequest(name="you"), timeout=5)
    return str(reply.message)


def test_up_serves_and_down_leaves_nothing(state: Path) -> None:
    up = lbdemo("up", "--replicas", "2", ok=True)
    assert up.out.startswith("2 replicas serve after ")
    found = status()
    assert found["target"] == f"dir://{state}/default/greeter"
    assert found["services"] == BUILT_IN
    for replica in found["replicas"]:
        assert replica.keys() >= STATUS_KEYS
        assert replica["health"] == "SERVING"
        assert "you" in _greet(replica["address"])
    assert [r["calls"] for r in status()["replicas"]] == [1, 1]
    assert sorted(p.name for p in (state / "default" / "greeter").iterdir()) == ["r1.json", "r2.json"]

    down = lbdemo("down", ok=True)
    assert down.out.startswith("cluster 'default' is down: 2 replicas drained in ")
    assert sorted(p.name for p in (state / "default").iterdir()) == ["greeter", "lock", "logs"]
    assert list((state / "default" / "greeter").iterdir()) == []
    pids = [found["supervisor_pid"], *(r["pid"] for r in found["replicas"])]
    assert [pid for pid in pids if is_alive(pid)] == []


@pytest.mark.usefixtures("three")
def test_up_again_with_the_same_number_says_so_and_changes_nothing() -> None:
    before = [r["pid"] for r in status()["replicas"]]
    again = lbdemo("up", ok=True)
    assert again.out.startswith("3 replicas serve already: nothing to do")
    assert [r["pid"] for r in status()["replicas"]] == before


def test_up_again_with_another_number_scales(three: dict[str, object]) -> None:
    assert lbdemo("up", "-n", "5", ok=True).out.startswith("5 replicas serve after ")
    assert _ids(status()) == ["r1", "r2", "r3", "r4", "r5"]
    assert status()["supervisor_pid"] == three["supervisor_pid"]


@pytest.mark.usefixtures("three")
def test_scale_drains_the_highest_and_fills_the_lowest() -> None:
    assert lbdemo("scale", "1", "--json", ok=True).json["before"] == 3
    assert _ids(status()) == ["r1"]
    lbdemo("scale", "2", ok=True)
    assert _ids(status()) == ["r1", "r2"]


@pytest.mark.usefixtures("three")
def test_clusters_live_side_by_side() -> None:
    other = lbdemo("up", "-n", "1", "--cluster", "other", "--json", ok=True).json
    assert (other["cluster"], _ids(other)) == ("other", ["r1"])
    assert lbdemo("down", "--cluster", "other", "--json", ok=True).json["stopped"] == ["r1"]
    assert status()["serving"] == 3


def test_two_ups_at_once_make_one_cluster() -> None:
    both = [start_lbdemo("up", "-n", "2", "--json") for _ in range(2)]
    ended = [(process.communicate(timeout=30), process.returncode) for process in both]
    assert [code for _, code in ended] == [0, 0], ended
    assert sorted(json.loads(out)["before"] for (out, _), _ in ended) == [0, 2]
    assert _ids(status()) == ["r1", "r2"]
    lbdemo("down", ok=True)


def test_two_ups_at_once_that_want_different_numbers_agree_on_what_came_of_it() -> None:
    both = {asked: start_lbdemo("up", "-n", str(asked), "--json") for asked in (2, 4)}
    ended = {asked: (process.communicate(timeout=30), process.returncode) for asked, process in both.items()}
    assert [code for _, code in ended.values()] == [0, 0], ended
    outcomes = {asked: json.loads(out) for asked, ((out, _), _) in ended.items()}
    last = status()["wanted"]
    assert outcomes[last]["wanted"] == outcomes[last]["serving"] == status()["serving"] == last
    assert all(outcome["asked"] == asked for asked, outcome in outcomes.items())
    lbdemo("down", ok=True)


def test_down_and_up_at_once_end_well() -> None:
    lbdemo("up", "-n", "1", ok=True)
    down = start_lbdemo("down")
    up = lbdemo("up", "-n", "1")
    down.communicate(timeout=30)
    assert down.returncode == 0
    # Who came last wins; if that was the other one while this one waited, it says so.
    assert up.code == 0 or "has ended meanwhile" in up.only_line
    lbdemo("down", ok=True)


def test_up_without_waiting_returns_before_they_serve_and_status_answers(tmp_path: Path) -> None:
    (tmp_path / "slow_one.py").write_text("import time\ndef add(server): time.sleep(60)\n")
    up = lbdemo("up", "-n", "1", "--no-wait", "--service", "slow_one:add", cwd=tmp_path, ok=True)
    assert up.out.startswith("0 of 1 replica serve; the others start")
    assert [(r["phase"], r["health"]) for r in status()["replicas"]] == [("STARTING", "UNKNOWN")]
    lbdemo("down", ok=True)


def test_without_a_cluster_each_command_says_so_in_one_line() -> None:
    for args in (["status"], ["status", "--watch"], ["scale", "2"]):
        ran = lbdemo(*args)
        assert (ran.code, ran.out) == (1, "")
        assert ran.only_line == "lbdemo: cluster 'default' is not running: start it with 'lbdemo up'"
    assert lbdemo("logs").only_line == "lbdemo: cluster 'default' has no logs: start it with 'lbdemo up'"


def test_down_without_a_cluster_is_done_already() -> None:
    ran = lbdemo("down")
    assert (ran.code, ran.out, ran.err) == (0, "cluster 'default' is not running: nothing to stop\n", "")


@pytest.mark.parametrize("number", ["0", "-1", "abc", "100000"])
@pytest.mark.parametrize("args", [["up", "--replicas"], ["scale"]], ids=["up", "scale"])
def test_impossible_numbers_are_usage_errors_that_say_what_is_possible(args: list[str], number: str) -> None:
    ran = lbdemo(*args, number)
    assert ran.code == 2
    assert "1 to 1000 replicas are possible" in ran.err.splitlines()[-1]


@pytest.mark.usefixtures("three")
def test_status_is_plain_text_in_a_pipe() -> None:
    ran = lbdemo("status", ok=True)
    assert "\x1b" not in ran.out
    assert ran.out.splitlines()[0].split()[:3] == ["REPLICA", "ADDRESS", "HEALTH"]
    assert len(ran.out.splitlines()) == 4


def test_status_prints_the_target_alone_for_scripts(three: dict[str, object]) -> None:
    assert lbdemo("status", "--target", ok=True).out == f"{three['target']}\n"
    for other in ("--json", "--watch"):
        ran = lbdemo("status", "--target", other)
        assert (ran.code, ran.out) == (2, "")
        assert f"leave {other} away" in ran.only_line


@pytest.mark.usefixtures("three")
def test_watched_status_shows_each_change_until_the_cluster_ends() -> None:
    watching = start_lbdemo("status", "--watch", "--json")
    assert watching.stdout is not None
    assert json.loads(watching.stdout.readline())["serving"] == 3
    lbdemo("scale", "1", ok=True)
    for line in watching.stdout:
        if len(json.loads(line)["replicas"]) == 1:
            break
    lbdemo("down", ok=True)
    _, err = watching.communicate(timeout=10)
    assert (watching.returncode, err) == (1, "lbdemo: cluster 'default' has ended\n")


@pytest.mark.usefixtures("three")
def test_ctrl_c_is_the_way_to_end_watching_and_following() -> None:
    for args in (["status", "--watch"], ["logs", "-f"]):
        process = start_lbdemo(*args)
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=10)
        assert (process.returncode, err) == (0, "")


def test_replicas_inherit_nothing_of_each_other(three: dict[str, object], state: Path) -> None:
    replicas = three["replicas"]
    assert isinstance(replicas, list)
    lock = state / "default" / "lock"
    for replica in replicas:
        process = psutil.Process(replica["pid"])
        listening = {c.laddr.port for c in process.net_connections("inet") if c.status == psutil.CONN_LISTEN}
        assert listening == {int(replica["address"].rpartition(":")[2])}
        assert lock not in {fd.readlink() for fd in Path(f"/proc/{replica['pid']}/fd").iterdir()}
        nursery = process.parent()
        assert nursery is not None
        assert os.getsid(replica["pid"]) == os.getsid(nursery.pid) != os.getsid(0)
        assert process.cmdline()[0] == f"lbdemo: replica {replica['id']} default"
        assert nursery.cmdline()[0] == "lbdemo: nursery default"


@pytest.mark.parametrize("delay_s", [0.0, 0.03, 0.06, 0.08, 0.1, 0.12, 0.15])
def test_ctrl_c_during_up_leaves_nothing_or_a_running_cluster(delay_s: float, state: Path) -> None:
    process = start_lbdemo("up", "-n", "2")
    time.sleep(delay_s)  # the moment is what is tested
    os.killpg(process.pid, signal.SIGINT)
    process.communicate(timeout=20)
    if process.returncode == 0:
        assert status()["serving"] == 2
        lbdemo("down", ok=True)
    eventually(lambda: _assert_no_process_in(state))


def test_ctrl_c_while_replicas_start_undoes_the_start(tmp_path: Path, state: Path) -> None:
    (tmp_path / "slow_two.py").write_text("import time\ndef add(server): time.sleep(60)\n")
    process = start_lbdemo("up", "-n", "2", "--service", "slow_two:add", cwd=tmp_path)
    eventually(lambda: _assert_lines(state / "default" / "logs" / "r2.log"))
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (130, "")
    assert err == "lbdemo: interrupted; what this command had started is stopped, nothing is left\n"
    _assert_no_process_in(state)


@pytest.mark.usefixtures("three")
def test_ctrl_c_while_a_running_cluster_is_scaled_leaves_it_running(state: Path) -> None:
    process = start_lbdemo("up", "-n", "30")
    eventually(lambda: _assert_lines(state / "default" / "logs" / "r4.log"))
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert err == "lbdemo: interrupted; cluster 'default' goes on: see 'lbdemo status'\n"
    lbdemo("scale", "3", ok=True)


def test_foreground_prints_logs_until_ctrl_c_and_drains() -> None:
    process = start_lbdemo("up", "--foreground", "-n", "1")
    assert process.stderr is not None
    assert process.stderr.readline().startswith("1 replica serves after ")
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 0, err
    assert "serves helloworld.Greeter" in out
    assert "r1 is gone" in out
    assert lbdemo("status").code == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_cluster_in_the_foreground_ends_with_its_command(number: signal.Signals, state: Path) -> None:
    process = start_lbdemo("up", "--foreground", "-n", "1")
    eventually(lambda: _assert_lines(state / "default" / "logs" / "r1.log"))
    process.send_signal(number)
    process.communicate(timeout=20)
    eventually(lambda: _assert_no_process_in(state))


def test_foreground_refuses_a_cluster_that_runs(three: dict[str, object]) -> None:
    ran = lbdemo("up", "--foreground")
    assert ran.code == 1
    assert "runs already" in ran.only_line
    assert status()["supervisor_pid"] == three["supervisor_pid"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_the_script_of_the_shell(shell: str) -> None:
    assert "_LBDEMO_COMPLETE" in lbdemo("completion", shell, ok=True).out


def test_completion_knows_the_subcommands_and_their_options() -> None:
    def complete(*words: str) -> list[str]:
        line = " ".join(("lbdemo", *words))
        env = {**os.environ, "_LBDEMO_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(len(words))}
        done = subprocess.run(LBDEMO, env=env, capture_output=True, text=True, check=True)
        return [entry.partition(",")[2] for entry in done.stdout.split()]

    assert complete("s") == ["status", "scale", "stream", "serve"]
    assert complete("up", "--rep") == ["--replicas"]
    assert complete("completion", "b") == ["bash"]


def _assert_lines(path: Path) -> None:
    assert path.exists()
    assert path.read_text()


def _assert_no_process_in(state: Path) -> None:
    assert strays(state) == {}
