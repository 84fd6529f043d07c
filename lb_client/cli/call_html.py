"""`--html FILE`: the report's page, written after the calls."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from lb_client.cli.common import Failure

if TYPE_CHECKING:
    from pathlib import Path

    from lb_client.report import Report


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
