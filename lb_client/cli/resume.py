"""`lbdemo resume`: lets frozen replicas go on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from lb_client.cli.common import cluster_option
from lb_client.cli.replica_acts import json_option, on_each, replica_arguments, run, tell

if TYPE_CHECKING:
    from backends.cluster_client import ClusterClient
    from backends.view import ReplicaView


@click.command(short_help="Let frozen replicas go on.")
@replica_arguments()
@json_option
@cluster_option
def command(*, replicas: tuple[str, ...], as_json: bool, cluster: str) -> None:
    """Let replicas go on that 'lbdemo pause' froze. What they were asked meanwhile, they answer now."""

    async def act(client: ClusterClient, replica: ReplicaView) -> str | None:
        await client.resume(replica.id)
        return "goes on" if replica.paused else None

    acted = run(on_each(cluster, replicas, act, already="is not paused"))
    tell(acted, replicas, action="resume", as_json=as_json)
