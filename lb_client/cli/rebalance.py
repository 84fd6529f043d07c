"""`lbdemo rebalance`: asks the long streams of a cluster to open again, so that they spread over what serves now."""

from __future__ import annotations

import json

import click

from lb_client.cli.common import cluster_option
from lb_client.cli.fleet_options import clear_failures
from lb_client.phrases import counted


@click.command(short_help="Ask long streams to spread again.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@cluster_option
def command(*, as_json: bool, cluster: str) -> None:
    """Ask every long stream that can move to open again, so that they spread over the replicas that serve now.

    New replicas get new calls at once, but a stream stays where it is: after 'lbdemo scale' this spreads the old ones.
    Clients that cannot move a stream keep it.
    """
    from backends import cluster as clusters  # noqa: PLC0415 -- help needs none of it

    with clear_failures():
        asked, view = clusters.rebalance(cluster)
    if as_json:
        click.echo(json.dumps({"cluster": cluster, "asked": asked, "serving": view.serving}))
        return
    if not asked:
        click.echo("no stream is open that could move")
        return
    click.echo(f"{counted(asked, 'stream')} asked to spread over {counted(view.serving, 'replica')}")
