"""The leak checker itself: it sees each kind of thing a test can leave, and nothing else."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from tests.support.eventually import eventually
from tests.support.leaks import Held, LeakError, expect_nothing_left, kill_strays, strays

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FOREVER = [sys.executable, "-c", "import signal; signal.pause()"]


@contextlib.contextmanager
def _caught(match: str) -> Iterator[None]:
    before = Held.now()
    yield
    with pytest.raises(LeakError, match=match):
        expect_nothing_left(before, within_s=0.05)


def test_clean_block_passes() -> None:
    before = Held.now()
    thread = threading.Thread(target=lambda: None)
    thread.start()
    thread.join()
    expect_nothing_left(before)


def test_thread_is_caught_by_its_name() -> None:
    done = threading.Event()
    with _caught("thread left-running"):
        thread = threading.Thread(target=done.wait, name="left-running")
        thread.start()
    done.set()
    thread.join()


def test_child_process_is_caught_by_its_command() -> None:
    with _caught("process .*signal.pause"):
        child = subprocess.Popen(FOREVER)
    child.kill()
    child.wait()


def test_child_that_nobody_waited_for_is_caught() -> None:
    with _caught("process .*zombie"):
        child = subprocess.Popen([sys.executable, "-c", ""])
        eventually(lambda: _assert_zombie(child.pid))
    child.wait()


def test_open_file_is_caught_by_its_path(tmp_path: Path) -> None:
    with _caught("descriptor .*left-open"):
        handle = (tmp_path / "left-open").open("w")
    handle.close()


def test_file_in_the_temporary_folder_is_caught(tmp_path: Path) -> None:
    before = Held.now()
    (tmp_path / "forgotten").touch()
    with pytest.raises(LeakError, match=r"file .*forgotten"):
        expect_nothing_left(before, empty=tmp_path, within_s=0.05)


def test_stray_process_is_caught_and_can_be_killed(tmp_path: Path) -> None:
    stray = subprocess.Popen(FOREVER, cwd=tmp_path)
    before = Held.now()  # from here on it is an old child: only the folder gives it away
    eventually(lambda: _assert_stray(tmp_path, stray.pid))
    with pytest.raises(LeakError, match=f"stray process {stray.pid}: .*signal.pause"):
        expect_nothing_left(before, strays_in=tmp_path, within_s=0.05)
    kill_strays(tmp_path)
    assert stray.wait(timeout=5) == -9
    expect_nothing_left(before, strays_in=tmp_path)


def _assert_stray(folder: Path, pid: int) -> None:
    assert pid in strays(folder)


def _assert_zombie(pid: int) -> None:
    assert any(key[0] == pid and "zombie" in text for key, text in Held.now().children.items())
