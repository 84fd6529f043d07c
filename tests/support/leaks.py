"""What a test may leave behind: nothing. Sees threads, processes, descriptors, temporary files and stray daemons.

gRPC needs no allowance: when its last channel and server are gone its core ends its own threads and closes its own
descriptors, within a few tenths of a second; that is why the check waits before it complains.
"""

from __future__ import annotations

import contextlib
import gc
import os
import re
import signal
import threading
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from tests.support.eventually import eventually

if TYPE_CHECKING:
    from collections.abc import Mapping

_PROC = Path("/proc")


class LeakError(Exception):
    """Something was left behind; one line for each thing."""


@dataclass(frozen=True, slots=True)
class Held:
    """What this process holds at one moment.

    Attributes:
        threads: By native id, the interpreter's and those of C libraries.
        children: Command line by pid and start time, zombies included.
        descriptors: How often each thing is open: a path, `socket:[inode]`, `anon_inode:[eventpoll]`, …
    """

    threads: Mapping[int, str]
    children: Mapping[tuple[int, float], str]
    descriptors: Counter[str]

    @classmethod
    def now(cls) -> Held:
        """Look."""
        return cls(_threads(), _children(), _descriptors())

    def left_since(self, before: Held) -> list[str]:
        """What is held now and was not held before, one line each."""
        lines = [f"thread {name}" for tid, name in self.threads.items() if tid not in before.threads]
        lines += [f"process {text}" for key, text in self.children.items() if key not in before.children]
        opened = (self.descriptors - before.descriptors).items()
        lines += [f"descriptor {target}" + (f" ({count} times)" if count > 1 else "") for target, count in opened]
        return sorted(lines)


def expect_nothing_left(
    before: Held, *, empty: Path | None = None, strays_in: Path | None = None, within_s: float = 5.0
) -> None:
    """Wait until this process holds no more than it did `before`, and complain if it does not come to that.

    Args:
        before: `Held.now()` of an earlier moment.
        empty: This folder must have become empty: the temporary folder of a test.
        strays_in: No other process has a file open below this folder, or works in it. This is how daemons are
            found, which are nobody's children.
        within_s: How long to wait.

    Raises:
        LeakError: Something is left.
    """

    def check() -> None:
        left = Held.now().left_since(before)
        if empty is not None:
            left += [f"file {path}" for path in _below(empty)]
        if strays_in is not None:
            left += [f"stray process {pid}: {command}" for pid, command in strays(strays_in).items()]
        if left:
            gc.collect()  # what waits in a reference cycle is no leak
        assert not left, "\n".join(left)

    try:
        eventually(check, within_s=within_s, every_s=0.01)
    except AssertionError as error:
        raise LeakError(f"left behind after {within_s} s:\n{error}") from None


def _below(folder: Path) -> list[str]:
    # os.walk passes over a folder that is removed while it is looked at.
    return sorted(str(Path(root, name)) for root, folders, files in os.walk(folder) for name in (*folders, *files))


def strays(folder: Path) -> dict[int, str]:
    """Other processes that have a file open below `folder` or work there: command line by pid. Linux only."""
    inside = (str(folder), f"{folder}/")
    found = {}
    for entry in _PROC.glob("[0-9]*"):
        pid = int(entry.name)
        if pid == os.getpid():
            continue
        # A process may end, or belong to somebody else, while it is looked at.
        with contextlib.suppress(OSError):
            for link in (entry / "cwd", *(entry / "fd").iterdir()):
                target = str(link.readlink())
                if target == inside[0] or target.startswith(inside[1]):
                    command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
                    found[pid] = command
                    break
    return found


def kill_strays(folder: Path) -> None:
    """End the processes that `strays` finds: whatever a failed test left running disturbs no other test."""
    for pid in strays(folder):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _threads() -> dict[int, str]:
    names = {thread.native_id: thread.name for thread in threading.enumerate()}
    found = {}
    for task in psutil.Process().threads():
        if task.id in names:
            found[task.id] = names[task.id]
        else:
            with contextlib.suppress(OSError):
                comm = (_PROC / "self" / "task" / str(task.id) / "comm").read_text().strip()
                found[task.id] = f"of a C library, {comm}"
    return found


def _children() -> dict[tuple[int, float], str]:
    found: dict[tuple[int, float], str] = {}
    if not _has_children():
        return found
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            state = child.status()
            command = " ".join(child.cmdline()) if state != psutil.STATUS_ZOMBIE else child.name()
            found[child.pid, child.create_time()] = f"{child.pid} ({state}): {command}"
    return found


def _has_children() -> bool:
    """Quickly, where the kernel tells: going over all processes of the machine for each test takes minutes in all."""
    found = False
    for task in (_PROC / "self" / "task").iterdir():
        with contextlib.suppress(FileNotFoundError):  # a thread that has ended meanwhile
            if (task / "children").read_text():
                return True
            found = True
    return not found


def _descriptors() -> Counter[str]:
    targets: Counter[str] = Counter()
    folder = _PROC / "self" / "fd"
    if not folder.is_dir():
        return targets
    for link in folder.iterdir():
        with contextlib.suppress(OSError):  # the descriptor of this very listing
            target = str(link.readlink())
            if not re.fullmatch(r"/proc/\d+/fd", target):
                targets[target] += 1
    return targets
