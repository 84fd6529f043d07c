"""A replica's journal: what it writes down of calls that ask for it, one file a run, whole even after a SIGKILL.

A call asks by its metadata: `lbdemo-run` names its run, `lbdemo-call` its number there. Entries lie in shared memory of
a file, so they outlive the process. Reading them is journal_files.py's. Nothing is made or kept before the first such
call comes.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import logging
import mmap
import os
import time
from typing import TYPE_CHECKING, Any

import grpc

from backends.journal_files import ENTRY, HEADER, MAGIC, is_run, sweep

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from backends.identity import AsyncBehavior, Handler

_log = logging.getLogger(__name__)

RUN_KEY = "lbdemo-run"
CALL_KEY = "lbdemo-call"

MOST_ENTRIES = 524_288
"""Entries of one run in one process, 8 MiB; further ones are counted and not kept."""

MOST_RUNS = 8
"""Runs that are kept at a time; a ninth takes the place of the one that was used longest ago."""

_IN_USE_S = 60.0

_STEP = 1 << 16
_KINDS = {
    (False, False): ("unary_unary", grpc.unary_unary_rpc_method_handler),
    (False, True): ("unary_stream", grpc.unary_stream_rpc_method_handler),
    (True, False): ("stream_unary", grpc.stream_unary_rpc_method_handler),
    (True, True): ("stream_stream", grpc.stream_stream_rpc_method_handler),
}
_OUTCOME_AT = 6


class Outcome(enum.IntEnum):
    """How a servicer ended, as cluster.proto numbers it."""

    OPEN = 0
    ANSWERED = 1
    ERROR = 2
    CANCELLED = 3


class Entry:
    """One attempt that has come; its end is still to be told."""

    __slots__ = ("_at", "_pages")

    def __init__(self, pages: _Pages, at: int) -> None:
        self._pages = pages
        self._at = at

    def end(self, outcome: Outcome) -> None:
        """It has ended so."""
        self._pages.map[self._at + _OUTCOME_AT] = outcome


class _Pages:
    """One run's file of this process. Its room is taken before it is written to: a full disk must not be a SIGBUS."""

    def __init__(self, path: Path, most: int) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            os.posix_fallocate(self._fd, 0, _STEP)
            self.map = mmap.mmap(self._fd, _STEP)
        except OSError:
            os.close(self._fd)
            raise
        self._most = most
        self._used = 0
        self._dropped = 0
        HEADER.pack_into(self.map, 0, MAGIC, 0)

    def __del__(self) -> None:
        # Whoever still answers a call of the run holds on to it: only the last one lets go.
        with contextlib.suppress(AttributeError, OSError):
            os.close(self._fd)

    def begin(self, call: int, attempts: int) -> Entry | None:
        at = HEADER.size + self._used * ENTRY.size
        if self._used >= self._most or (at + ENTRY.size > len(self.map) and not self._grow()):
            self._dropped += 1
            HEADER.pack_into(self.map, 0, MAGIC, min(self._dropped, 2**32 - 1))
            return None
        self._used += 1
        ENTRY.pack_into(self.map, at, call, attempts, Outcome.OPEN, time.monotonic())
        return Entry(self, at)

    @property
    def used_s(self) -> float:
        """When the last entry came; 0 before the first."""
        if not self._used:
            return 0.0
        at_s: float = ENTRY.unpack_from(self.map, HEADER.size + (self._used - 1) * ENTRY.size)[3]
        return at_s

    def _grow(self) -> bool:
        size = len(self.map) + _STEP
        try:
            os.posix_fallocate(self._fd, 0, size)
            self.map.resize(size)
        except OSError as error:
            if not self._dropped:
                _log.warning("no room for more of the journal: %s", error.strerror)
            return False
        return True


class Journal:
    """All journals of one process, by run. Used on the event loop only.

    Args:
        folder: Holds one folder for each run; made when it is needed.
        replica: Whose they are.
        most: Entries kept of one run.
    """

    def __init__(self, folder: Path, replica: str, *, most: int = MOST_ENTRIES) -> None:
        self._folder = folder
        self._replica = replica
        self._most = most
        self._runs: dict[str, _Pages | None] = {}
        self._closed = False

    def begin(self, run: str, call: str, attempts: str) -> Entry | None:
        """Write down that an attempt has come; None where it cannot be kept, or is none of ours.

        Args:
            run: What came as `lbdemo-run`.
            call: What came as `lbdemo-call`.
            attempts: What came as `grpc-previous-rpc-attempts`; "" for nothing.
        """
        pages = self._runs[run] if run in self._runs else self._open(run)
        if pages is None:
            return None
        number, earlier = _whole(call, 2**32 - 1), _whole(attempts, 2**16 - 1)
        return pages.begin(number, earlier) if number else None

    def close(self) -> None:
        """Write down nothing more; the files stay. Entries that have no end yet hold theirs open."""
        self._closed = True
        self._runs.clear()

    def _open(self, run: str) -> _Pages | None:
        if self._closed or not is_run(run):
            return None
        # A file that was read and removed takes room until it is let go.
        kept = {name: pages for name, pages in self._runs.items() if pages and self._path(name).exists()}
        while len(kept) >= MOST_RUNS:
            del kept[min(kept, key=lambda name: kept[name].used_s)]
        self._runs = {**kept}
        path = self._path(run)
        try:
            path.parent.mkdir(0o700, parents=True, exist_ok=True)
            pages = _Pages(path, self._most)
            # What is swept was begun longest ago: a long run is not to go for short ones whose client never asked.
            for name in (name for name, each in kept.items() if time.monotonic() - each.used_s < _IN_USE_S):
                os.utime(self._folder / name)
            sweep(self._folder, keep=MOST_RUNS)
        except OSError as error:
            _log.warning("no journal of run %s can be kept: %s", run, error.strerror)
            pages = None
        self._runs[run] = pages
        return pages

    def _path(self, run: str) -> Path:
        return self._folder / run / f"{self._replica}.{os.getpid()}"


def journaled(handler: Handler, entry: Entry) -> Handler:
    """The handler, for one call whose end it tells the entry. Its behaviour is a coroutine function."""
    kind, make = _KINDS[handler.request_streaming, handler.response_streaming]
    behavior: AsyncBehavior = getattr(handler, kind)
    make_handler: Callable[..., Handler] = make

    async def answer(request: Any, context: Any) -> Any:
        outcome = Outcome.ERROR
        try:
            response = await behavior(request, context)
            if not context.code():  # a servicer may set another status than OK, and return
                outcome = Outcome.ANSWERED
        except asyncio.CancelledError:
            outcome = Outcome.CANCELLED
            raise
        finally:
            entry.end(outcome)
        return response

    return make_handler(answer, handler.request_deserializer, handler.response_serializer)


def _whole(text: str, most: int) -> int:
    """A number from metadata; 0 for what is none."""
    return int(text) if len(text) <= 10 and text.isascii() and text.isdigit() and int(text) <= most else 0
