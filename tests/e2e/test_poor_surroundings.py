"""Commands that are started without standard streams, or with few open files allowed: they work, or say why not."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.support.command import LBDEMO, TIMEOUT_S, Ran, lbdemo, status

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.timeout(90)


@dataclass(frozen=True, slots=True)
class Shell:
    """Runs the command from bash, with a redirection or after another command."""

    redirect: str = ""
    first: str = ":"

    def run(self, *args: str) -> Ran:
        line = f'{self.first}; exec "$@" {self.redirect}'
        done = subprocess.run(
            ["bash", "-c", line, "bash", *LBDEMO, *args],
            capture_output=True, text=True, timeout=TIMEOUT_S, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        return Ran(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def cluster() -> Iterator[None]:
    lbdemo("up", "--replicas", "2", ok=True)
    yield
    lbdemo("down", ok=True)


NEEDING_A_CLUSTER = (
    ["status"], ["status", "--json"], ["call", "--count", "4"], ["call", "--count", "4", "--watch"],
    ["call", "--count", "4", "--json"], ["up", "--replicas", "2"], ["scale", "2"], ["logs"],
    ["stream", "--count", "2"], ["stream", "--count", "2", "--json"], ["rebalance"],
)  # fmt: skip
NEEDING_NONE = (["--help"], ["call", "--help"], ["--version"], ["completion", "bash"])
CLOSED = (">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-")


@pytest.mark.usefixtures("cluster")
@pytest.mark.parametrize("redirect", CLOSED)
def test_closed_streams_are_no_obstacle(redirect: str) -> None:
    for args in (*NEEDING_A_CLUSTER, *NEEDING_NONE):
        ran = Shell(redirect).run(*args)
        assert (ran.code, ran.err) == (0, ""), args
        assert bool(ran.out) == (">&-" not in redirect.split()), args
    assert Shell(redirect).run("call", "--count", "x").code == 2


@pytest.mark.parametrize("redirect", CLOSED)
def test_cluster_can_be_started_and_stopped_with_closed_streams(redirect: str) -> None:
    assert Shell(redirect).run("up", "--replicas", "2").code == 0
    assert status()["serving"] == 2
    assert Shell(redirect).run("down").code == 0
    assert lbdemo("status").code == 1


@pytest.mark.usefixtures("cluster")
def test_output_that_cannot_be_written_is_one_line_and_no_error_line_changes_the_code() -> None:
    for args in (*NEEDING_A_CLUSTER, *NEEDING_NONE):
        for redirect, why in ((">/dev/full", "No space left on device"), ("1</dev/null", "Bad file descriptor")):
            ran = Shell(redirect).run(*args)
            assert (ran.code, ran.err) == (1, f"lbdemo: the output cannot be written: {why}\n"), (args, redirect)
        assert Shell("2>/dev/full").run(*args).code == 0, args
    assert Shell("2>/dev/full").run("call", "--count", "x").code == 2


@pytest.mark.parametrize("limit", [8, 12, 16, 20, 31])
def test_too_few_files_for_anything_are_one_line(limit: int) -> None:
    for args in (["up"], ["status"], ["call"], ["scale", "2"], ["down"], ["call", "--target", "127.0.0.1:1"]):
        ran = Shell(first=f"ulimit -n {limit}").run(*args)
        assert ran.code == 1, args
        assert ran.only_line == (
            f"lbdemo: lbdemo's commands need 32 open files and only {limit} are allowed: "
            "raise that with 'ulimit -n 32' or more"
        )
    assert Shell(first=f"ulimit -n {limit}").run("--help").code == 0


def test_soft_limit_is_raised_as_far_as_it_may_be() -> None:
    small = Shell(first="ulimit -Sn 16")
    assert small.run("up", "-n", "3").code == 0
    assert small.run("call", "--count", "6").code == 0
    assert small.run("down").code == 0


@pytest.mark.usefixtures("cluster")
def test_more_endpoints_than_files_are_one_line() -> None:
    lbdemo("scale", "20", ok=True)
    for limit in (32, 48, 64):
        ran = Shell(first=f"ulimit -n {limit}").run("call")
        assert (ran.code, ran.out) == (1, "")
        assert ran.only_line.startswith("lbdemo: ")
        assert f"{limit} are allowed: raise that with 'ulimit -n " in ran.only_line
    assert Shell(first="ulimit -n 72").run("call").code == 0


def test_more_replicas_than_files_are_refused_and_the_cluster_stays_reachable() -> None:
    small = Shell(first="ulimit -n 40")
    ran = small.run("up", "-n", "9")
    assert (ran.code, ran.only_line) == (
        1, "lbdemo: 9 replicas need 41 open files and only 40 are allowed: raise that with 'ulimit -n 41' or more",
    )  # fmt: skip
    assert lbdemo("down").out == "cluster 'default' is not running: nothing to stop\n"
    assert small.run("up", "-n", "8").code == 0
    ran = lbdemo("scale", "100")
    assert ran.code == 1
    assert "100 replicas need 132 open files and only 40 are allowed" in ran.only_line
    assert {r["health"] for r in status()["replicas"]} == {"SERVING"}
    lbdemo("down", ok=True)
