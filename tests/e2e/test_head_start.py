"""The process that imports for a supervisor while `up` imports for itself: it becomes one, or leaves no trace."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support.command import lbdemo, status
from tests.support.eventually import eventually
from tests.support.leaks import strays

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [
    pytest.mark.timeout(60),
    pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="nothing is gained with one processor"),
]

BEGINS = "from backends import head_start; head_start.begin()\n"
UP = "from backends import cluster; print(cluster.up('default', replicas=1).view.serving)\n"


def python(code: str, folder: Path) -> str:
    """What a process prints that has begun and then goes on with `code`, in that folder."""
    command = [sys.executable, "-c", BEGINS + code]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=40, cwd=folder).stdout


def test_it_becomes_the_supervisor(tmp_path: Path) -> None:
    refuses = "import os\ndef refuse(): raise OSError('no fork after the first')\nos.fork = refuse\n"
    assert python(refuses + UP, tmp_path) == "1\n"
    assert [replica["health"] for replica in status()["replicas"]] == ["SERVING"]
    lbdemo("down", ok=True)


@pytest.mark.parametrize("after", ["", "head_start.is_ready()\n"], ids=["at once", "when it was ready"])
def test_one_that_has_died_is_not_missed(after: str, tmp_path: Path) -> None:
    kills = (
        "import os, signal\nfrom pathlib import Path\nfrom tests.support.leaks import strays\n"
        "for pid in strays(Path.cwd()): os.kill(pid, signal.SIGKILL); print('killed')\n"
    )
    assert python(after + kills + UP, tmp_path) == "killed\n1\n"
    lbdemo("down", ok=True)


@pytest.mark.parametrize("args", [("--replicas", "abc"), ("--help",), ("--cluster", "a/b")])
def test_up_that_starts_nothing_leaves_nothing(args: tuple[str, ...], tmp_path: Path) -> None:
    lbdemo("up", *args, cwd=tmp_path)
    assert strays(tmp_path) == {}


def test_up_that_scales_leaves_nothing(tmp_path: Path) -> None:
    lbdemo("up", "-n", "1", ok=True)
    lbdemo("up", "-n", "2", cwd=tmp_path, ok=True)
    assert strays(tmp_path) == {}
    lbdemo("down", ok=True)


@pytest.mark.parametrize("after_s", [0, 0.02, 0.3])
def test_command_that_is_killed_leaves_nothing(after_s: float, tmp_path: Path) -> None:
    code = f"import os, signal, time; time.sleep({after_s}); os.kill(os.getpid(), signal.SIGKILL)"
    killed = subprocess.run([sys.executable, "-c", BEGINS + code], timeout=40, cwd=tmp_path, check=False)
    assert killed.returncode == -9

    def gone() -> None:
        assert strays(tmp_path) == {}

    eventually(gone, within_s=5)


def test_its_output_is_nobodys_to_wait_for(tmp_path: Path) -> None:
    code = "print('first', flush=True); import os; os.close(1); input()"
    with subprocess.Popen(
        [sys.executable, "-c", BEGINS + code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=tmp_path
    ) as process:
        assert process.stdout is not None
        assert process.stdout.read() == "first\n"  # to its end, while the process goes on
        assert process.stdin is not None
        process.stdin.write("\n")


def test_ctrl_c_cuts_the_wait_for_it_short_and_nothing_is_held(tmp_path: Path) -> None:
    code = (
        "import os, signal, socket, threading\n"
        "head_start.give_up()\n"
        "head_start._begun, silent = socket.socketpair()\n"  # one that never gets ready
        "from backends import cluster\n"
        "ctrl_c = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT))\n"
        "try: ctrl_c.start(); cluster.up('default', replicas=1)\n"
        "except KeyboardInterrupt: print('interrupted', cluster.runs('default'))\n"
        "silent.close()\n"
    )
    assert python(code, tmp_path) == "interrupted False\n"


def test_it_keeps_nothing_of_the_command_open(tmp_path: Path) -> None:
    code = (
        "import os\nfrom pathlib import Path\nfrom tests.support.leaks import strays\n"
        "(pid,) = strays(Path.cwd())\nhead_start.is_ready()\n"
        "print(sorted(os.path.basename(os.readlink(f'/proc/{pid}/fd/{fd}')).partition('[')[0]"
        " for fd in os.listdir(f'/proc/{pid}/fd')))\n"
    )
    before = "import os\nleft = os.open('kept', os.O_CREAT | os.O_RDWR)\nos.set_inheritable(left, True)\n"
    command = [sys.executable, "-c", before + BEGINS + code]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=40, cwd=tmp_path)
    assert done.stdout == "['null', 'null', 'null', 'socket:']\n"


def test_it_is_left_out_where_a_fork_is_not_safe(tmp_path: Path) -> None:
    code = "import grpc\n" + BEGINS + "print(head_start.is_ready())"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=40, cwd=tmp_path)
    assert done.stdout == "False\n"


def test_command_whose_starter_ignores_the_ends_of_children(tmp_path: Path) -> None:
    code = "import signal\nsignal.signal(signal.SIGCHLD, signal.SIG_IGN)\n" + BEGINS + "print(head_start.is_ready())"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=40, cwd=tmp_path)
    assert (done.stdout, done.stderr) == ("True\n", "")
