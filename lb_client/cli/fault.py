"""`lbdemo fault`: has replicas answer late, or with an error, for some calls or for a while."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from backends.fault import Fault
from lb_client.cli.common import cluster_option
from lb_client.cli.fault_values import Code, Milliseconds, Rate
from lb_client.cli.fleet_options import Seconds
from lb_client.cli.replica_acts import json_option, on_each, replica_arguments, run, tell

if TYPE_CHECKING:
    from backends.cluster_client import ClusterClient
    from backends.view import ReplicaView


@click.command(short_help="Have replicas answer late, or with errors.")
@replica_arguments()
@click.option("--latency", "latency_ms", type=Milliseconds(), help="Answer so much later: 50ms.")
@click.option("--jitter", "jitter_ms", type=Milliseconds(), help="And up to so much more, evenly: 20ms.")
@click.option("--error", type=Code(), help="End the call with this status instead of an answer: UNAVAILABLE.")
@click.option("--rate", type=Rate(), help="Only this share of the calls: 0.3 or 30%.  [default: all]")
@click.option("--for", "for_s", type=Seconds(), help="End by itself after that: 10s.  [default: never]")
@click.option("--clear", is_flag=True, help="No fault any more.")
@json_option
@cluster_option
def command(
    *,
    replicas: tuple[str, ...],
    latency_ms: float | None,
    jitter_ms: float | None,
    error: str | None,
    rate: float | None,
    for_s: float | None,
    clear: bool,
    as_json: bool,
    cluster: str,
) -> None:
    """Have the calls of replicas go wrong: late, or ended by an error, or both.

    It hits calls and streams to the replica's own services that begin from now on; health checks and 'lbdemo status'
    are answered as ever. Another fault takes the place of the one before, and a restart ends it.
    """
    given = {"--latency": latency_ms, "--jitter": jitter_ms, "--error": error, "--rate": rate, "--for": for_s}
    names = [name for name, value in given.items() if value is not None]
    if clear and names:
        raise click.UsageError(f"--clear ends a fault, {names[0]} makes one: leave one of them away.")
    if not clear and not (latency_ms or jitter_ms or error):
        raise click.UsageError("say what goes wrong: --latency, --jitter or --error; or --clear.")
    fault = Fault(
        latency_ms=latency_ms or 0.0,
        jitter_ms=jitter_ms or 0.0,
        error=error or "",
        rate=rate or 1.0,
        for_ms=(for_s or 0.0) * 1000,
    )

    async def act(client: ClusterClient, replica: ReplicaView) -> str | None:
        await client.set_fault(replica.id, fault)
        if fault:
            instead = f" (before: {replica.fault})" if replica.fault else ""
            return f"has a fault now: {fault}{f', for {for_s:g} s' if for_s else ''}{instead}"
        return "has no fault any more" if replica.fault else None

    acted = run(on_each(cluster, replicas, act, already="has no fault"))
    tell(acted, replicas, action="fault", as_json=as_json)
