"""A walker's process, from outside: started, asked, ended. What it is asked for is walk.py's matter."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from lb_client.compare.walker import Errand

_END_S = 5.0


class WalkError(Exception):
    """A way could not be walked. One line."""


class WalkerClient:
    """One walker's process. A context manager: in the block it is warm and can be asked; leaving it ends it.

    Raises:
        WalkError: When entered: it cannot send a single call. When asked: it has ended.

    Attributes:
        connections: How many connections it has open, by the address that they were made to; empty if it cannot tell.
    """

    def __init__(self, errand: Errand) -> None:
        self._errand = errand
        self.connections: dict[str, int] = {}
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(  # noqa: S603 -- our own module, and an errand made here
            [sys.executable, "-m", "lb_client.compare.walker", self._errand.to_json()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
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
            said = process.stderr.read().strip().splitlines() if process.stderr is not None else []
            raise WalkError(f"the client for {self._errand.way.title!r} has ended: {[*said, 'without a word'][-1]}")
        told: dict[str, Any] = json.loads(line)
        return told

    @staticmethod
    def _end(process: subprocess.Popen[str], *, at_once: bool) -> None:
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
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()
