"""A walker's process, from outside: started, asked, ended. What it is asked for is walk.py's matter."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
from typing import IO, TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from lb_client.compare.errand import Errand

_END_S = 5.0


class WalkError(Exception):
    """A way could not be walked. One line."""


class WalkerClient:
    """One walker's process. A context manager: in the block it is warm and can be asked; leaving it ends it.

    Args:
        errand: What it is for.
        program: The module that is run.

    Raises:
        WalkError: When entered: it cannot send a single call. When asked: it has ended.

    Attributes:
        connections: How many connections it has open, by the address that they were made to; empty if it cannot tell.
    """

    def __init__(self, errand: Errand, program: str) -> None:
        self._errand = errand
        self._program = program
        self.connections: dict[str, int] = {}
        self._process: subprocess.Popen[str] | None = None
        self._said: IO[str] | None = None

    def __enter__(self) -> Self:
        # A file, for nobody reads it meanwhile: a pipe would be full one day (GRPC_TRACE=all), and the walker wait.
        self._said = tempfile.TemporaryFile("w+", errors="replace")
        self._process = subprocess.Popen(  # noqa: S603 -- our own module, and an errand made here
            [sys.executable, "-m", self._program, self._errand.to_json()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            text=True,
            process_group=0,
        )
        try:
            self.connections = self._hear_ready(self._process)["connections"]
        except BaseException:
            self._end(self._process, at_once=True)
            raise
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if self._process is not None:
            self._end(self._process, at_once=kind is not None)

    def ask(self, **order: object) -> dict[str, Any]:
        """Have it do something; what came of it."""
        process = self._process
        if process is None or process.stdin is None:
            raise WalkError(f"the client for {self._errand.way.title!r} is not running")
        try:
            process.stdin.write(json.dumps(order) + "\n")
            process.stdin.flush()
        except BrokenPipeError:
            pass  # it has ended: told below
        return self._hear(process)

    def _hear_ready(self, process: subprocess.Popen[str]) -> dict[str, Any]:
        told = self._hear(process)
        if not told["ready"]:
            raise WalkError(f"no call by {self._errand.way.title!r}: {' '.join(told['reason'].split())}")
        return told

    def _hear(self, process: subprocess.Popen[str]) -> dict[str, Any]:
        line = process.stdout.readline() if process.stdout is not None else ""
        if not line:
            raise WalkError(f"the client for {self._errand.way.title!r} has ended: {self._last_words()}")
        told: dict[str, Any] = json.loads(line)
        return told

    def _last_words(self) -> str:
        if self._said is None:
            return "without a word"
        self._said.seek(0)
        said = [line.strip() for line in self._said if line.strip()]
        return said[-1] if said else "without a word"

    def _end(self, process: subprocess.Popen[str], *, at_once: bool) -> None:
        """End it in good order: it has a private folder to remove. One that does not end is killed."""
        if at_once:
            process.terminate()
        with contextlib.suppress(BrokenPipeError):
            if process.stdin is not None:
                process.stdin.close()
        try:
            process.wait(_END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for file in (process.stdout, self._said):
            if file is not None:
                file.close()
