"""The benchmarks' child processes: an environment without the caller's habits, workers that take orders, replicas."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from backends import core_environment

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT = Path(__file__).parents[2]
PROGRAMS = Path(__file__).parent / "programs"
_END_S = 10.0
_FOREIGN_PREFIXES = ("LBDEMO_", "GRPC_", "XDG_", "PYTHON", "PIP_")


def clean_environment(state: Path) -> None:
    """Take from this process, and so from its children, what would change a figure.

    PYTHONDONTWRITEBYTECODE is one of these: with it set, every start compiles what it imports.
    """
    for name in list(os.environ):
        if name.startswith(_FOREIGN_PREFIXES) or name.lower().endswith("_proxy"):
            del os.environ[name]
    os.environ["LBDEMO_STATE_DIR"] = str(state)
    os.environ["GRPC_VERBOSITY"] = "ERROR"  # that replicas go away is no news here


def lbdemo() -> str:
    """The command as it is installed beside this Python."""
    return str(Path(sys.executable).with_name("lbdemo"))


class Worker:
    """A module of `programs` in a process of its own, asked over its stdin and stdout: one JSON object a line each way.

    A context manager: leaving it ends the process. Its stderr is ours.

    Args:
        module: Its name.
        args: Of its command line.
        as_command: Calls in flight if it is to be a process like that of `lbdemo call`; 0 for an application's. For
            programs that have a channel.
        environ: More variables of its environment.

    Attributes:
        ready: What it said first.
    """

    def __init__(self, module: str, *args: str, as_command: int = 0, environ: Mapping[str, str] | None = None) -> None:
        environ = {**os.environ, **(environ or {})}
        if as_command:
            core_environment.prepare(environ)
            args = (*args, "--command", str(as_command))
        self._process = subprocess.Popen(
            [sys.executable, "-m", f"tests.benchmarks.programs.{module}", *args],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=environ,
        )
        try:
            self.ready: dict[str, Any] = self._answer()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def pid(self) -> int:
        """The worker's process."""
        return self._process.pid

    def ask(self, **question: object) -> dict[str, Any]:
        """Send the question and wait for its answer.

        Raises:
            RuntimeError: The worker has ended instead.
        """
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it has ended: told below
            self._process.stdin.write(json.dumps(question) + "\n")
            self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._process.args!r} ended with exit code {self._process.wait(_END_S)}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        """End it: no more questions, then no more patience."""
        with contextlib.suppress(BrokenPipeError):
            if self._process.stdin is not None:
                self._process.stdin.close()
        try:
            self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


@dataclass(frozen=True, slots=True)
class RunningReplica:
    """A replica of ours that serves."""

    id: str
    address: str


@contextlib.contextmanager
def replicas(count: int, *, registry: Path | None = None) -> Iterator[list[RunningReplica]]:
    """So many replicas (r1, r2, …), each a process; announced in `registry`, or nowhere. All serve when it begins."""
    folder = [] if registry is None else ["--registry", str(registry)]
    with contextlib.ExitStack() as stack:
        events = [
            stack.enter_context(_replica("--id", f"r{number}", "--linger", "0", "--grace", "0", *folder))
            for number in range(1, count + 1)
        ]
        yield [RunningReplica(event["id"], event["address"]) for event in map(_first_event, events)]


@contextlib.contextmanager
def _replica(*args: str) -> Iterator[int]:
    """One replica process; gives the descriptor on which it tells that it serves."""
    told, tell = os.pipe()
    lifeline, held = os.pipe()
    try:
        command = [sys.executable, "-m", "backends", "--notify-fd", str(tell), "--lifeline-fd", str(lifeline), *args]
        process = subprocess.Popen(command, cwd=ROOT, pass_fds=(tell, lifeline), stderr=subprocess.DEVNULL)
        os.close(tell)
        os.close(lifeline)
        try:
            yield told
        finally:
            process.terminate()
            try:
                process.wait(_END_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
    finally:
        os.close(held)
        os.close(told)


def _first_event(fd: int) -> dict[str, str]:
    line = b""
    while not line.endswith(b"\n"):
        piece = os.read(fd, 1)
        if not piece:
            raise RuntimeError("a replica ended before it served")
        line += piece
    event: dict[str, str] = json.loads(line)
    if event["event"] != "serving":
        raise RuntimeError(f"a replica does not serve: {event}")
    return event
