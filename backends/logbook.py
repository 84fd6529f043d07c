"""Reads a cluster's log files: their last lines, and what is added to them. Who writes them is no matter here."""

from __future__ import annotations

import os
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO, Self

if TYPE_CHECKING:
    from pathlib import Path

SUPERVISOR = "supervisor"
LINE_MAX = 1 << 16
"""A line is shown once it is complete, or has this many bytes."""


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of one log.

    Attributes:
        source: The replica's name, or `supervisor`.
        text: Without its end; what is no UTF-8 is replaced.
    """

    source: str
    text: str


@dataclass(slots=True)
class _Followed:
    file: BinaryIO
    pending: bytes = field(default=b"")


def sources(folder: Path) -> tuple[str, ...]:
    """Whose logs there are: the supervisor first, then the replicas by number."""
    try:
        names = [path.stem for path in folder.iterdir() if path.suffix == ".log"]
    except OSError:
        return ()
    return tuple(sorted(names, key=_order))


def last_lines(path: Path, source: str, count: int | None) -> list[LogLine]:
    """The last `count` lines of a log, or all of them; none of a log that is not there."""
    try:
        with path.open("rb") as file:
            return [_line(source, raw) for raw in deque(file, maxlen=count)]
    except OSError:
        return []


class LogFollower:
    """What is written to the logs of a folder from the moment of construction on, new logs included.

    Args:
        folder: Where the logs are.
        only: Whose; empty for all.
        tail: How many of the lines that are there already come first; None for all.

    `close` it when done, or use it as a context manager.
    """

    def __init__(self, folder: Path, *, only: frozenset[str] = frozenset(), tail: int | None = None) -> None:
        self._folder = folder
        self._only = only
        self._followed: dict[str, _Followed] = {}
        self._first: list[LogLine] = []
        for source in self._wanted():
            self._first += last_lines(self._path(source), source, tail)
            self._open(source, at_end=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the files."""
        for followed in self._followed.values():
            followed.file.close()
        self._followed.clear()

    def poll(self) -> list[LogLine]:
        """The lines that were completed since the last poll; the first one gives the lines from before."""
        lines, self._first = self._first, []
        for source in self._wanted():
            if source not in self._followed:
                self._open(source, at_end=False)
        for source in sorted(self._followed, key=_order):
            lines += self._read(source)
            if self._was_replaced(source):
                self._followed.pop(source).file.close()
                self._open(source, at_end=False)
                lines += self._read(source)
        return lines

    def _wanted(self) -> list[str]:
        return [source for source in sources(self._folder) if not self._only or source in self._only]

    def _path(self, source: str) -> Path:
        return self._folder / f"{source}.log"

    def _open(self, source: str, *, at_end: bool) -> None:
        try:
            file = self._path(source).open("rb")
        except OSError:
            return
        if at_end:
            file.seek(0, os.SEEK_END)
        self._followed[source] = _Followed(file)

    def _read(self, source: str) -> list[LogLine]:
        followed = self._followed.get(source)
        if followed is None:
            return []
        data = followed.pending + (followed.file.read())
        *lines, followed.pending = data.split(b"\n")
        if len(followed.pending) > LINE_MAX:
            lines.append(followed.pending)
            followed.pending = b""
        return [_line(source, raw) for raw in lines]

    def _was_replaced(self, source: str) -> bool:
        """Whether another file stands at the path, or the same one was cut."""
        file = self._followed[source].file
        try:
            there, ours = self._path(source).stat(), os.fstat(file.fileno())
        except OSError:
            return False
        return not os.path.samestat(there, ours) or ours.st_size < file.tell()


def _line(source: str, raw: bytes) -> LogLine:
    return LogLine(source, raw.rstrip(b"\r\n").decode(errors="replace"))


def _order(source: str) -> tuple[bool, int, str]:
    number = source[1:]
    return source != SUPERVISOR, int(number) if number.isdigit() else 0, source
