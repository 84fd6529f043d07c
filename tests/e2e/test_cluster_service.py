from __future__ import annotations

import os
from pathlib import Path
from textwrap import dedent

import pytest

from tests.support.command import lbdemo, status
from tests.support.eventually import eventually
from tests.support.leaks import strays


@pytest.fixture
def state() -> Path:
    return Path(os.environ["LBDEMO_STATE_DIR"])


def _module(folder: Path, name: str, code: str) -> str:
    (folder / f"{name}.py").write_text(dedent(code))
    return f"{name}:add"


def _greeter(folder: Path, name: str) -> str:
    return _module(
        folder,
        name,
        """
        from protos import helloworld_pb2, helloworld_pb2_grpc

        class Greeter(helloworld_pb2_grpc.GreeterServicer):
            def SayHello(self, request, context):
                return helloworld_pb2.HelloReply(message="mine")

        def add(server):
            helloworld_pb2_grpc.add_GreeterServicer_to_server(Greeter(), server)
        """,
    )


def test_service_is_imported_from_where_the_user_stands(tmp_path: Path, state: Path) -> None:
    service = _greeter(tmp_path, "my_greeter")
    up = lbdemo("up", "-n", "2", "--service", service, cwd=tmp_path, ok=True)
    assert "service   helloworld.Greeter, by my_greeter:add\n" in up.out
    assert "call      lbdemo call --method helloworld.Greeter/… " in up.out
    again = lbdemo("up", "-n", "2", ok=True)
    assert again.out.partition("\n")[2] == up.out.partition("\n")[2]
    found = status()
    assert (found["service"], found["target"]) == (service, f"dir://{state}/default/my_greeter")
    lbdemo("scale", "3", ok=True)
    lbdemo("down", ok=True)


def test_another_service_than_the_running_one_is_refused(tmp_path: Path) -> None:
    lbdemo("up", "-n", "1", ok=True)
    ran = lbdemo("up", "-n", "2", "--service", _greeter(tmp_path, "their_greeter"), cwd=tmp_path)
    assert ran.code == 1
    assert "runs the Greeter, not their_greeter:add: 'lbdemo down' first" in ran.only_line
    assert len(status()["replicas"]) == 1
    lbdemo("down", ok=True)


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import not_there_at_all", "No module named 'not_there_at_all'"),
        (
            "import os, signal\ndef add(server): os.kill(os.getpid(), signal.SIGSEGV)",
            "killed by SIGSEGV, 3 times in a row",
        ),
        ("def add(server): raise SystemExit('no, thank you')", "no, thank you"),
    ],
    ids=["import", "crash", "exit"],
)
def test_service_that_cannot_start_says_why_and_leaves_nothing(
    tmp_path: Path, state: Path, code: str, reason: str
) -> None:
    ran = lbdemo("up", "-n", "2", "--service", _module(tmp_path, "broken", code), cwd=tmp_path)
    assert ran.code == 1
    assert reason in ran.only_line
    assert ran.only_line.endswith("; nothing is left running")
    assert strays(state) == {}


def test_form_of_the_service_is_checked_first() -> None:
    ran = lbdemo("up", "--service", "no-module")
    assert ran.code == 2
    assert "not of the form package.module:function" in ran.err


def test_time_that_is_up_names_the_late_replicas_and_their_logs(tmp_path: Path, state: Path) -> None:
    service = _module(tmp_path, "late", "import time\ndef add(server): time.sleep(60)")
    ran = lbdemo("up", "-n", "2", "--service", service, "--timeout", "300ms", cwd=tmp_path)
    assert ran.code == 1
    assert ran.only_line == (
        "lbdemo: 0 of 2 replicas serve after 0.3 s (r1 starting, r2 starting); "
        f"logs: {state}/default/logs; the cluster stays as it is"
    )
    assert [r["phase"] for r in status()["replicas"]] == ["STARTING", "STARTING"]
    lbdemo("down", ok=True)


def test_replica_that_cannot_come_back_fails_with_its_reason(tmp_path: Path) -> None:
    service = _greeter(tmp_path, "fading")
    lbdemo("up", "-n", "1", "--service", service, cwd=tmp_path, ok=True)
    (tmp_path / "fading.py").write_text("raise ImportError('it is gone')")
    ran = lbdemo("scale", "2")
    assert ran.code == 1
    assert "r2 cannot start" in ran.only_line
    assert "it is gone" in ran.only_line
    assert ran.only_line.endswith("; scaled back to 1")
    eventually(lambda: _assert_ids("r1"))
    lbdemo("down", ok=True)


def _assert_ids(*ids: str) -> None:
    assert [r["id"] for r in status()["replicas"]] == list(ids)
