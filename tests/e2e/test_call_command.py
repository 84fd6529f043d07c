"""`lbdemo call` as people use it: against a cluster, against servers of others, and wrongly."""

from __future__ import annotations

import json
import os
import pty
import signal
import socket
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.backend import Backend
from tests.support.command import LBDEMO, lbdemo, start_lbdemo, status
from tests.support.eventually import eventually
from tests.support.plain_greeter import plain_greeter

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.timeout(90)


@pytest.fixture
def cluster() -> Iterator[None]:
    lbdemo("up", "--replicas", "3", ok=True)
    yield
    lbdemo("down", ok=True)


def last_line(err: str) -> str:
    return err.splitlines()[-1]


def assert_called() -> None:
    assert sum(int(replica["calls"]) for replica in status()["replicas"]) > 50


@pytest.mark.usefixtures("cluster")
def test_hundred_calls_over_three_replicas_are_34_33_33() -> None:
    for concurrency in ("1", "64"):
        report = lbdemo("call", "--json", "--concurrency", concurrency, ok=True).json
        assert sorted(backend["calls"] for backend in report["backends"]) == [33, 33, 34]
        assert [backend["id"] for backend in report["backends"]] == ["r1", "r2", "r3"]
        assert report["verdict"]["even"] is True
        assert report["requested"]["count"] == 100
        assert report["target"].startswith("dir:///")
    ran = lbdemo("call", ok=True)
    assert "✔ Even: 100 calls over 3 endpoints, 34/33/33." in ran.out
    assert ran.err == ""
    assert "\x1b" not in ran.out


@pytest.mark.usefixtures("cluster")
def test_any_unary_method_is_called_by_reflection(tmp_path: Path) -> None:
    method = ("call", "--count", "4", "--method", "helloworld.Greeter/SayHello")
    report = lbdemo(*method, "--data", '{"name": "Ada"}', "--json", ok=True).json
    assert report["answer"] == {"message": "Hello, Ada!"}
    assert report["calls"] == 4
    (tmp_path / "request.json").write_text('{"name": "Grace"}')
    assert (
        'answer   {"message": "Hello, Grace!"}' in lbdemo(*method, "--data", f"@{tmp_path}/request.json", ok=True).out
    )
    piped = subprocess.run(
        [*LBDEMO, *method, "--data", "-"], input='{"name": "Alan"}', capture_output=True, text=True, check=True
    )
    assert "Hello, Alan!" in piped.stdout
    unknown = lbdemo("call", "--method", "helloworld.Greeter/Nope")
    assert (unknown.code, unknown.out) == (1, "")
    assert "it has SayHello" in unknown.only_line
    misfit = lbdemo(*method, "--data", '{"nam": 1}')
    assert misfit.code == 2
    assert 'no field named "nam"' in last_line(misfit.err)


@pytest.mark.usefixtures("cluster")
def test_ctrl_c_ends_the_run_early_and_still_reports() -> None:
    load = start_lbdemo("call", "--duration", "60s", "--json")
    eventually(assert_called, within_s=20)
    load.send_signal(signal.SIGINT)
    out, err = load.communicate(timeout=20)
    report = json.loads(out)
    assert load.returncode == 130, err
    assert report["interrupted"] is True
    assert report["failed"] == 0
    assert report["calls"] > 50


@pytest.mark.usefixtures("cluster")
def test_watch_in_a_pipe_tells_events_and_shares_by_the_second() -> None:
    load = start_lbdemo("call", "--duration", "3s", "--watch")
    assert load.stderr is not None
    first = load.stderr.readline()
    lbdemo("scale", "4", ok=True)
    out, err = load.communicate(timeout=30)
    assert load.returncode == 0, err
    assert all(f"r{n} 3" in first for n in (1, 2, 3)), first  # a third each, or nearly, in its short window
    assert "r4 joined" in err
    assert "\x1b" not in err + out
    assert "r4 joined" in out


@pytest.mark.usefixtures("cluster")
def test_watch_on_a_terminal_draws_and_cleans_up_after_itself() -> None:
    leader, follower = pty.openpty()
    load = subprocess.Popen([*LBDEMO, "call", "--duration", "1s", "--watch"], stdout=subprocess.PIPE, stderr=follower)
    os.close(follower)
    drawn = b""
    try:
        while chunk := os.read(leader, 65536):
            drawn += chunk
    except OSError:
        pass  # the terminal's other end is closed
    os.close(leader)
    assert load.communicate(timeout=20)[0]
    assert load.returncode == 0
    assert drawn.startswith(b"\x1b[?25l")
    assert drawn.rstrip().endswith(b"\x1b[?25h")  # the cursor is back
    assert "█".encode() in drawn
    assert b"33.3%" in drawn


def test_servers_we_did_not_start_are_told_by_address() -> None:
    with plain_greeter() as one, plain_greeter() as two:
        report = lbdemo("call", "--count", "10", "--target", f"ipv4:{one},{two}", "--json", ok=True).json
        ran = lbdemo("call", "--count", "10", "--target", f"ipv4:{one},{two},127.0.0.1:1", ok=True)
    assert {(b["address"], b["id"], b["calls"], b["failed"]) for b in report["backends"]} == {
        (one, None, 5, 0),
        (two, None, 5, 0),
    }
    assert report["verdict"]["as_expected"] is True
    assert "these servers do not say who they are" in ran.out
    assert "127.0.0.1:1 never connected" in ran.out


def test_server_without_the_greeter_is_told_as_such() -> None:
    with Backend("one") as one:
        ran = lbdemo("call", "--target", one.address)
    assert (ran.code, ran.out) == (1, "")
    assert ran.only_line == f"lbdemo: {one.address} does not serve helloworld.Greeter/SayHello"


@pytest.mark.usefixtures("cluster")
def test_every_service_of_a_replica_can_be_called() -> None:
    target = next(r["address"] for r in status()["replicas"])
    ran = lbdemo(
        "call", "--target", target, "--method", "lbdemo.v1.Replica/GetStats", "--count", "2", "--json", ok=True
    )
    assert ran.json["answer"]["id"] in {"r1", "r2", "r3"}


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--count", "0"], "0 calls make no sense: 1 to 10,000,000 are possible"),
        (["--count", "10000001"], "10000001 calls make no sense"),
        (["--count", "abc"], "'abc' is no whole number"),
        (["--rate", "nan"], "'nan' is no rate"),
        (["--rate", "-1"], "'-1' is no rate"),
        (["--duration", "0s"], "'0s' is no length of time"),
        (["--deadline", "inf"], "'inf' is no length of time"),
        (["--concurrency", "10001"], "10001 calls at a time make no sense"),
        (["--metadata", "x"], "'x' is not key=value"),
        (["--data", "{}"], "--data is the request of a --method"),
        (["--method", "a/b", "--name", "x"], "--name is for the Greeter"),
        (["--method", "a/b", "--data", "@/nonexistent", "--target", "localhost:1"], "No such file"),
        (["--target", "etcd:///x"], "nor of a known scheme"),
        (["--target", "ipv4:1.2.3:4"], "not an IPv4 or IPv6 address"),
        (["--target", "dir:x"], "must be an absolute path"),
        (["--cluster", "a/b"], "no cluster name"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(args: list[str], words: str) -> None:
    ran = lbdemo("call", *args)
    assert (ran.code, ran.out) == (2, "")
    assert words in last_line(ran.err)
    assert "Traceback" not in ran.err


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ([], "cluster 'default' is not running: start it with 'lbdemo up'"),
        (["--target", "127.0.0.1:1"], "no server reachable at 127.0.0.1:1: connections to all backends failing"),
        (["--target", "static:127.0.0.1:1"], "none of 1 endpoint at static:127.0.0.1:1 is healthy"),
        (["--target", "unix:/nonexistent.sock"], "no server reachable"),
        (["--target", "127.0.0.1:1", "--method", "a.B/C"], "does not answer reflection: UNAVAILABLE"),
    ],
)
def test_nobody_to_call_is_one_line_and_exit_code_1(args: list[str], words: str) -> None:
    ran = lbdemo("call", *args)
    assert (ran.code, ran.out) == (1, "")
    assert words in ran.only_line


def test_empty_registry_is_told_as_such(tmp_path: Path) -> None:
    ran = lbdemo("call", "--target", f"dir://{tmp_path}")
    assert ran.code == 1
    assert "no replica is announced" in ran.only_line


def test_registry_folder_that_is_not_there_is_told_as_such(tmp_path: Path) -> None:
    ran = lbdemo("call", "--target", f"dir://{tmp_path}/nope")
    assert ran.code == 1
    assert ran.only_line == f"lbdemo: there is no folder {tmp_path}/nope: start replicas that announce themselves in it"


def test_of_many_bad_records_it_is_told_how_many_are_not_named(tmp_path: Path) -> None:
    for number in range(13):
        (tmp_path / f"{number}.json").write_text("no JSON")
    ran = lbdemo("call", "--target", f"dir://{tmp_path}")
    lines = ran.err.splitlines()
    assert (ran.code, len(lines)) == (1, 12)
    assert lines[10] == "lbdemo: and 3 more warnings of this kind"
    assert lines[11].startswith("lbdemo: no replica is announced")


def test_replica_that_accepts_and_never_answers_is_named_and_no_call_goes_there(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as hung, plain_greeter() as one:
        silent = f"127.0.0.1:{hung.getsockname()[1]}"
        for name, address in (("one", one), ("hung", silent)):
            record = {"Op": 0, "Addr": address, "Metadata": {"id": name}}
            (tmp_path / f"{name}.json").write_text(json.dumps(record))
        ran = lbdemo("call", "--target", f"dir://{tmp_path}", "--count", "8")
        assert (ran.code, ran.err) == (0, "")
        assert "announced, and not to be called: hung unhealthy" in ran.out
        ran = lbdemo("call", "--target", silent, "--warm-up-timeout", "1500ms")
        assert (ran.code, ran.only_line) == (1, f"lbdemo: no server reachable at {silent}: no answer within 1.5 s")


def test_bad_record_is_named(tmp_path: Path) -> None:
    with plain_greeter() as one:
        (tmp_path / "r1.json").write_text(json.dumps({"Op": 0, "Addr": one, "Metadata": {"id": "r1"}}))
        (tmp_path / "r2.json").write_text("{")
        ran = lbdemo("call", "--target", f"dir://{tmp_path}", "--count", "2", "--json")
    assert ran.json["calls"] == 2
    assert "r2.json" in ran.only_line


def test_name_may_be_anything() -> None:
    with plain_greeter() as one:
        for name in ("", "ä" * 50_000, "a\nb"):
            report: Any = lbdemo("call", "--target", one, "--count", "1", "--name", name, "--json", ok=True).json
            assert report["calls"] == 1
            assert report["requested"]["name"] == name
