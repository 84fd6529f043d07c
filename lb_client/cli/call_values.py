"""The kinds of values that `lbdemo call` takes, each with one clear line when it makes no sense. Pure."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_COUNT = 10_000_000
MAX_CONCURRENCY = 10_000
MAX_RATE = 1_000_000.0
MAX_SECONDS = 86_400.0

MIN_DEADLINE_S = 0.001
"""gRPC core counts deadlines in milliseconds: what is shorter is rounded up."""

_DURATION = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*(us|ms|s|m|h)?", re.ASCII)
_UNITS_S = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, None: 1.0}
_KEY = re.compile(r"[a-z0-9_.-]+")


class Whole(click.ParamType[int]):
    """A whole number between 1 and a bound; `1_000` and `1,000` are fine."""

    name = "N"

    def __init__(self, most: int, what: str) -> None:
        self._most = most
        self._what = what

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number; a click error says what is possible."""
        try:
            number = int(str(value).replace(",", "_"))
        except ValueError:
            self.fail(f"{value!r} is no whole number of {self._what}.", param, ctx)
        if not 1 <= number <= self._most:
            self.fail(f"{number} {self._what} make no sense: 1 to {self._most:,} are possible.", param, ctx)
        return number


class Rate(click.ParamType[float]):
    """Calls per second."""

    name = "PER_SECOND"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The rate; a click error says what is possible."""
        try:
            number = float(str(value))
        except ValueError:
            number = math.nan
        if not 0 < number <= MAX_RATE:
            self.fail(
                f"{value!r} is no rate: write calls per second, more than 0 and at most {MAX_RATE:,.0f}.", param, ctx
            )
        return number


class Duration(click.ParamType[float]):
    """A length of time: 500ms, 20s, 2m, 1h; a bare number is seconds."""

    name = "TIME"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The seconds; a click error says how to write them."""
        form = _DURATION.fullmatch(str(value).strip())
        seconds = float(form[1]) * _UNITS_S[form[2]] if form else 0.0
        if not 0 < seconds <= MAX_SECONDS:
            self.fail(
                f"{value!r} is no length of time: write 500ms, 20s or 2m, more than 0 and at most 24h.", param, ctx
            )
        return seconds


class Deadline(Duration):
    """A length of time that core can keep as a deadline."""

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The seconds; a click error says what is possible."""
        seconds = super().convert(value, param, ctx)
        if seconds < MIN_DEADLINE_S:
            self.fail(f"{value!r} is shorter than gRPC keeps a deadline: 1ms is the least.", param, ctx)
        return seconds


def metadata_pairs(_ctx: click.Context, _param: click.Parameter, values: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """`--metadata key=value`, checked by the rules of gRPC's wire format.

    https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
    """
    pairs = []
    for text in values:
        key, equals, value = text.partition("=")
        key = key.strip().lower()
        if not equals:
            raise click.BadParameter(f"{text!r} is not key=value.")
        if not _KEY.fullmatch(key) or key.startswith("grpc-"):
            raise click.BadParameter(f"{key!r} is no metadata key: use a-z, 0-9, '-', '_' and '.', not grpc-….")
        if key.endswith("-bin"):
            raise click.BadParameter(f"{key!r} would hold bytes, which cannot be written here.")
        if not value.isascii() or not value.isprintable():
            raise click.BadParameter(f"the value of {key!r} must be printable ASCII.")
        pairs.append((key, value))
    return tuple(pairs)
