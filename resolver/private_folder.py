"""Folders of ours with a socket in them: private, where sockets can stand, and swept when their owner was killed."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
import shutil
import tempfile
import threading
import time
from pathlib import Path
from typing import Self

# A unix socket's path has room for 107 bytes, and in a `unix:` address some characters mean something else.
_PLAIN_PATH = re.compile(r"[\w./+-]{1,70}", re.ASCII)
_UNBORN = ".new-"
_REMOVE_TRIES = 20
_REMOVE_AGAIN_S = 0.01


def new_path(prefix: str) -> Path:
    """A path that nobody knows, for a folder to come. What was left under this prefix by who was killed is removed.

    It stands in the folder for temporary files if that one's path suits sockets, else in /tmp.
    """
    parent = Path(tempfile.gettempdir())
    if not _PLAIN_PATH.fullmatch(str(parent)):
        parent = Path("/tmp")  # noqa: S108 -- what is made in it has a random name and is private
    _sweep(parent, prefix)
    return parent / f"{prefix}{secrets.token_hex(4)}"


class PrivateFolder:
    """A folder for this user alone, made at `path`, and locked for as long as it is somebody's. A context manager.

    The lock is the kernel's and ends with the process, so that `new_path` can tell a folder whose owner was killed from
    one that is just being used. A socket could not: between its `bind` and its `listen` it refuses like a dead one.

    Raises:
        OSError: It cannot be made.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._removing = threading.Lock()
        self._lock: int | None = None
        # Under another name until it is locked: nobody finds it before.
        unborn = Path(tempfile.mkdtemp(prefix=_UNBORN, dir=path.parent))
        lock = os.open(unborn, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            unborn.rename(path)
        except OSError:
            os.close(lock)
            unborn.rmdir()
            raise
        self._lock = lock

    def remove(self) -> None:
        """Remove it with what is in it, once: from then on the path is no longer ours. From any thread."""
        with self._removing:
            if self._lock is None:
                return
            for _ in range(_REMOVE_TRIES):
                # gRPC core may be removing its socket from it at this moment.
                shutil.rmtree(self.path, ignore_errors=True)
                if not self.path.exists():
                    break
                time.sleep(_REMOVE_AGAIN_S)
            os.close(self._lock)
            self._lock = None

    def __enter__(self) -> Self:
        """The folder, which is there already."""
        return self

    def __exit__(self, *_: object) -> None:
        """Remove it."""
        self.remove()


def _sweep(parent: Path, prefix: str) -> None:
    for path in parent.glob(f"{prefix}*"):
        # Another user's, another sweeper's, or removed by its owner meanwhile: no matter.
        with contextlib.suppress(OSError):
            _remove_if_nobodys(path)


def _remove_if_nobodys(path: Path) -> None:
    lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(lock).st_uid == os.geteuid():
            shutil.rmtree(path, ignore_errors=True)
    finally:
        os.close(lock)
