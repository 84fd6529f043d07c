"""`lbdemo events`: what happened to a cluster and its replicas, in the order of time."""

from __future__ import annotations

import datetime as dt
import json
from contextlib import aclosing
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from lb_client.cli.common import Between, Failure, cluster_option
from lb_client.cli.fleet_view import styled
from lb_client.cli.replica_acts import run

if TYPE_CHECKING:
    from backends.events import ClusterEvent

_COLOURS = {
    "serving": "green",
    "resumed": "green",
    "rolling-done": "green",
    "fault-over": "green",
    "drain-begun": "yellow",
    "paused": "yellow",
    "health": "yellow",
    "fault": "yellow",
    "died": "red",
    "failed": "red",
    "rolling-failed": "red",
}
_WIDEST = max(map(len, _COLOURS))


@click.command(short_help="Print what happened to the cluster.")
@click.argument("replicas", nargs=-1, metavar="[REPLICA]...")
@click.option("--follow", "-f", is_flag=True, help="Go on printing until Ctrl-C, or until the cluster ends.")
@click.option(
    "--tail", type=Between(0, 10**9, "number of events"), metavar="N", help="Only the last N so far.  [default: all]"
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
@cluster_option
def command(*, replicas: tuple[str, ...], follow: bool, tail: int | None, as_json: bool, cluster: str) -> None:
    """Print what happened: who started, serves, drains, died, was paused, has a fault, and so on; of some, if named.

    The supervisor remembers the last 10,000 events, and forgets them with its end; 'lbdemo logs supervisor' stays.
    """
    try:
        run(_print(cluster, frozenset(replicas), follow=follow, tail=tail, as_json=as_json))
    except KeyboardInterrupt:
        if not follow:
            raise


async def _print(cluster: str, only: frozenset[str], *, follow: bool, tail: int | None, as_json: bool) -> None:
    from backends.cluster_client import ClusterClient  # noqa: PLC0415 -- gRPC: help needs none
    from backends.names import unknown_line  # noqa: PLC0415 -- with it

    async with ClusterClient(cluster) as client:
        async with aclosing(client.events(wait=False)) as events:
            past = [event async for event in events]
        last = past[-1].number if past else 0
        known = {r.id for r in (await client.status()).replicas} | {e.replica for e in past if e.replica}
        unknown = [name for name in only if name not in known]
        if unknown and not follow:
            ordered = sorted(known, key=lambda name: (len(name), name))
            raise Failure(unknown_line(sorted(unknown), ordered, cluster=cluster))
        past = [event for event in past if not only or event.replica in only]
        for event in past if tail is None else past[len(past) - min(tail, len(past)) :]:
            click.echo(_line(event, as_json=as_json))
        if not follow:
            return
        async with aclosing(client.events(after=last)) as events:
            async for event in events:
                if not only or event.replica in only:
                    click.echo(_line(event, as_json=as_json))


def _line(event: ClusterEvent, *, as_json: bool) -> str:
    if as_json:
        return json.dumps(asdict(event))
    when = dt.datetime.fromtimestamp(event.unix_s).astimezone().strftime("%H:%M:%S.%f")[:-3]
    rest = "  ".join(part for part in (event.address, event.detail) if part)
    kind = styled(event.kind, fg=_COLOURS.get(event.kind, "white"))
    if rest:
        kind += " " * (_WIDEST - len(event.kind) + 2) + rest
    return f"{styled(when, dim=True)}  {event.replica or '-':<4} {kind}"
