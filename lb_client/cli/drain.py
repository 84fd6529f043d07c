"""`lbdemo drain`: takes replicas out of service without losing a call; they stay stopped."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from backends.cluster_errors import NotServingInTimeError, RefusedError
from lb_client.cli.common import Failure, cluster_option
from lb_client.cli.fleet_options import Seconds, for_cluster
from lb_client.cli.replica_acts import json_option, on_each, replica_arguments, run, tell

if TYPE_CHECKING:
    from backends.cluster_client import ClusterClient
    from backends.view import ReplicaView


@click.command(short_help="Take replicas out of service, losing no call.")
@replica_arguments()
@click.option("--wait/--no-wait", default=True, show_default=True, help="Return when they are stopped.")
@click.option("--timeout", "timeout_s", type=Seconds(), default="30s", show_default=True, help="How long to wait.")
@json_option
@cluster_option
def command(*, replicas: tuple[str, ...], wait: bool, timeout_s: float, as_json: bool, cluster: str) -> None:
    """Withdraw replicas, let their calls end, then stop them.

    They stay stopped until 'lbdemo restart' names them, or 'lbdemo scale' or 'lbdemo up' asks for replicas. A paused
    one goes on first: frozen, it could not drain.
    """
    again = f"'lbdemo restart {{}}{for_cluster(cluster)}' starts it again"

    async def act(client: ClusterClient, replica: ReplicaView) -> str | None:
        from backends.cluster_client import replica_of  # noqa: PLC0415 -- gRPC: help needs none
        from backends.phase import Phase  # noqa: PLC0415 -- with it

        if replica.phase is Phase.STOPPED:
            return None
        began = time.monotonic()
        await client.drain(replica.id)
        if not wait:
            return "drains, and is stopped then"
        try:
            view = await client.until_stopped([replica.id], timeout_s=timeout_s)
        except TimeoutError:
            raise NotServingInTimeError(
                f"{replica.id} still drains after {timeout_s:g} s; it goes on by itself"
            ) from None
        if (now := replica_of(view, replica.id)) and now.reason:
            raise RefusedError(f"{replica.id} is stopped, and lost calls: {now.reason}")
        calls_on = " (it was paused, and went on for that)" if replica.paused else ""
        took = f" in {time.monotonic() - began:.1f} s" if replica.pid else ""
        return f"is stopped, drained{took}{calls_on}: {again.format(replica.id)}"

    try:
        acted = run(on_each(cluster, replicas, act, already="is stopped already"))
    except KeyboardInterrupt:
        line = f"interrupted; the draining goes on: see 'lbdemo status{for_cluster(cluster)}'"
        raise Failure(line, exit_code=130) from None
    tell(acted, replicas, action="drain", as_json=as_json)
