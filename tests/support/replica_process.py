"""One replica of ours in a process of its own, to be frozen, killed or drained by its pid. The block ends it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Self

ROOT = Path(__file__).parents[2]
_END_S = 15.0


class ReplicaProcess:
    """`python -m backends`, started by the constructor; `serving()` waits until it serves.

    Attributes:
        id: Its name.
        address: Where it serves, once it does.
        process: The process.
    """

    def __init__(self, id: str, *args: str, registry: Path | None = None) -> None:
        self.id = id
        self.address = ""
        folder = [] if registry is None else ["--registry", str(registry)]
        # The ends of pipes: what it says, and what it hears the end of when we are gone.
        self._told, tell = os.pipe()
        lifeline, self._held = os.pipe()
        command = [sys.executable, "-m", "backends", "--id", id, "--notify-fd", str(tell)]
        command += ["--lifeline-fd", str(lifeline), *folder, *args]
        try:
            self.process = subprocess.Popen(
                command, cwd=ROOT, pass_fds=(tell, lifeline), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
        except BaseException:
            self._close()
            raise
        finally:
            os.close(tell)
            os.close(lifeline)

    def __enter__(self) -> Self:
        try:
            return self.serving()
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *_: object) -> None:
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGTERM)
        try:
            self.process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._close()

    def serving(self) -> Self:
        """Wait until it serves; returns itself.

        Raises:
            RuntimeError: It ended, or said something else.
        """
        line = b""
        while not line.endswith(b"\n"):
            piece = os.read(self._told, 1)
            if not piece:
                raise RuntimeError(f"replica {self.id} ended before it served")
            line += piece
        event = json.loads(line)
        if event["event"] != "serving":
            raise RuntimeError(f"replica {self.id} does not serve: {event}")
        self.address = event["address"]
        return self

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal. No error if it has ended."""
        if self.process.poll() is None:
            self.process.send_signal(number)

    def freeze(self) -> None:
        """SIGSTOP: its kernel accepts and acknowledges, it answers nothing."""
        self.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        self.signal(signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        self.process.kill()
        self.process.wait()

    def drain(self) -> None:
        """SIGTERM, and wait until it has drained."""
        self.signal(signal.SIGTERM)
        self.process.wait(_END_S)

    def _close(self) -> None:
        for fd in (self._told, self._held):
            with contextlib.suppress(OSError):
                os.close(fd)
        self._told = self._held = -1
