"""`lbdemo load`: has replicas report another load than what they measure, for clients that weigh by it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from lb_client.cli.common import cluster_option
from lb_client.cli.fleet_options import for_cluster
from lb_client.cli.replica_acts import expect_unique, json_option, on_each, run, tell

if TYPE_CHECKING:
    from backends.cluster_client import ClusterClient
    from backends.view import ReplicaView

MOST = 1000.0


@click.command(short_help="Have replicas report another load.")
@click.argument("words", nargs=-1, metavar="REPLICA... [UTILIZATION]")
@click.option("--clear", is_flag=True, help="Report what is measured again.")
@json_option
@cluster_option
def command(*, words: tuple[str, ...], clear: bool, as_json: bool, cluster: str) -> None:
    """Have replicas report this utilization with every answer: 0.8, or 80%; 1 is all they have.

    Clients under weighted_round_robin send calls by requests a second / utilization. What is told by hand stands for
    1,000 requests a second. By themselves replicas report what they measure of their process. A restart ends it.
    """
    names, utilization = _parted(words, clear=clear)

    async def act(client: ClusterClient, replica: ReplicaView) -> str:
        await client.set_load(replica.id, utilization)
        if utilization is None:
            return "reports the load that it measures"
        back = f"lbdemo load {replica.id} --clear{for_cluster(cluster)}"
        return f"reports a utilization of {utilization:g} now: '{back}' takes it back"

    tell(run(on_each(cluster, names, act, already="")), names, action="load", as_json=as_json)


def _parted(words: tuple[str, ...], *, clear: bool) -> tuple[tuple[str, ...], float | None]:
    if clear:
        if not words:
            raise click.UsageError("name replicas: lbdemo load r1 --clear.")
        if _number(words[-1]) is not None:
            raise click.UsageError(f"--clear takes a load back, {words[-1]} sets one: leave one of them away.")
        return expect_unique(words), None
    if len(words) < 2:
        raise click.UsageError("name replicas, then the utilization: lbdemo load r1 r2 0.8; or --clear.")
    *names, word = words
    utilization = _number(word)
    if utilization is None:
        raise click.UsageError(f"{word!r} is no utilization: end with one, as 0.8 or 80%.")
    if not 0 < utilization <= MOST:
        raise click.UsageError(f"a utilization is above 0 and up to {MOST:g}, with 1 for all there is; not {word}.")
    return expect_unique(tuple(names)), utilization


def _number(word: str) -> float | None:
    try:
        return float(word.removesuffix("%")) / (100 if word.endswith("%") else 1)
    except ValueError:
        return None
