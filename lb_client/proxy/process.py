"""One Envoy process from start to end: it dies with us, and its death is noticed. What it proxies: see envoy.py."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

from lb_client.proxy.errors import EnvoyMissingError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

KILL_AFTER_S = 2.0

_HEAR_S = 0.25
"""A wait without end does not hear a signal that comes just before it begins: Python looks only before and after."""

_PR_SET_PDEATHSIG = 1
# Run by a fresh Python that becomes the program: the kernel ends it when its parent dies, even by SIGKILL. Envoy asks
# for the same, but later than its parent may die.
_ON_A_LEASH = f"""
import ctypes, os, sys
ctypes.CDLL(None).prctl({_PR_SET_PDEATHSIG}, {int(signal.SIGKILL)})
if os.getppid() == int(sys.argv[1]):
    os.execv(sys.argv[2], sys.argv[2:])
"""
_PREFIX = re.compile(r"^(\[[^\]]*\] ?)+")
_LONGEST = 300


class EnvoyProcess:
    """A process with its log in a file.

    It is the child of a thread of its own, which waits for its end: the kernel takes the death of the *thread* that
    started a process for the death of its parent.

    Args:
        command: The program and its arguments.
        log: The file for what it prints.
        ended: Called on that thread when the process has ended, whoever ended it.
    """

    def __init__(self, command: Sequence[str], log: Path, *, ended: Callable[[], None] = lambda: None) -> None:
        self._command = tuple(command)
        self._log = log
        self._on_ended = ended
        self._started = threading.Event()
        self._over = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._error: OSError | None = None
        self._thread = threading.Thread(target=self._live, name="lbdemo envoy", daemon=True)

    def start(self) -> None:
        """Start it.

        Raises:
            EnvoyMissingError: It cannot be run.
        """
        self._thread.start()
        self._started.wait()
        if self._error is not None:
            self._thread.join()
            raise EnvoyMissingError(f"{self._command[0]} cannot be run: {self._error.strerror}")

    @property
    def pid(self) -> int:
        """Its process; valid until it has ended."""
        return self._process.pid if self._process is not None else 0

    @property
    def code(self) -> int | None:
        """Its exit code, negative for a signal; None while it runs."""
        return self._process.returncode if self._process is not None and self._over.is_set() else None

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait for its end; False when it has not come in time. Ctrl-C is heard at once, or a moment later."""
        if timeout_s is not None:
            return self._over.wait(timeout_s)
        while not self._over.wait(_HEAR_S):
            pass
        return True

    def stop(self, *, kill_after_s: float = KILL_AFTER_S) -> None:
        """End it, and return when it has ended. No error if it has ended by itself, or was never started."""
        if self._thread.ident is None:
            return
        self._started.wait()
        for number, patience_s in ((signal.SIGTERM, kill_after_s), (signal.SIGKILL, None)):
            self._signal(number)
            if self._process is None or self._over.wait(patience_s):
                break
        self._thread.join()

    def _signal(self, number: signal.Signals) -> None:
        # Popen does not signal what it has reaped: no pid of somebody else is hit.
        if self._process is not None and not self._over.is_set():
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)

    def last_words(self) -> str:
        """How it ended and the last line of its log, as the end of a sentence."""
        how = f"exit code {self.code}"
        if self.code is not None and self.code < 0:
            how = f"by {signal.Signals(-self.code).name}"
        line = last_line(self._log)
        return f"{how}: {line}" if line else how

    def _live(self) -> None:
        try:
            # A fresh process group: Ctrl-C in a terminal is for us, who end it in order.
            with self._log.open("wb") as log:
                self._process = subprocess.Popen(  # noqa: S603 -- the wheel's binary, by its whole path
                    [sys.executable, "-ISc", _ON_A_LEASH, str(os.getpid()), *self._command],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd=self._log.parent,
                    process_group=0,
                )
        except OSError as error:
            self._error = error
            return
        finally:
            self._started.set()
        self._process.wait()
        self._over.set()
        self._on_ended()


def last_line(log: Path) -> str:
    """The last line of a log that says something, without the time and place before it; "" where there is none."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    said = [line for line in lines if line.strip() and "caught ENVOY_SIGTERM" not in line]
    line = _PREFIX.sub("", said[-1]).strip() if said else ""
    return line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…"
