"""What the outside wants of a replica's process: the end, or the end at once; by signal, or by its lifeline."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from typing import Self


class Orders:
    """The orders to one process, heard while the block lasts. Needs the main thread and a running loop.

    Attributes:
        end: Set by the first order.
        at_once: Set by the same signal a second time, or by any order while `serving` is False.
        serving: For the replica to set: before that there is nothing to drain.
        reason: What gave the first order.
    """

    def __init__(self, lifeline_fd: int | None = None) -> None:
        self.end = asyncio.Event()
        self.at_once = asyncio.Event()
        self.serving = False
        self.reason = ""
        self._seen: set[signal.Signals] = set()
        self._fd = lifeline_fd

    def __enter__(self) -> Self:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._signalled, number)
        if self._fd is not None:
            os.set_blocking(self._fd, False)
            loop.add_reader(self._fd, self._lifeline, self._fd)
        return self

    def __exit__(self, *_: object) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
        if self._fd is not None:
            loop.remove_reader(self._fd)

    def _signalled(self, number: signal.Signals) -> None:
        # The same one twice, not any two: Ctrl-C reaches a terminal's whole group, then comes the supervisor's SIGTERM.
        if number in self._seen:
            self.at_once.set()
        self._seen.add(number)
        self._end(number.name)

    def _lifeline(self, fd: int) -> None:
        with contextlib.suppress(BlockingIOError):
            if os.read(fd, 4096):
                return  # only its end means something
            asyncio.get_running_loop().remove_reader(fd)
            self._end("its supervisor is gone")

    def _end(self, reason: str) -> None:
        self.reason = self.reason or reason
        self.end.set()
        if not self.serving:
            self.at_once.set()
