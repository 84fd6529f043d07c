"""`lbdemo down`: drain every replica, then end the cluster, and say what happened."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import click

from backends.cluster_errors import NotRunningError
from lb_client.cli.common import Failure, cluster_option
from lb_client.cli.fleet_options import Seconds, clear_failures, for_cluster
from lb_client.cli.fleet_view import progress, styled
from lb_client.cli.layout_values import Name

if TYPE_CHECKING:
    from backends.view import ClusterView


@click.command(short_help="Drain and stop every replica.")
@click.option("--timeout", "timeout_s", type=Seconds(), default="60s", show_default=True, help="How long to wait.")
@click.option("--version", type=Name("version"), help="Only the replicas of this version; the others go on.")
@click.option("--json", "as_json", is_flag=True, help="Print what was stopped as one JSON object.")
@cluster_option
def command(*, timeout_s: float, version: str | None, as_json: bool, cluster: str) -> None:
    """Drain and stop every replica, then the cluster's supervisor. Calls in flight finish first.

    Succeeds when nothing runs: then there is nothing to do.
    """
    from backends import cluster as clusters  # noqa: PLC0415 -- help needs none of it

    if version is not None:
        _remove_version(cluster, version, timeout_s=timeout_s, as_json=as_json)
        return
    began = time.monotonic()
    before = None
    drains = False

    def watch(view: ClusterView) -> None:
        nonlocal drains
        drains = True
        show(view)

    try:
        with clear_failures(), progress("draining", lambda v: (v.wanted - len(v.replicas), v.wanted)) as show:
            try:
                before = clusters.down(cluster, timeout_s=timeout_s, watcher=watch)
            except NotRunningError:
                left = clusters.leftovers(cluster, remove=True)
    except KeyboardInterrupt:
        after = "the cluster drains and ends by itself" if drains else f"see 'lbdemo status{for_cluster(cluster)}'"
        raise Failure(f"interrupted; {after}", exit_code=130) from None
    elapsed_s = time.monotonic() - began
    if as_json:
        stopped = [] if before is None else [r.id for r in before.replicas]
        click.echo(json.dumps({"cluster": cluster, "stopped": stopped, "elapsed_s": round(elapsed_s, 3)}))
    elif before is None:
        also = f"; removed what a crash had left: {', '.join(left)}" if left else ""
        click.echo(f"cluster {cluster!r} is not running: nothing to stop{also}")
    else:
        many = f"{len(before.replicas)} replica{'' if len(before.replicas) == 1 else 's'}"
        click.echo(styled(f"cluster {cluster!r} is down: {many} drained in {elapsed_s:.1f} s", bold=True))


def _remove_version(cluster: str, version: str, *, timeout_s: float, as_json: bool) -> None:
    from backends import cluster as clusters  # noqa: PLC0415 -- help needs none of it
    from backends.change import Change  # noqa: PLC0415 -- the same

    began = time.monotonic()
    try:
        with clear_failures(), progress("draining", lambda v: (v.serving, v.wanted)) as watcher:
            outcome = clusters.alter(
                cluster, Change(version=version, remove=True), timeout_s=timeout_s, watcher=watcher
            )
    except KeyboardInterrupt:
        where = for_cluster(cluster)
        raise Failure(f"interrupted; the version drains by itself: see 'lbdemo status{where}'", exit_code=130) from None
    elapsed_s = time.monotonic() - began
    if as_json:
        more = {"removed": version, "stopped": outcome.before, "elapsed_s": round(elapsed_s, 3)}
        click.echo(json.dumps({**outcome.view.as_dict(), **more}))
        return
    many = f"{outcome.before} replica{'' if outcome.before == 1 else 's'}"
    left = ", ".join(f"{v.wanted} of {v.name}" for v in outcome.view.versions)
    click.echo(styled(f"version {version} is gone: {many} drained in {elapsed_s:.1f} s; {left} left", bold=True))
