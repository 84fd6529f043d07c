"""`--html FILE`: whether a page can be written there, asked before the calls are made, and writing it after them."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lb_client.cli.common import Failure

if TYPE_CHECKING:
    from lb_client.report import Report


def check_file(_context: click.Context, _option: click.Parameter, name: str | None) -> Path | None:
    """The path, once it is known that it can be written to. A file that is there stays as it is for now.

    Raises:
        click.UsageError: It is a folder, its folder is missing, or nothing can be written there.
    """
    if name is None:
        return None
    path = Path(name)
    try:
        found = path.stat().st_mode if path.exists() else None
        if found is not None and stat.S_ISDIR(found):
            raise click.UsageError(f"--html {name}: that is a folder; name a file in it.")
        if found is None and not path.parent.is_dir():
            raise click.UsageError(f"--html {name}: there is no folder {path.parent}.")
        # Only trying tells: permissions, read-only disks, names that are too long.
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK, 0o666))
        if found is None:
            path.unlink()
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise click.UsageError(f"--html {name}: {why}.") from None
    return path


def write_page(report: Report, path: Path) -> None:
    """Write it.

    Raises:
        Failure: It could be written before the run, and cannot now.
    """
    from lb_client.history.html_page import html_of  # noqa: PLC0415 -- only who asks for it pays

    try:
        path.write_text(html_of(report), encoding="utf-8")
    except OSError as error:
        raise Failure(f"--html {path}: {error.strerror}") from None
    click.echo(f"the page is in {path}", err=True)
