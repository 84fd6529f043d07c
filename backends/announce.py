"""The replica's record in the registry folder: checked, written, put back, removed. Watching it is resolver's affair.

The JSON is that of gRPC's etcd naming, so that Go services find ours and ours theirs.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import re
from typing import TYPE_CHECKING

from backends.address import advertised
from backends.errors import CannotStart
from backends.layout import MAX_WEIGHT, NAME_RULE, is_name

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from backends.spec import ReplicaSpec

_log = logging.getLogger(__name__)

LOOK_EVERY_S = 1.0
"""How often a replica looks whether its record is there. On the loop: a registry is a folder that answers at once."""

_ID = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")


def check(spec: ReplicaSpec) -> None:
    """Whether the spec can be announced at all; before anything is bound.

    Raises:
        CannotStart: The id, the address to advertise or the metadata is none; the message says what is allowed.
    """
    if not _ID.fullmatch(spec.id):
        raise CannotStart(f"{spec.id!r} is no replica id: use 1 to 63 letters, digits, '.', '_' and '-'")
    if not 0 <= spec.port <= 65535:
        raise CannotStart(f"port {spec.port} is not between 0 and 65535")
    if spec.advertise is not None:
        advertised(spec.advertise, 1)
    for key, value in spec.metadata:
        if key in ("", "id"):
            raise CannotStart(f"metadata {key!r} cannot be set: use any other name, the id has its own option")
        if key == "weight" and not (
            value.isascii() and value.isdigit() and len(value) < 9 and 1 <= int(value) <= MAX_WEIGHT
        ):
            raise CannotStart(f"metadata weight={value!r} is no whole number from 1 to {MAX_WEIGHT}")
        if key in ("zone", "version") and not is_name(value):
            raise CannotStart(f"metadata {key}={value!r} is no name: use {NAME_RULE}")


class Record:
    """One replica's record file. `write` and `withdraw` may be called in any order and more than once."""

    def __init__(self, folder: Path, id: str, address: str, metadata: tuple[tuple[str, str], ...] = ()) -> None:
        self._path = folder / f"{id}.json"
        self._address = address
        content = {"Op": 0, "Addr": address, "Metadata": {"weight": "1", **dict(metadata), "id": id}}
        self._bytes = json.dumps(content, sort_keys=True).encode() + b"\n"

    def __str__(self) -> str:
        return str(self._path)

    def write(self) -> None:
        """Announce: readers see the whole record or none.

        Raises:
            CannotStart: The folder cannot be made or written.
        """
        folder = self._path.parent
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._tell_of_another()
            self._write()
        except OSError as error:
            raise CannotStart(
                f"cannot announce in {folder}: {error.strerror}; give --registry a folder that this user can write to"
            ) from error

    def put_back(self) -> bool:
        """Announce again if nothing has the record's name any more; whether that was so.

        A folder that was removed is made again, one in a folder that is gone too is waited for.

        Raises:
            OSError: The folder cannot be made or written.
        """
        if os.path.lexists(self._path):
            return False
        self._path.parent.mkdir(mode=0o700, exist_ok=True)
        self._write()
        return True

    def _write(self) -> None:
        # Watchers pass over names that start with a dot; the pid keeps two writers of one id apart.
        unfinished = self._path.with_name(f".{self._path.name}.{os.getpid()}.tmp")
        try:
            unfinished.write_bytes(self._bytes)
            unfinished.replace(self._path)
        except OSError:
            with contextlib.suppress(OSError):
                unfinished.unlink()
            raise

    def withdraw(self) -> None:
        """Remove the record if it is still ours: a successor under the same id may have put its own there."""
        try:
            if self._path.read_bytes() == self._bytes:
                self._path.unlink()
        except (FileNotFoundError, NotADirectoryError):
            pass
        except OSError as error:
            _log.warning("cannot withdraw %s: %s", self._path, error.strerror)

    def _tell_of_another(self) -> None:
        with contextlib.suppress(OSError):
            if (found := self._path.read_bytes()) != self._bytes:
                _log.warning(
                    "replacing another replica's record %s: %s",
                    self._path,
                    found[:200].decode(errors="replace").strip(),
                )


def identity(path: str) -> tuple[int, int] | None:
    """What tells a file from any other that may take its place; None when there is none."""
    try:
        found = os.stat(path)  # noqa: PTH116 -- once a second, for each replica
    except OSError:
        return None
    return found.st_dev, found.st_ino


async def keep(record: Record, *, is_ours: Callable[[], bool], every_s: float = LOOK_EVERY_S) -> None:
    """Put the record back whenever somebody removed it, or its whole folder, until cancelled.

    What was removed and what stands in the way is told once, not each time.

    Args:
        record: Written already. One that is another's by now is left alone.
        is_ours: Whether the registry is still the one to announce in.
        every_s: How often to look.
    """
    trouble = ""
    while True:
        await asyncio.sleep(every_s)
        if not is_ours():
            continue
        try:
            if record.put_back():
                _log.warning("the record %s was removed; announced again", record)
            trouble = ""
        except OSError as error:
            if trouble != (trouble := error.strerror or str(error)):
                _log.warning("the record %s is gone and cannot be written: %s; trying on", record, trouble)
