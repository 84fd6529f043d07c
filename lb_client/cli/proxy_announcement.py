"""How a running `lbdemo proxy` is found: by a file in its cluster's state folder, locked for as long as it lives."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from backends.state import StateFolder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_PREFIX = "proxy."
_UNFINISHED = ".new"


@dataclass(frozen=True, slots=True)
class Announcement:
    """Where a proxy is.

    Attributes:
        address: `host:port` where each call is balanced.
        l4_address: `host:port` where each connection is balanced.
        target: What it balances to.
        zone: Whose replicas come first; "" for no preference.
    """

    address: str
    l4_address: str
    target: str
    zone: str = ""


@contextlib.contextmanager
def announced(cluster: str, announcement: Announcement) -> Iterator[None]:
    """Announce a proxy of a cluster for the length of the block, or of this process if that ends first.

    Raises:
        StateFolderError: The state folder cannot be used.
    """
    folder = StateFolder.of(cluster)
    folder.prepare()
    path = folder.path / f"{_PREFIX}{secrets.token_hex(4)}"
    unfinished = path.with_name(path.name + _UNFINISHED)
    fd = os.open(unfinished, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        # Locked before it has its name: what has a name and no lock is a dead proxy's.
        fcntl.flock(fd, fcntl.LOCK_EX)
        os.write(fd, json.dumps(asdict(announcement)).encode())
        unfinished.replace(path)
        yield
    finally:
        for left in (unfinished, path):
            with contextlib.suppress(OSError):
                left.unlink()
        os.close(fd)


def find_proxy(cluster: str) -> Announcement | None:
    """The proxy of a cluster that was started last and lives; what dead ones left is removed.

    Raises:
        StateFolderError: The state folder cannot be used.
    """
    folder = StateFolder.of(cluster)
    folder.check()
    alive = []
    for path in folder.path.glob(f"{_PREFIX}*"):
        if path.suffix == _UNFINISHED:
            continue
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            if _is_held(path):
                told = json.loads(path.read_text())
                found = Announcement(**{key: str(told[key]) for key in Announcement.__slots__})
                alive.append((path.stat().st_mtime_ns, found))
            else:
                path.unlink()
    return max(alive, key=lambda each: each[0])[1] if alive else None


def _is_held(path: Path) -> bool:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False
