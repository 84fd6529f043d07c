"""What the commands write where, when somebody looks only at the beginning of it, or while replicas die."""

from __future__ import annotations

import os
import signal
import subprocess
from typing import TYPE_CHECKING

import pytest

from backends import core_environment
from tests.support.command import LBDEMO, lbdemo, start_lbdemo, status
from tests.support.eventually import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.timeout(90)

SHOWS_WHAT_CORE_IS_TOLD = """
import os
from protos import helloworld_pb2_grpc

def add(server):
    print("told", os.environ["GRPC_VERBOSITY"], os.environ.get("GRPC_EXPERIMENTS"))
    helloworld_pb2_grpc.add_GreeterServicer_to_server(helloworld_pb2_grpc.GreeterServicer(), server)
"""


@pytest.fixture
def cluster() -> Iterator[None]:
    lbdemo("up", "--replicas", "3", ok=True)
    yield
    lbdemo("down", ok=True)


def piped_to(reader: str, *args: str) -> tuple[list[int], str]:
    """`lbdemo … | reader`: both exit codes, and what anybody wrote to stderr."""
    line = f'"$@" | {reader}; echo "${{PIPESTATUS[@]}}"'
    shell = ["bash", "-c", line, "bash", *LBDEMO, *args]
    done = subprocess.run(shell, capture_output=True, text=True, timeout=40, check=True)
    return [int(code) for code in done.stdout.splitlines()[-1].split()], done.stderr


@pytest.mark.usefixtures("cluster")
@pytest.mark.parametrize(
    "args",
    [["call"], ["call", "--json"], ["status"], ["status", "--json"], ["status", "--watch", "--json"], ["logs"]],
    ids=" ".join,
)
def test_reader_that_goes_away_is_no_error_of_ours(args: list[str]) -> None:
    # It has gone before anything is written: the write then always fails.
    codes, err = piped_to("exec <&-", *args)
    assert (codes, err) == ([1, 0], "")


@pytest.mark.usefixtures("cluster")
def test_first_line_and_first_byte_can_be_had() -> None:
    for args, reader in ((["call"], "head -1 >/dev/null"), (["status", "--json"], "head -c1 >/dev/null")):
        (code, _), err = piped_to(reader, *args)
        assert code in (0, 1)  # 1 if the reader was gone before the last byte
        assert err == ""


@pytest.mark.parametrize("args", [["--help"], ["--version"], ["completion", "bash"]], ids=" ".join)
def test_full_disk_is_one_line(args: list[str]) -> None:
    with open("/dev/full", "w") as full:  # noqa: PTH123 -- a device
        done = subprocess.run([*LBDEMO, *args], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "lbdemo: the output cannot be written: No space left on device\n")


def kill_one(number: int) -> None:
    def restarted() -> None:
        replica = status()["replicas"][number]
        assert (replica["health"], replica["restarts"] > restarts) == ("SERVING", True)

    replica = status()["replicas"][number]
    restarts = replica["restarts"]
    os.kill(replica["pid"], signal.SIGKILL)
    eventually(restarted, within_s=10)


@pytest.mark.usefixtures("cluster")
def test_nothing_but_our_own_lines_is_on_stderr_while_replicas_die() -> None:
    load = start_lbdemo("call", "--duration", "4s", "--concurrency", "8", "--json")
    watch = start_lbdemo("status", "--watch")
    for number in (0, 1, 2):
        kill_one(number)
        for args in (["up"], ["status"], ["scale", "3"], ["call", "--count", "3"]):
            assert lbdemo(*args).err == "", args
    out, err = load.communicate(timeout=30)
    assert err == ""
    assert out
    watch.send_signal(signal.SIGINT)
    assert watch.communicate(timeout=10)[1] == ""
    log = lbdemo("logs", ok=True).out.splitlines()
    assert [line for line in log if " I1" in line or " E1" in line or "goaway" in line] == []


def test_every_process_of_ours_tells_core_what_suits_it_unless_told_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "shows.py").write_text(SHOWS_WHAT_CORE_IS_TOLD)
    ours: dict[str, str] = {}
    core_environment.prepare(ours)
    theirs = {"GRPC_VERBOSITY": "ERROR", "GRPC_EXPERIMENTS": "tcp_rcv_lowat"}
    for set_by_user, found in (({}, ours), (theirs, theirs)):
        for name, value in set_by_user.items():
            monkeypatch.setenv(name, value)
        lbdemo("up", "-n", "1", "--service", "shows:add", cwd=tmp_path, ok=True)
        assert (
            lbdemo("logs", "r1", ok=True).out.count(
                f"| told {found['GRPC_VERBOSITY']} {found.get('GRPC_EXPERIMENTS')}\n"
            )
            == 1
        )
        lbdemo("down", ok=True)
