"""`lbdemo serve`: one replica in the foreground, for containers and for other supervisors than ours."""

from __future__ import annotations

import json
import logging
import math
import os
import re
import socket
import sys
from pathlib import Path

import click

from backends.errors import CannotStart
from backends.layout import MAX_WEIGHT
from backends.spec import ReplicaSpec
from lb_client.cli import interrupts
from lb_client.cli.common import Between
from lb_client.cli.fleet_options import service_name
from lb_client.cli.layout_values import Name


def _default_id() -> str:
    """The host's name, which containers have one each of; elsewhere with the process's number."""
    host = re.sub(r"[^A-Za-z0-9-]+", "-", socket.gethostname().partition(".")[0]).strip("-")[:40] or "replica"
    return host if os.getpid() == 1 else f"{host}-{os.getpid()}"


def _pairs(_ctx: click.Context, _param: click.Parameter, values: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    pairs: dict[str, str] = {}
    for text in values:
        key, equals, value = text.partition("=")
        if not (key and equals):
            raise click.BadParameter(f"{text!r} is not key=value.")
        pairs[key] = value
    return tuple(sorted(pairs.items()))


def _seconds(_ctx: click.Context, _param: click.Parameter, value: float) -> float:
    if not (math.isfinite(value) and 0 <= value <= 3600):
        raise click.BadParameter(f"{value} is not between 0 and 3600 seconds.")
    return value


@click.command(short_help="Run one replica in the foreground.")
@click.option("--id", metavar="NAME", help="The replica's name.  [default: from the host's name]")
@click.option(
    "--registry", metavar="DIR", type=click.Path(file_okay=False, path_type=Path), help="Folder to announce in."
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to bind; 0.0.0.0 for every interface.")
@click.option(
    "--port", type=Between(0, 65535, "port"), default=0, help="Port to bind; 0, the default, takes a free one."
)
@click.option("--advertise", metavar="HOST[:PORT]", help="Address to announce instead of the bound one.")
@click.option(
    "--service",
    metavar="PKG.MODULE:FUNC",
    callback=service_name,
    help="Function that registers your servicers.  [default: Greeter]",
)
@click.option("--linger", type=float, default=0.3, show_default=True, metavar="S", callback=_seconds,
              help="Seconds in which calls still succeed after the record is withdrawn.")  # fmt: skip
@click.option("--grace", type=float, default=5.0, show_default=True, metavar="S", callback=_seconds,
              help="Seconds that calls in flight may take to finish after that.")  # fmt: skip
@click.option(
    "--meta", multiple=True, metavar="KEY=VALUE", callback=_pairs, help="For the record, like zone=a; repeatable."
)
@click.option("--zone", type=Name("zone"), help="The zone it is in, for its record.")
@click.option("--weight", type=Between(1, MAX_WEIGHT, "weight"), help="What it weighs, for its record.  [default: 1]")
@click.option("--version", type=Name("version"), help="Which version it is, for its record.")
@click.option("--json", "as_json", is_flag=True, help="Print events as JSON lines on stdout.")
def command(
    *,
    id: str | None,
    registry: Path | None,
    host: str,
    port: int,
    advertise: str | None,
    service: str | None,
    linger: float,
    grace: float,
    meta: tuple[tuple[str, str], ...],
    zone: str | None,
    weight: int | None,
    version: str | None,
    as_json: bool,
) -> int:
    """Run one replica in the foreground until SIGTERM or Ctrl-C, then drain.

    Exit codes: 0 after a drain, 2 usage, 3 if it cannot start.
    """
    interrupts.leave_at_once()
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="lbdemo: %(message)s")
    said = {"zone": zone, "weight": None if weight is None else str(weight), "version": version}
    for key in sorted(said.keys() & dict(meta).keys()):
        if said[key] is not None:
            raise click.UsageError(f"--{key} and --meta {key}={dict(meta)[key]} say the same thing: leave one away.")
    spec = ReplicaSpec(
        id=_default_id() if id is None else id,
        registry=None if registry is None else str(registry.absolute()),
        host=host,
        port=port,
        advertise=advertise,
        service=service,
        linger_s=linger,
        grace_s=grace,
        metadata=tuple(sorted({**dict(meta), **{k: v for k, v in said.items() if v is not None}}.items())),
    )
    from backends import announce, replica  # noqa: PLC0415 -- gRPC, and `serve --help` needs none

    try:
        announce.check(spec)
    except CannotStart as error:
        raise click.UsageError(f"{str(error)[0].upper()}{str(error)[1:]}.") from None

    def tell(event: dict[str, object]) -> None:
        if as_json:
            click.echo(json.dumps(event))

    return replica.run(spec, notify=tell)
