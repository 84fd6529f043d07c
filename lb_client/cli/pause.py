"""`lbdemo pause`: freezes replicas by SIGSTOP: they accept connections and answer nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from lb_client.cli.common import cluster_option
from lb_client.cli.fleet_options import for_cluster
from lb_client.cli.replica_acts import json_option, on_each, replica_arguments, run, tell

if TYPE_CHECKING:
    from backends.cluster_client import ClusterClient
    from backends.view import ReplicaView


@click.command(short_help="Freeze replicas: they accept, and never answer.")
@replica_arguments()
@json_option
@cluster_option
def command(*, replicas: tuple[str, ...], as_json: bool, cluster: str) -> None:
    """Freeze replicas by SIGSTOP, until 'lbdemo resume': the kernel accepts connections for them, nobody answers."""

    async def act(client: ClusterClient, replica: ReplicaView) -> str | None:
        await client.pause(replica.id)
        if replica.paused:
            return None
        return f"is paused: 'lbdemo resume {replica.id}{for_cluster(cluster)}' lets it go on"

    acted = run(on_each(cluster, replicas, act, already="is paused already"))
    tell(acted, replicas, action="pause", as_json=as_json)
