"""Folders with a socket: private, nobody's to sweep while their owner lives, and gone after it."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from resolver.private_folder import PrivateFolder, new_path

_PREFIX = "lbp-"

_HOLD = f"""
import sys
from resolver.private_folder import PrivateFolder, new_path
folder = PrivateFolder(new_path({_PREFIX!r}))
print(folder.path, flush=True)
sys.stdin.read()
"""

# What a socket between its bind and its listen is to a sweeper, a folder is at every moment of this.
_TURN = f"""
from resolver.private_folder import PrivateFolder, new_path
for _ in range(300):
    with PrivateFolder(new_path({_PREFIX!r})) as folder:
        (folder.path / "s").touch()
        new_path({_PREFIX!r})
        (folder.path / "s").stat()
"""

# The callback is called on the control plane's thread, which then cannot end before the interpreter does.
_STUCK = """
import sys, threading
from resolver import runtime
from resolver.claims import SourceSpec
stuck = threading.Event()
def callback(snapshot):
    stuck.set()
    threading.Event().wait()
subscription = runtime.subscribe(SourceSpec.of("static:127.0.0.1:1", False), callback)
stuck.wait()
print("stuck", flush=True)
"""


def _folders() -> list[Path]:
    return sorted(Path(tempfile.gettempdir()).iterdir())


def test_a_folder_is_private_and_gone_when_it_is_left() -> None:
    with PrivateFolder(new_path(_PREFIX)) as folder:
        assert _folders() == [folder.path]
        assert folder.path.stat().st_mode & 0o777 == 0o700
        (folder.path / "deep").mkdir()
        (folder.path / "deep" / "file").touch()
    assert _folders() == []


def test_a_folder_in_the_way_is_an_error_and_nothing_is_left_of_the_try() -> None:
    path = new_path(_PREFIX)
    path.mkdir()
    (path / "file").touch()
    with pytest.raises(OSError, match="not empty"):
        PrivateFolder(path)
    assert _folders() == [path]
    assert new_path(_PREFIX) != path  # nobody's: swept
    assert _folders() == []


def test_a_control_plane_whose_thread_is_stuck_leaves_no_folder_at_exit() -> None:
    command = [sys.executable, "-c", _STUCK]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "stuck\n", "")
    assert _folders() == []


def test_what_a_killed_process_left_is_swept_and_what_a_living_one_has_is_not() -> None:
    process = subprocess.Popen([sys.executable, "-c", _HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with process:
        assert process.stdout is not None
        path = Path(process.stdout.readline().strip())
        new_path(_PREFIX)
        assert path.is_dir()
        new_path("other-")
        process.kill()
        process.wait()
        assert path.is_dir()
        new_path(_PREFIX)
        assert not path.exists()


def test_many_that_begin_and_sweep_at_once_leave_each_other_alone() -> None:
    turns = [subprocess.Popen([sys.executable, "-c", _TURN], stderr=subprocess.PIPE, text=True) for _ in range(4)]
    errors = [process.communicate(timeout=50)[1] for process in turns]
    assert errors == ["", "", "", ""]
