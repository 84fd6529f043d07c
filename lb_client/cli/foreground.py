"""`lbdemo up --foreground`: a cluster that lasts as long as the command, with its logs on the screen."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

import click

from backends import cluster as clusters
from backends.logbook import SUPERVISOR, LogFollower
from backends.state import StateFolder
from lb_client.cli.common import Failure
from lb_client.cli.logs import prefixed
from lb_client.cli.up import how_to_use, what_happened

if TYPE_CHECKING:
    from types import FrameType

    from backends.layout import Layout
    from backends.view import ClusterView


def run(cluster: str, *, replicas: int, service: str | None, layout: Layout, timeout_s: float) -> None:
    """Start a cluster, print its logs until Ctrl-C or SIGTERM, then drain it.

    However this process ends, the cluster ends with it.

    Raises:
        Failure: It ended by itself.
        ClusterError: It does not start.
    """
    before = signal.signal(signal.SIGTERM, _interrupt)
    logs = StateFolder.of(cluster).logs
    began = time.monotonic()
    try:
        # The follower first: what was in the logs before is not of this run.
        with LogFollower(logs, tail=0) as follower:

            def show(_view: ClusterView | None = None) -> None:
                for line in follower.poll():
                    click.echo(prefixed(line, len(SUPERVISOR)))

            with clusters.hold(cluster, replicas=replicas, service=service, layout=layout) as starting:
                try:
                    view = starting.wait(until_serving=True, timeout_s=timeout_s, watcher=show)
                    show()
                    click.echo(what_happened(view, 0, 0, time.monotonic() - began, asked=replicas), err=True)
                    click.echo(f"{how_to_use(view)}, or Ctrl-C here", err=True)
                    for _ in starting.events():
                        show()
                except KeyboardInterrupt:
                    click.echo("draining; Ctrl-C again to leave it to itself", err=True)
                    starting.undo(watcher=show)
                    return
                finally:
                    show()
    finally:
        signal.signal(signal.SIGTERM, before)
    raise Failure(f"cluster {cluster!r} has ended: see {logs / 'supervisor.log'}")


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
