"""Runs the `lbdemo` command as a user does: another process, its exit code, what it printed."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psutil

if TYPE_CHECKING:
    from pathlib import Path

LBDEMO = (sys.executable, "-m", "lb_client.cli")
TIMEOUT_S = 40.0


@dataclass(frozen=True, slots=True)
class Ran:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What it printed, as JSON."""
        return json.loads(self.out)

    @property
    def only_line(self) -> str:
        """The one line that it wrote to stderr."""
        lines = self.err.splitlines()
        assert len(lines) == 1, self.err
        return lines[0]


def lbdemo(*args: str, cwd: Path | None = None, ok: bool = False) -> Ran:
    """Run it to its end; with `ok`, a failure is one of the test."""
    done = subprocess.run([*LBDEMO, *args], capture_output=True, text=True, timeout=TIMEOUT_S, cwd=cwd, check=False)
    ran = Ran(done.returncode, done.stdout, done.stderr)
    assert not ok or ran.code == 0, ran
    return ran


def start_lbdemo(*args: str, cwd: Path | None = None) -> subprocess.Popen[str]:
    """Start it in a process group of its own, with pipes for its output; the caller waits for its end."""
    return subprocess.Popen(
        [*LBDEMO, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=cwd, process_group=0
    )


def status(*args: str) -> dict[str, Any]:
    """The cluster as `lbdemo status --json` tells it."""
    found: dict[str, Any] = lbdemo("status", "--json", *args, ok=True).json
    return found


def is_alive(pid: int) -> bool:
    """Whether the process runs; one that waits to be reaped does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
