"""Which scenarios `lbdemo run` was told to play: files, or the names of those that come with it."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lb_client.cli.common import Failure
from lb_client.scenario import shipped
from lb_client.scenario.checks import check
from lb_client.scenario.errors import ScenarioError, nearest
from lb_client.scenario.reader import read
from lb_client.scenario.tree import MAX_BYTES

if TYPE_CHECKING:
    from lb_client.scenario.model import Scenario

USAGE = 2


def scenario_of(name: str) -> Scenario:
    """A file's scenario, or the shipped one of that name.

    Raises:
        click.UsageError: There is neither.
        Failure: It is no sound scenario; with the exit code of wrong usage.
    """
    data = data_of(name)
    try:
        scenario = read(data, name)
        check(scenario)
    except ScenarioError as error:
        raise Failure(error.line(name), exit_code=USAGE) from None
    return scenario


def data_of(name: str) -> bytes:
    """The bytes of a file, or of the shipped scenario of that name. A file goes before a name.

    Raises:
        click.UsageError: There is neither.
        Failure: The file cannot be read.
    """
    path = Path(name)
    if not name:
        raise click.UsageError("'' names no scenario; see 'lbdemo run --list'")
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode) and shipped.data(name) is None:
            raise Failure(f"{name} is a folder: name the file of one scenario in it", exit_code=USAGE)
        if not stat.S_ISDIR(mode):
            # One byte more than there may be tells that it is too large; a device has no end.
            with path.open("rb") as file:
                return file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        pass
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise Failure(f"{name} cannot be read: {why}", exit_code=USAGE) from None
    data = shipped.data(name)
    if data is None:
        hint = nearest(Path(name).stem, shipped.names())
        also = "; see 'lbdemo run --list'" if "did you mean" not in hint else ""
        what = "file" if "/" in name or path.suffix in (".yaml", ".yml") else "file and no scenario of lbdemo's"
        raise click.UsageError(f"{name!r} is no {what}{hint if 'did you mean' in hint else ''}{also}")
    return data
