"""What ties a cluster to the command that starts it, until that lets go: news one way, the end the other.

A socket pair with JSON lines. The supervisor tells of every change of its replicas and of how many are wanted, of what
they serve and, once, that its socket is open; the command sends `detach` when it leaves the cluster to itself. If the
leash ends before that, however the command died, the supervisor drains everything and ends: a start that was
interrupted leaves nothing. The supervisor's end is supervisor_leash.py's.
"""

from __future__ import annotations

import contextlib
import json
import select
import socket
import time
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Iterator

DETACH = b"detach\n"
TICK_S = 0.25

Event = dict[str, Any]


class Leash:
    """The command's end. Leaving the block without `detach` has the supervisor drain and end, and waits for that."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._pending = b""
        self._detached = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            if not self._detached:
                self.pull()
                for _event in self.events():
                    pass
        finally:
            self._end.close()

    def events(self, *, within_s: float | None = None) -> Iterator[Event]:
        """The supervisor's news until it ends; an empty one each quarter of a second without news.

        Ends without a word when the supervisor has ended.

        Raises:
            TimeoutError: `within_s` is over.
        """
        end = None if within_s is None else time.monotonic() + within_s
        while True:
            left = TICK_S if end is None else min(TICK_S, end - time.monotonic())
            if left < 0:
                raise TimeoutError
            ready, _, _ = select.select([self._end], [], [], left)
            if not ready:
                yield {}
                continue
            try:
                data = self._end.recv(1 << 16)
            except ConnectionResetError:
                return
            if not data:
                return
            *lines, self._pending = (self._pending + data).split(b"\n")
            for line in lines:
                yield json.loads(line)

    def detach(self) -> None:
        """Let the cluster go on without us."""
        self._end.sendall(DETACH)
        self._detached = True

    def pull(self) -> None:
        """Have the supervisor drain and end; `events` then shows how it does."""
        with contextlib.suppress(OSError):
            self._end.shutdown(socket.SHUT_WR)
