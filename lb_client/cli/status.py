"""`lbdemo status`: the replicas of a cluster as a table or as JSON, once or for as long as one looks."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from backends.cluster_errors import NotRunningError
from lb_client.cli.common import Failure, cluster_option
from lb_client.cli.fleet_options import clear_failures
from lb_client.cli.fleet_view import console, heading, is_terminal, notes, plain_table, reasons, rich_table, shown

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import Group

    from backends.view import ClusterView

INTERVAL_S = 0.25


@click.command(short_help="Show the replicas and their health.")
@click.option("--watch", is_flag=True, help="Go on showing it until Ctrl-C; with --json one object a line.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--target", "only_target", is_flag=True, help="Print the target alone, for scripts.")
@cluster_option
def command(*, watch: bool, as_json: bool, only_target: bool, cluster: str) -> None:
    """Show the replicas: where they serve, their health, their calls so far.

    Exit codes: 0 the cluster runs, 1 it does not.
    """
    from backends import cluster as clusters  # noqa: PLC0415 -- help needs none of it

    if only_target and (watch or as_json):
        raise click.UsageError(f"--target prints the target alone: leave {'--watch' if watch else '--json'} away.")
    with clear_failures():
        try:
            if only_target:
                click.echo(clusters.status(cluster).target)
                return
            if not watch:
                _show(clusters.status(cluster), as_json=as_json)
                return
            views = clusters.watch(cluster, interval_s=INTERVAL_S)
            try:
                _follow(views, as_json=as_json)
            except KeyboardInterrupt:
                return  # the way to end it
            raise Failure(f"cluster {cluster!r} has ended")
        except NotRunningError as error:
            left = clusters.leftovers(cluster)
            if not left:
                raise
            raise Failure(f"{error} (which also clears what a crashed supervisor left: {', '.join(left)})") from None


def _show(view: ClusterView, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(view.as_dict()))
    elif is_terminal():
        console().print(_page(view))
    else:
        click.echo(plain_table(view))


def _follow(views: Iterable[ClusterView], *, as_json: bool) -> None:
    if as_json or not is_terminal():
        for view in views:
            _show(view, as_json=as_json)
            if not as_json:
                click.echo()
        return
    from rich.live import Live  # noqa: PLC0415 -- only a terminal pays for rich

    with Live(console=console(), auto_refresh=False, vertical_overflow="visible") as live:
        for view in views:
            live.update(_page(view), refresh=True)


def _page(view: ClusterView) -> Group:
    from rich.console import Group  # noqa: PLC0415 -- only a terminal pays for rich
    from rich.text import Text  # noqa: PLC0415 -- the same

    where = f"target {view.target}"
    width = console().width
    below = [Text(line, style="yellow") for line in notes(view) if "NOTE" not in shown(view, width)]
    below += [Text(line, style="red") for line in reasons(view)]
    return Group(Text(heading(view), style="bold"), Text(where, style="dim"), Text(), rich_table(view, width), *below)
