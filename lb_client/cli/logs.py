"""`lbdemo logs`: what the replicas and their supervisor wrote, each line with its writer's name in front."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from lb_client.cli.common import Between, Failure, cluster_option
from lb_client.cli.fleet_options import clear_failures, for_cluster
from lb_client.cli.fleet_view import styled

if TYPE_CHECKING:
    from backends.logbook import LogLine

POLL_S = 0.1
_COLOURS = ("cyan", "green", "magenta", "blue", "yellow", "bright_cyan", "bright_green", "bright_magenta")


@click.command(short_help="Print what the replicas wrote.")
@click.argument("replicas", nargs=-1, metavar="[REPLICA|supervisor]...")
@click.option("--follow", "-f", is_flag=True, help="Go on printing until Ctrl-C, new and restarted replicas included.")
@click.option(
    "--tail",
    type=Between(0, 10**9, "number of lines"),
    metavar="N",
    help="Only the last N lines of each.  [default: all]",
)
@cluster_option
def command(*, replicas: tuple[str, ...], follow: bool, tail: int | None, cluster: str) -> None:
    """Print what the replicas and their supervisor wrote; of some, if named. The logs outlive the cluster."""
    from backends import logbook  # noqa: PLC0415 -- help needs none of it
    from backends.state import StateFolder  # noqa: PLC0415 -- the same

    with clear_failures():
        folder = StateFolder.of(cluster)
        folder.check()
    known = logbook.sources(folder.logs)
    where = for_cluster(cluster)
    if not known:
        raise Failure(f"cluster {cluster!r} has no logs: start it with 'lbdemo up{where}'")
    for name in replicas:
        if name not in known and not (follow and name[:1] == "r" and name[1:].isdigit()):
            raise Failure(f"no log of {name!r} in cluster {cluster!r}: there are {', '.join(known)}")
    width = max(map(len, replicas or known))
    if not follow:
        for source in replicas or known:
            for line in logbook.last_lines(folder.log(source), source, tail):
                click.echo(prefixed(line, width))
        return
    try:
        with logbook.LogFollower(folder.logs, only=frozenset(replicas), tail=tail) as follower:
            while True:
                for line in follower.poll():
                    click.echo(prefixed(line, width))
                time.sleep(POLL_S)
    except KeyboardInterrupt:
        return  # the way to end it


def prefixed(line: LogLine, width: int) -> str:
    """The line with its writer's name, which has a colour of its own."""
    number = line.source[1:]
    colour = _COLOURS[int(number) % len(_COLOURS)] if number.isdigit() else "white"
    return f"{styled(line.source.ljust(width) + ' |', fg=colour)} {line.text}"
