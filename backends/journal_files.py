"""The files of the replicas' journals: their layout, reading them whoever wrote them, removing them. Imports no gRPC.

A folder for each run, in it a file for each process, `<replica>.<pid>`: a header, then entries of 16 bytes in the order
of their coming. An entry is there once its time is: that is written last.
"""

from __future__ import annotations

import contextlib
import itertools
import re
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MAGIC = b"lbdemoJ1"
HEADER = struct.Struct("<8sIxxxx")
"""MAGIC, and how many entries were dropped for want of room."""
ENTRY = struct.Struct("<IHBxd")
"""Number of the call, attempts before, outcome, CLOCK_MONOTONIC in seconds."""

Entry = tuple[int, int, int, float]
"""(call, attempts before, outcome, begin_s)"""

_RUN = re.compile(r"[0-9a-f]{8,32}")


@dataclass(frozen=True, slots=True)
class JournalFile:
    """One process's journal of a run.

    Attributes:
        replica: Its name.
        pid: The process, dead or alive.
        data: The file as it was read.
        full: Whether some entries were dropped.
    """

    replica: str
    pid: int
    data: bytes = field(repr=False)
    full: bool

    @property
    def entries(self) -> tuple[Entry, ...]:
        """All of them, in the order of their coming."""
        return tuple(_entries(self.data))

    def pieces(self, most: int) -> Iterator[list[Entry]]:
        """The same, so many at a time; one piece at least. In Python's numbers a journal is ten times as large."""
        entries = _entries(self.data)
        yield list(itertools.islice(entries, most))
        while piece := list(itertools.islice(entries, most)):
            yield piece


def is_run(name: str) -> bool:
    """Whether that is a name for a run, and so for a folder: 8 to 32 hexadecimal digits."""
    return _RUN.fullmatch(name) is not None


def read(folder: Path, run: str) -> Iterator[JournalFile]:
    """What is there of a run, one process after the other, sorted; nothing of one that nobody knows.

    Raises:
        ValueError: That is no name of a run.
    """
    if not is_run(run):
        raise ValueError(f"{run!r} is no name of a run: 8 to 32 hexadecimal digits")
    for path in _files(folder / run):
        replica, _, pid = path.name.rpartition(".")
        with contextlib.suppress(OSError, struct.error):  # swept meanwhile, or only just made
            data = path.read_bytes()
            magic, dropped = HEADER.unpack_from(data)
            if magic == MAGIC and pid.isdecimal():
                yield JournalFile(replica, int(pid), data, dropped > 0)


def _entries(data: bytes) -> Iterator[Entry]:
    whole = memoryview(data)[HEADER.size :]
    for entry in ENTRY.iter_unpack(whole[: len(whole) // ENTRY.size * ENTRY.size]):
        if not entry[3]:
            return
        yield entry


def forget(folder: Path, run: str) -> None:
    """Remove what is there of a run; a replica that still writes to it writes to nothing."""
    if not is_run(run):
        return
    for path in _files(folder / run):
        with contextlib.suppress(OSError):
            path.unlink()
    with contextlib.suppress(OSError):
        (folder / run).rmdir()


def sweep(folder: Path, *, keep: int) -> None:
    """Remove all runs but the `keep` that were begun or joined last; with 0 the folder too."""
    aged = []
    for path in _files(folder):
        with contextlib.suppress(OSError):
            aged.append((path.stat().st_mtime_ns, path.name))
    for _, name in sorted(aged, reverse=True)[keep:]:
        forget(folder, name)
    if not keep:
        with contextlib.suppress(OSError):
            folder.rmdir()


def _files(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []
