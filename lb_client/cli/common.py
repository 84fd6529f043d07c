"""What every subcommand shares: the failure that ends a command, and the `--cluster` option."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar

import click

from backends import file_limit

F = TypeVar("F", bound=Callable[..., Any])

_CLUSTER = re.compile(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?")


class Failure(Exception):  # noqa: N818 -- it reads as what it is: the command failed, and this is the line that says why
    """An action failed: one line that says what is wrong and what to do, and the exit code."""

    def __init__(self, message: str, *, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class Between(click.ParamType[int]):
    """A whole number from `low` to `high`, both included; what click's own says of others is no sentence."""

    name = "N"

    def __init__(self, low: int, high: int, what: str) -> None:
        self._low, self._high, self._what = low, high, what

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number; a click error says what is possible."""
        text = str(value).strip()
        digits = text.removeprefix("-")
        if not (digits.isascii() and digits.isdigit() and len(digits) < 20 and self._low <= int(text) <= self._high):
            self.fail(f"{value!r} is no {self._what}: write {self._low:,} to {self._high:,}.", param, ctx)
        return int(text)


def expect_room_for_files() -> None:
    """Take as many open files as this process may have.

    Raises:
        Failure: They are too few to do anything with gRPC.
    """
    if line := file_limit.shortage("lbdemo's commands", file_limit.LEAST, limit=file_limit.allow_many()):
        raise Failure(line)


def _cluster_name(_ctx: click.Context, _param: click.Parameter, value: str) -> str:
    if not _CLUSTER.fullmatch(value):
        raise click.BadParameter(
            f"{value!r} is no cluster name: use 1 to 32 of a-z, 0-9 and '-', with a letter or digit at both ends."
        )
    return value


def cluster_option(function: F) -> F:
    """`--cluster NAME`, checked: the name becomes a folder's name."""
    return click.option(
        "--cluster",
        default="default",
        show_default=True,
        metavar="NAME",
        envvar="LBDEMO_CLUSTER",
        callback=_cluster_name,
        help="Which cluster; several can run at once.",
    )(function)
