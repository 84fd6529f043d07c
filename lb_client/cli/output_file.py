"""The value of an option that names a file to write: whether it can be written, asked before the work, not after."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import click


def check_file(_context: click.Context, option: click.Parameter, name: str | None) -> Path | None:
    """The path, once it is known that it can be written to. A file that is there stays as it is for now.

    Raises:
        click.UsageError: It is a folder, its folder is missing, or nothing can be written there.
    """
    if name is None:
        return None
    path, what = Path(name), f"{option.opts[-1]} {name}"
    try:
        found = path.stat().st_mode if path.exists() else None
        if found is not None and stat.S_ISDIR(found):
            raise click.UsageError(f"{what}: that is a folder; name a file in it.")
        if found is None and not path.parent.is_dir():
            raise click.UsageError(f"{what}: there is no folder {path.parent}.")
        # Only trying tells: permissions, read-only disks, names that are too long.
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK, 0o666))
        if found is None:
            path.unlink()
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise click.UsageError(f"{what}: {why}.") from None
    return path
