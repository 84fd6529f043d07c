"""Ctrl-C at any point, and again while the first one is answered: one line at most, the right code, nothing left."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.support.command import lbdemo
from tests.support.leaks import strays

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Press = Callable[..., None]

pytestmark = pytest.mark.timeout(90)

# Presses Ctrl-C when the main thread enters one function after the other: `file:function file:function`.
PRESS = """
import os, signal, sys
points = [point.rsplit(":", 1) for point in os.environ.get("PRESS_AT", "").split()]

def entered(frame, event, _):
    if event == "call" and points and frame.f_code.co_name == points[0][1]:
        if frame.f_code.co_filename.endswith(points[0][0]):
            del points[0]
            os.kill(os.getpid(), signal.SIGINT)

sys.setprofile(entered)
"""
INTERRUPTED = "lbdemo: interrupted\n"


@pytest.fixture
def press(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Press:
    (tmp_path / "sitecustomize.py").write_text(PRESS)

    def at(*points: str) -> None:
        monkeypatch.setenv("PRESS_AT", " ".join(points))
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    return at


@pytest.fixture
def cluster() -> Iterator[None]:
    lbdemo("up", "--replicas", "2", ok=True)
    yield
    os.environ.pop("PRESS_AT", None)
    lbdemo("down", ok=True)


@pytest.mark.parametrize(
    "point",
    [
        "lb_client/cli/root.py:<module>", "click/__init__.py:<module>", "lb_client/cli/call.py:<module>",
        "lb_client/cli/call.py:_plan", "lb_client/driver.py:<module>", "grpc/__init__.py:<module>",
        "grpc/aio/__init__.py:<module>", "lb_client/measurement.py:<module>", "resolver/runtime.py:<module>",
    ],
)  # fmt: skip
@pytest.mark.usefixtures("cluster")
def test_while_call_is_imported(point: str, press: Press) -> None:
    press(point)
    ran = lbdemo("call")
    assert (ran.code, ran.out, ran.err) == (130, "", INTERRUPTED)


AT_EXIT = "resolver/runtime.py:_end_at_exit"


@pytest.mark.parametrize("again", ["lb_client/cli/session.py:print", "cli/standard_streams.py:complain", AT_EXIT])
@pytest.mark.parametrize("point", ["lb_client/warmup.py:run", "lb_client/cli/session.py:expect_room"])
@pytest.mark.usefixtures("cluster")
def test_before_the_first_call_and_again(point: str, again: str, press: Press) -> None:
    press(point, again, AT_EXIT)
    ran = lbdemo("call", "--count", "100000")
    assert (ran.code, ran.out, ran.err) == (130, "", INTERRUPTED)


@pytest.mark.parametrize("again", ["lb_client/report.py:build_report", "cli/session.py:__exit__", AT_EXIT])
@pytest.mark.usefixtures("cluster")
def test_while_calls_are_made_and_again_the_report_comes(again: str, press: Press) -> None:
    press("lb_client/cli/call_live.py:show_progress", again, AT_EXIT)
    ran = lbdemo("call", "--count", "100000", "--concurrency", "8")
    assert (ran.code, ran.err) == (130, "")
    assert "(interrupted)" in ran.out
    assert ran.out.count("127.0.0.1:") == 2


@pytest.mark.usefixtures("cluster")
def test_in_a_stream_and_again(press: Press) -> None:
    for point in ("lb_client/cli/stream.py:_plan", "lb_client/cli/session.py:expect_room"):
        press(point, "cli/standard_streams.py:complain", AT_EXIT)
        ran = lbdemo("stream", "--duration", "30s")
        assert (ran.code, ran.out, ran.err) == (130, "", INTERRUPTED), point
    press("lb_client/cli/stream_session.py:_run_and_show", "cli/session.py:end", AT_EXIT)
    ran = lbdemo("stream", "--duration", "30s")
    assert (ran.code, ran.err) == (130, "")
    assert ran.out


@pytest.mark.usefixtures("cluster")
def test_while_the_report_is_printed_and_again(press: Press) -> None:
    press("lb_client/report_table.py:page_of", AT_EXIT)
    ran = lbdemo("call")
    assert (ran.code, ran.out, ran.err) == (130, "", INTERRUPTED)


@pytest.mark.usefixtures("cluster")
def test_when_all_is_said_it_changes_nothing(press: Press) -> None:
    press(AT_EXIT, AT_EXIT)
    ran = lbdemo("call")
    assert (ran.code, ran.err) == (0, "")
    assert "Even" in ran.out


@pytest.mark.parametrize(
    "point",
    [
        "lb_client/cli/status.py:<module>", "backends/cluster.py:<module>", "backends/link.py:open_link",
        "backends/link.py:status", "backends/link.py:_views", "backends/link.py:__exit__",
    ],
)  # fmt: skip
@pytest.mark.usefixtures("cluster")
def test_in_status_and_again(point: str, press: Press) -> None:
    press(point, "cli/standard_streams.py:complain")
    ran = lbdemo("status")
    assert (ran.code, ran.out, ran.err) == (130, "", INTERRUPTED)


@pytest.mark.parametrize(
    "again", ["backends/leash.py:pull", "lb_client/cli/up.py:_interrupted", "standard_streams.py:complain"]
)
def test_while_a_cluster_starts_and_again_nothing_is_left(again: str, press: Press, tmp_path: Path) -> None:
    (tmp_path / "never.py").write_text("import time\ndef add(server): time.sleep(0.5)\n")
    press("backends/starting.py:wait", again)
    ran = lbdemo("up", "-n", "1", "--service", "never:add", cwd=tmp_path)
    assert ran.code == 130
    assert ran.only_line.startswith("lbdemo: interrupted")
    press()
    lbdemo("down", ok=True)
    assert strays(tmp_path) == {}


@pytest.mark.usefixtures("cluster")
def test_of_down_it_is_told_whether_the_cluster_drains(press: Press) -> None:
    press("backends/link.py:status")
    ran = lbdemo("down")
    assert (ran.code, ran.only_line) == (130, "lbdemo: interrupted; see 'lbdemo status'")
    press()
    assert lbdemo("status").code == 0
    press("lb_client/cli/fleet_view.py:__call__")
    ran = lbdemo("down")
    assert (ran.code, ran.only_line) == (130, "lbdemo: interrupted; the cluster drains and ends by itself")


@pytest.mark.parametrize("point", ["backends/replica.py:<module>", "grpc/__init__.py:<module>"])
def test_while_a_replica_is_imported(point: str, press: Press) -> None:
    press(point)
    ran = lbdemo("serve")
    assert (ran.code, ran.out, ran.err) == (130, "", INTERRUPTED)
