"""`lbdemo kill`: ends replicas by SIGKILL, as a crash or the kernel's memory killer would."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from lb_client.cli.common import cluster_option
from lb_client.cli.replica_acts import json_option, on_each, replica_arguments, run, tell

if TYPE_CHECKING:
    from backends.cluster_client import ClusterClient
    from backends.view import ReplicaView


@click.command(short_help="End replicas by SIGKILL.")
@replica_arguments()
@json_option
@cluster_option
def command(*, replicas: tuple[str, ...], as_json: bool, cluster: str) -> None:
    """End replicas by SIGKILL. They start again after a back-off, as after any death.

    The calls in flight on them are lost, unless the client retries. One that drains is gone at once.
    """

    async def act(client: ClusterClient, replica: ReplicaView) -> str:
        from backends.cluster_client import replica_of  # noqa: PLC0415 -- gRPC: help needs none
        from backends.phase import Phase  # noqa: PLC0415 -- the same

        now = replica_of(await client.kill(replica.id), replica.id)
        if now is None:
            return "is killed, and gone: it was leaving"
        if now.phase is Phase.STOPPED:
            return "is killed, and stays stopped"
        if now.phase is Phase.FAILED:
            return f"is killed, and is not started again: {now.reason}"
        return "is killed; it starts again by itself"

    acted = run(on_each(cluster, replicas, act, already=""))
    tell(acted, replicas, action="kill", as_json=as_json)
