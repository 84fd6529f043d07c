"""Waiting for a folder to change: at once where the kernel tells (inotify), by looking again where it does not."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from pathlib import Path

    from asyncinotify import Inotify

_log = logging.getLogger(__name__)

_POLL_S = 0.1


class FolderChanges:
    """Wakes when something in `path` may have changed. A context manager: leaving it closes the kernel's watch.

    The folder need not exist, may vanish and may be replaced; the watch follows the name, not the inode. A wake-up may
    be false; none is missed for longer than the time given to `wait`.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._inotify: Inotify | None = None
        self._watched: tuple[int, int] | None = None  # device and inode of the folder that the kernel watches for us
        self._attach()

    def __enter__(self) -> Self:
        """Nothing to begin: the watch was set when the object was made."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the kernel's watch."""
        self._detach()

    async def wait(self, timeout_s: float) -> bool:
        """Return when something may have changed, or after `timeout_s` seconds; whether the kernel told of it."""
        if self._attach():
            return True  # a new folder under the old name: what is in it has not been read
        if self._inotify is None:
            await asyncio.sleep(min(timeout_s, _POLL_S))
            return False
        try:
            async with asyncio.timeout(timeout_s):
                await self._inotify.get()
        except TimeoutError:
            return False
        return True

    def _attach(self) -> bool:
        """Watch the folder that has the name now; True when that is another one than before."""
        try:
            info = os.stat(self._path)  # noqa: PTH116 -- Path.stat in an async caller is no better
            present = (info.st_dev, info.st_ino)
        except OSError:
            present = None
        if present == self._watched:
            return False
        self._detach()
        self._watched = present
        if present is not None and sys.platform == "linux":
            self._inotify = self._open()
        return present is not None

    def _open(self) -> Inotify | None:
        from asyncinotify import Inotify, Mask  # noqa: PLC0415 -- Linux only, and only where a folder is watched

        try:
            inotify = Inotify()
        except OSError as error:
            _log.warning("no inotify (%s): looking at %s every %d ms instead", error, self._path, _POLL_S * 1000)
            return None
        try:
            inotify.add_watch(
                self._path,
                Mask.MOVED_TO | Mask.CLOSE_WRITE | Mask.DELETE | Mask.MOVED_FROM | Mask.DELETE_SELF | Mask.MOVE_SELF,
            )
        except OSError as error:
            inotify.close()
            _log.warning("no inotify (%s): looking at %s every %d ms instead", error, self._path, _POLL_S * 1000)
            return None
        return inotify

    def _detach(self) -> None:
        if self._inotify is not None:
            self._inotify.close()
            self._inotify = None
        self._watched = None
