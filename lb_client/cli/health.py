"""`lbdemo health`: has replicas report another health than their own; they go on answering calls."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

import click

from lb_client.cli.common import cluster_option
from lb_client.cli.fleet_options import for_cluster
from lb_client.cli.replica_acts import expect_unique, json_option, on_each, run, tell

if TYPE_CHECKING:
    from backends.cluster_client import ClusterClient
    from backends.view import ReplicaView

_HEALTHS = {"serving": "SERVING", "not-serving": "NOT_SERVING", "unknown": "UNKNOWN", "auto": ""}
_CHOICE = "|".join(_HEALTHS)


def _health(word: str) -> str:
    plain = word.lower().replace("_", "-")
    if plain not in _HEALTHS:
        near = difflib.get_close_matches(plain, _HEALTHS, n=1)
        hint = f"; did you mean {near[0]}?" if near else "."
        raise click.UsageError(f"{word!r} is no health: {', '.join(_HEALTHS)}{hint}")
    return _HEALTHS[plain]


@click.command(short_help="Have replicas report another health.")
@click.argument("words", nargs=-1, metavar=f"REPLICA... {_CHOICE}")
@json_option
@cluster_option
def command(*, words: tuple[str, ...], as_json: bool, cluster: str) -> None:
    """Have replicas report this to grpc.health.v1, whatever is true; 'auto' lets them report their own health again.

    Calls that reach them are still answered. A replica that drains or starts again reports its own health.
    """
    if len(words) < 2:
        raise click.UsageError(f"name replicas, then what they are to report: {', '.join(_HEALTHS)}.")
    *names, word = words
    health, replicas = _health(word), expect_unique(tuple(names))

    async def act(client: ClusterClient, replica: ReplicaView) -> str | None:
        await client.set_health(replica.id, health)
        if replica.told_health == health:
            return None
        if not health:
            return "reports its own health again"
        return f"reports {health} now: 'lbdemo health {replica.id} auto{for_cluster(cluster)}' takes it back"

    already = f"reports {health} already" if health else "reports its own health"
    acted = run(on_each(cluster, replicas, act, already=already))
    tell(acted, replicas, action="health", as_json=as_json)
