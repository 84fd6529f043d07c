"""What the commands about a fleet share: their kinds of values, and how a cluster's error becomes their last line."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from backends.cluster_errors import ClusterError
from backends.layout import MAX_REPLICAS, MIN_REPLICAS
from lb_client.cli.common import Failure

if TYPE_CHECKING:
    from collections.abc import Iterator

_DURATION = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ms|s|m)?")
_UNIT_S = {"ms": 0.001, "s": 1.0, "m": 60.0, None: 1.0}
_POSSIBLE = f"{MIN_REPLICAS} to {MAX_REPLICAS} replicas are possible"
_SERVICE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")


class ReplicaCount(click.ParamType[int]):
    """How many replicas: 1 to 1000."""

    name = "N"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number; a click error says what is possible."""
        try:
            number = int(str(value))
        except ValueError:
            self.fail(f"{value!r} is no number: {_POSSIBLE}.", param, ctx)
        if number < MIN_REPLICAS:
            self.fail(
                f"{number} is too few: {_POSSIBLE}; 'lbdemo down' stops all.",
                param,
                ctx,
            )
        if number > MAX_REPLICAS:
            self.fail(
                f"{number} is too many: {_POSSIBLE}, each is a process.",
                param,
                ctx,
            )
        return number


class Seconds(click.ParamType[float]):
    """A length of time: 30, 30s, 500ms or 2m; more than nothing, at most an hour."""

    name = "TIME"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The seconds; a click error says how to write them."""
        form = _DURATION.fullmatch(str(value).strip())
        seconds = float(form[1]) * _UNIT_S[form[2]] if form else 0.0
        if not 0 < seconds <= 3600:
            self.fail(f"{value!r} is no length of time: write 30s, 500ms or 2m, at most an hour.", param, ctx)
        return seconds


def service_name(_ctx: click.Context, _param: click.Parameter, value: str | None) -> str | None:
    """`--service`, checked for its form only: the replicas import it."""
    if value is not None and not _SERVICE.fullmatch(value):
        raise click.BadParameter(f"{value!r} is not of the form package.module:function.")
    return value


@contextmanager
def clear_failures() -> Iterator[None]:
    """Turn what can go wrong with a cluster into the command's last line."""
    try:
        yield
    except ClusterError as error:
        raise Failure(str(error)) from None


def for_cluster(cluster: str) -> str:
    """What to add to a command that one advises, so that it means this cluster."""
    return "" if cluster == "default" else f" --cluster {cluster}"
