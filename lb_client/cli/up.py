"""`lbdemo up`: start a cluster, or scale the one that runs, and say how to use it."""

from __future__ import annotations

import gc
import json
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from lb_client.cli.common import Failure, cluster_option
from lb_client.cli.fleet_options import ReplicaCount, Seconds, clear_failures, for_cluster, service_name
from lb_client.cli.fleet_view import progress, shares_line, styled
from lb_client.cli.layout_values import Name, Percent, Weights, Zones
from lb_client.phrases import and_more

if TYPE_CHECKING:
    from backends.cluster import Outcome
    from backends.view import ClusterView

SHOWN = 4
NOTHING_TO_DO = ": nothing to do"


@click.command(short_help="Start replicas in the background, or scale those that run.")
@click.option("--replicas", "-n", type=ReplicaCount(), default=3, show_default=True, help="How many, 1 to 1000.")
@click.option("--zones", type=Zones(), help="Zones that replicas take in turn: a,b  [default: none]")
@click.option("--weights", type=Weights(), help="Weights of r1, r2, …: 5,3,2  [default: 1 each]")
@click.option("--version", type=Name("version"), help="Which version: a new one beside those that run, or one of them.")
@click.option("--share", type=Percent(), help="Its part of the calls; the other versions get the rest.")
@click.option("--wait/--no-wait", default=True, show_default=True, help="Return when every replica serves.")
@click.option("--timeout", "timeout_s", type=Seconds(), default="30s", show_default=True, help="How long to wait.")
@click.option("--foreground", is_flag=True, help="Stay and print the logs; Ctrl-C drains and stops.")
@click.option("--service", metavar="PKG.MODULE:FUNC", callback=service_name,
              help="Function that registers your servicers, imported from here.  [default: Greeter]")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print the cluster as one JSON object.")
@cluster_option
@click.pass_context
def command(
    ctx: click.Context,
    /,
    *,
    replicas: int,
    zones: tuple[str, ...] | None,
    weights: tuple[int, ...] | None,
    version: str | None,
    share: float | None,
    wait: bool,
    timeout_s: float,
    foreground: bool,
    service: str | None,
    as_json: bool,
    cluster: str,
) -> None:
    """Start replicas in the background and return when all of them serve.

    If the cluster runs already, change its number of replicas. Ctrl-C while it starts leaves nothing behind; Ctrl-C
    while one that ran before is scaled leaves that running.

    With --version and --share, a new version comes beside those that run and gets its share of the calls; --replicas
    is then how many of it, by default 1. Change the share as often as you like; 'lbdemo down --version' ends one.
    """
    if share is not None and version is None:
        raise click.UsageError(f"--share {share:g} of which version? Name one, as --version v2.")
    if weights is not None and len(weights) > replicas:
        raise click.UsageError(f"{len(weights)} weights are more than the {replicas} replicas they are for.")
    # A process of a tenth of a second: collecting garbage would be a fifth of it.
    gc.disable()
    from backends import cluster as clusters  # noqa: PLC0415 -- imported with the collector off
    from backends.change import Change  # noqa: PLC0415 -- the same
    from backends.layout import FIRST_VERSION, Layout  # noqa: PLC0415 -- the same

    layout = Layout(zones or (), weights or (), version or FIRST_VERSION)
    many = replicas if version is None or _is_given(ctx, "replicas") else None
    change = Change(version=version, replicas=many, share=share, service=service)

    with clear_failures():
        if foreground:
            from lb_client.cli.foreground import run  # noqa: PLC0415 -- another way to run

            gc.enable()
            if share is not None:
                raise click.UsageError("--share is for a version beside others, and --foreground starts a cluster.")
            run(cluster, replicas=replicas, service=service, layout=layout, timeout_s=timeout_s)
            return
        began = time.monotonic()
        try:
            with progress("starting", lambda view: (view.serving, view.wanted)) as watcher:
                outcome = clusters.up(
                    cluster,
                    replicas=replicas,
                    service=service,
                    layout=layout,
                    change=change,
                    wait=wait,
                    timeout_s=timeout_s,
                    watcher=watcher,
                )
        except KeyboardInterrupt:
            raise Failure(_interrupted(cluster), exit_code=130) from None
    elapsed_s = time.monotonic() - began
    if as_json:
        click.echo(as_json_text(outcome, elapsed_s))
    else:
        click.echo(happened(outcome, elapsed_s))
        click.echo(how_to_use(outcome.view))
    gc.freeze()  # nor at the end: it is the last 10 ms before the prompt


def _is_given(ctx: click.Context, option: str) -> bool:
    return ctx.get_parameter_source(option) is not click.core.ParameterSource.DEFAULT


def happened(outcome: Outcome, elapsed_s: float) -> str:
    """One line about what became of an order, whichever version it was about."""
    view, name = outcome.view, outcome.version
    line = what_happened(_of_version(view, name), outcome.before, outcome.served, elapsed_s, asked=outcome.asked)
    if name is None:
        return line
    share = view.share_of(name)
    if share is None or share == outcome.share_before:
        return f"version {name}: {line}"
    was = "" if outcome.share_before is None else f" ({outcome.share_before:g} % before)"
    return f"version {name}: {line.replace(NOTHING_TO_DO, '')}, and its share is {share:g} %{was}"


def _of_version(view: ClusterView, name: str | None) -> ClusterView:
    """The cluster as if there were no version but this one."""
    if len(view.versions) < 2 and name is None:
        return view
    name = name or view.versions[0].name
    return replace(view, wanted=view.wanted_of(name), replicas=tuple(r for r in view.replicas if r.version == name))


def as_json_text(outcome: Outcome, elapsed_s: float) -> str:
    """What `up --json` and `scale --json` print: the cluster, and what became of the order."""
    more = {"asked": outcome.asked, "before": outcome.before, "elapsed_s": round(elapsed_s, 3)}
    return json.dumps({**outcome.view.as_dict(), **more})


def what_happened(view: ClusterView, before: int, served: int, elapsed_s: float, *, asked: int) -> str:
    """One line: how many serve now, and since when; before that, whether it is somebody else's number by now.

    Args:
        view: The cluster now.
        before: How many were wanted before the command.
        served: How many of these served then.
        elapsed_s: What the command took.
        asked: How many the command asked for.
    """
    many = f"{view.wanted} replica{'' if view.wanted == 1 else 's'}"
    verb = "serves" if view.wanted == 1 else "serve"
    if view.settled and before == served == view.wanted == asked:
        line = f"{many} {verb} already{NOTHING_TO_DO}"
    elif view.settled:
        line = f"{many} {verb} after {elapsed_s:.2f} s"
        if before:
            line += f" ({before} before)" if before == served else f" ({served} of {before} before)"
    elif view.serving >= view.wanted:
        rest = len(view.replicas) - view.serving
        line = f"{many} {verb}; {rest} more {'drains' if rest == 1 else 'drain'}"
    else:
        line = f"{view.serving} of {many} serve; the others start"
    if view.wanted != asked:
        line = f"somebody scaled to {view.wanted} meanwhile, not to the {asked} of this command: {line}"
    return styled(line, fg="green" if view.settled else "yellow", bold=True)


def how_to_use(view: ClusterView) -> str:
    """The cluster's facts, and the next commands to type."""
    where = for_cluster(view.cluster)
    call = "lbdemo call --count 100"
    if view.service:
        # Methods are not known here; `lbdemo call` names them to who leaves the dots.
        call = f"lbdemo call --method {view.services[0] if view.services else 'pkg.Service'}/… --data '{{…}}'"
    running = [r for r in view.replicas if r.address]
    shown = "  ".join(f"{r.id} {r.address}" for r in running[:SHOWN])
    if len(running) > SHOWN:
        shown += f"  and {len(running) - SHOWN} more"
    rows = [("cluster", view.cluster), ("target", view.target)]
    if view.service:
        names = and_more(view.services)
        rows.append(("service", f"{names}, by {view.service}" if names else view.service))
    if shares := shares_line(view):
        rows.append(("shares", shares.removeprefix("shares: ")))
    rows += [
        ("replicas", shown or "-"),
        ("call", call + where),
        ("status", f"lbdemo status{where}"),
        ("stop", f"lbdemo down{where}"),
    ]
    return "\n".join(f"  {styled(name.ljust(9), dim=True)} {text}" for name, text in rows)


def _interrupted(cluster: str) -> str:
    from backends import cluster as clusters  # noqa: PLC0415 -- as above

    if clusters.runs(cluster):
        return f"interrupted; cluster {cluster!r} goes on: see 'lbdemo status{for_cluster(cluster)}'"
    return "interrupted; what this command had started is stopped, nothing is left"
