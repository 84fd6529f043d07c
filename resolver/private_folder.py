"""Where folders of ours with a socket in them stand, and what is done about those whose owners were killed."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import tempfile
from pathlib import Path

# A unix socket's path has room for 107 bytes, and in a `unix:` address some characters mean something else.
_PLAIN_PATH = re.compile(r"[\w./+-]{1,70}", re.ASCII)


def parent() -> Path:
    """The folder for temporary files if its path suits sockets, else /tmp."""
    found = Path(tempfile.gettempdir())
    if _PLAIN_PATH.fullmatch(str(found)):
        return found
    return Path("/tmp")  # noqa: S108 -- what is made in it has a random name and is private


def sweep(folder: Path, prefix: str, socket_name: str) -> None:
    """Remove what processes left that were killed: folders of ours whose socket nobody listens on."""
    for path in folder.glob(f"{prefix}*/{socket_name}"):
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(0.1)
            try:
                probe.connect(str(path))
            except ConnectionRefusedError:
                if path.parent.stat().st_uid == os.geteuid():
                    path.unlink()
                    shutil.rmtree(path.parent, ignore_errors=True)
