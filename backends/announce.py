"""The replica's record in the registry folder: checked, written, removed. Who watches the folder is resolver's affair.

The JSON is that of gRPC's etcd naming, so that Go services find ours and ours theirs.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
from typing import TYPE_CHECKING

from backends.address import advertised
from backends.errors import CannotStart

if TYPE_CHECKING:
    from pathlib import Path

    from backends.spec import ReplicaSpec

_log = logging.getLogger(__name__)

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
        if key == "weight" and not (value.isascii() and value.isdigit() and 1 <= int(value) <= 2**32 - 1):
            raise CannotStart(f"metadata weight={value!r} is no positive whole number")


class Record:
    """One replica's record file. `write` and `withdraw` may be called in any order and more than once."""

    def __init__(self, folder: Path, id: str, address: str, metadata: tuple[tuple[str, str], ...] = ()) -> None:
        self._path = folder / f"{id}.json"
        self._address = address
        content = {"Op": 0, "Addr": address, "Metadata": {"weight": "1", **dict(metadata), "id": id}}
        self._bytes = json.dumps(content, sort_keys=True).encode() + b"\n"

    def write(self) -> None:
        """Announce: readers see the whole record or none.

        Raises:
            CannotStart: The folder cannot be made or written.
        """
        folder = self._path.parent
        # Watchers pass over names that start with a dot; the pid keeps two writers of one id apart.
        unfinished = folder / f".{self._path.name}.{os.getpid()}.tmp"
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._tell_of_another()
            unfinished.write_bytes(self._bytes)
            unfinished.replace(self._path)
        except OSError as error:
            with contextlib.suppress(OSError):
                unfinished.unlink()
            raise CannotStart(
                f"cannot announce in {folder}: {error.strerror}; give --registry a folder that this user can write to"
            ) from error

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
