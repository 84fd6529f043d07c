"""`lbdemo scale`: change the number of replicas of a cluster that runs."""

from __future__ import annotations

import time

import click

from lb_client.cli.common import Failure, cluster_option
from lb_client.cli.fleet_options import ReplicaCount, Seconds, clear_failures, for_cluster
from lb_client.cli.fleet_view import progress
from lb_client.cli.up import as_json_text, happened


# -1 is a number that gets its own answer, no unknown option.
@click.command(short_help="Change the number of replicas.", context_settings={"ignore_unknown_options": True})
@click.argument("replicas", type=ReplicaCount(), metavar="N")
@click.option("--wait/--no-wait", default=True, show_default=True, help="Return when exactly N serve.")
@click.option("--timeout", "timeout_s", type=Seconds(), default="30s", show_default=True, help="How long to wait.")
@click.option("--json", "as_json", is_flag=True, help="Print the cluster as one JSON object.")
@cluster_option
def command(*, replicas: int, wait: bool, timeout_s: float, as_json: bool, cluster: str) -> None:
    """Change the number of replicas to N, 1 to 1000.

    New ones get the lowest free numbers; too many are drained from the highest number down, and lose no call.
    """
    from backends import cluster as clusters  # noqa: PLC0415 -- help needs none of it

    began = time.monotonic()
    try:
        with clear_failures(), progress("scaling", lambda v: (v.serving, v.wanted)) as watcher:
            outcome = clusters.scale(cluster, replicas, wait=wait, timeout_s=timeout_s, watcher=watcher)
    except KeyboardInterrupt:
        where = for_cluster(cluster)
        raise Failure(f"interrupted; the cluster goes on: see 'lbdemo status{where}'", exit_code=130) from None
    elapsed_s = time.monotonic() - began
    if as_json:
        click.echo(as_json_text(outcome, elapsed_s))
    else:
        click.echo(happened(outcome, elapsed_s))
