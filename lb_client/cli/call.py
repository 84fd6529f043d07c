"""`lbdemo call`: sends calls through one channel and reports how they spread."""

from __future__ import annotations

import gc
import sys
from typing import TYPE_CHECKING, Any

import click

from lb_client.cli import interrupts
from lb_client.cli.call_html import write_page
from lb_client.cli.call_values import (
    MAX_CONCURRENCY,
    MAX_COUNT,
    Deadline,
    Duration,
    Rate,
    Whole,
    metadata_pairs,
)
from lb_client.cli.common import cluster_option
from lb_client.cli.layout_values import Name
from lb_client.cli.output_file import check_file
from lb_client.cli.policy_options import (
    as_requested,
    expect_client,
    expect_service_config,
    policy_of,
    policy_options,
)

if TYPE_CHECKING:
    from pathlib import Path

    from lb_client.aim import Weights
    from lb_client.cli.call_request import Prepared
    from lb_client.cli.call_session import Plan
    from lb_client.report import Report

DEFAULT_COUNT = 100
INTERRUPTED = 130


@click.command(short_help="Send calls and report how they spread.")
@click.option("-n", "--count", type=Whole(MAX_COUNT, "calls"), help="So many calls  [default: 100, unless --duration]")
@click.option("--duration", type=Duration(), help="Calls for so long: 500ms, 20s, 2m. With --count, what ends first.")
@click.option(
    "-c",
    "--concurrency",
    type=Whole(MAX_CONCURRENCY, "calls at a time"),
    help="Calls in flight  [default: 1; with --rate at most 1000]",
)
@click.option("--rate", type=Rate(), help="Calls per second, sent on schedule however slow the answers are.")
@click.option("--deadline", type=Deadline(), default="5s", show_default=True, help="Each call's deadline.")
@click.option(
    "--attempt-deadline",
    type=Deadline(),
    help="Give an attempt that takes so long up and call again, within the call's deadline  [default: none]",
)
@policy_options
@click.option("--zone", type=Name("zone"), help="Endpoints of this zone first, others when it has none that is well.")
@click.option(
    "--via",
    type=click.Choice(["client", "proxy"]),
    default="client",
    show_default=True,
    help="Who balances: this client, or an Envoy (one that runs as 'lbdemo proxy', else one for the time of the call).",
)
@click.option("--name", help="Whom to greet  [default: world]")
@click.option(
    "--target", metavar="TARGET", help="Call this instead of the cluster: dir:///…, static:…, any gRPC target."
)
@cluster_option
@click.option("--method", metavar="PKG.SERVICE/METHOD", help="Any unary method, looked up by server reflection.")
@click.option("--data", metavar="JSON", help="Its request: JSON, @file, or - for stdin  [default: {}]")
@click.option(
    "--metadata",
    metavar="KEY=VALUE",
    multiple=True,
    callback=metadata_pairs,
    help="Sent with each call; can be repeated.",
)
@click.option(
    "--warm-up-timeout", type=Duration(), default="5s", show_default=True, help="The longest to wait for connections."
)
@click.option("--watch", is_flag=True, help="Show the spread while the calls are made.")
@click.option("--ledger", is_flag=True, help="Account for every call: the replicas write down what reaches them.")
@click.option("--html", metavar="FILE", callback=check_file, help="Write one page with charts, events and the ledger.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_context
def command(ctx: click.Context, /, *, as_json: bool, html: Path | None, **options: Any) -> None:
    """Send calls through one channel and report how they spread over the backends.

    Calls the Greeter of the running cluster, unless --target or --method say otherwise. Warm-up is not counted:
    the count starts when every healthy endpoint is connected.

    Exit codes: 0 every call was answered, 1 one failed or nothing could be called, 2 usage, 130 ended by Ctrl-C.
    """
    # Looking for garbage among what is being imported finds none and costs 15 ms; the session turns it on again.
    gc.disable()
    interrupts.leave_at_once()
    expect_client(ctx, options["via"])
    options["ledger"] = options["ledger"] or html is not None
    plan = _plan(**options, detailed=as_json or options["ledger"])
    from lb_client.cli.call_session import carry_out  # noqa: PLC0415 -- help needs none of it

    report = carry_out(plan)
    interrupts.unwind()
    _print(report, as_json=as_json)
    if html is not None:
        write_page(report, html)
    ctx.exit(INTERRUPTED if report.run.stopped else 1 if report.failed or not report.calls else 0)


def _plan(
    *,
    count: int | None,
    duration: float | None,
    concurrency: int | None,
    rate: float | None,
    deadline: float,
    attempt_deadline: float | None,
    policy: str,
    hash_header: str | None,
    retry: tuple[int, tuple[str, ...]] | None,
    retry_backoff: tuple[float, float] | None,
    retry_budget: float | None,
    outlier_detection: dict[str, Any] | None,
    zone: str | None,
    via: str,
    name: str | None,
    target: str | None,
    cluster: str,
    method: str | None,
    data: str | None,
    metadata: tuple[tuple[str, str], ...],
    warm_up_timeout: float,
    watch: bool,
    ledger: bool,
    detailed: bool,
) -> Plan:
    """The options as a plan.

    Raises:
        click.UsageError: They contradict each other.
        Failure: There is no cluster to call.
    """
    from lb_client.cli.call_request import GREETER, greeting, read_data  # noqa: PLC0415 -- help needs none of it
    from lb_client.cli.call_target import check_target, cluster_target  # noqa: PLC0415 -- the same

    chosen = policy_of(
        policy,
        hash_header=hash_header,
        retry=retry,
        retry_backoff=retry_backoff,
        retry_budget=retry_budget,
        outlier_detection=outlier_detection,
    )
    if method is None and data is not None:
        raise click.UsageError("--data is the request of a --method: name one, as --method package.Service/Method.")
    if method is not None and name is not None:
        raise click.UsageError("--name is for the Greeter: write the request of --method as --data '{…}'.")
    whom = target if target is not None else cluster_target(cluster)
    ours = check_target(whom)
    if via == "proxy" and not ours:
        raise click.UsageError(
            f"--via proxy puts an Envoy in front of a target of ours, and {whom!r} is gRPC's own: leave --via away."
        )
    if zone is not None and not ours:
        raise click.UsageError(f"--zone needs a target of ours: nobody tells the zones of {whom!r}.")
    if not ours:
        expect_service_config(chosen)
    prepared: Prepared | None = None
    if method is None:
        prepared = greeting("world" if name is None else name)
    body = read_data("{}" if data is None else data)
    from lb_client.aim import Aim  # noqa: PLC0415 -- help needs none of it
    from lb_client.cli.call_session import Plan  # noqa: PLC0415 -- the same
    from lb_client.driver import DEFAULT_BOUND, Load  # noqa: PLC0415 -- the same

    if count is None and duration is None:
        count = DEFAULT_COUNT
    if concurrency is None:
        concurrency = DEFAULT_BOUND if rate is not None else 1
    load = Load(
        count=count,
        duration_s=duration,
        concurrency=concurrency,
        rate=rate,
        deadline_s=deadline,
        attempt_s=attempt_deadline,
    )
    requested = {
        "count": count,
        "duration_s": duration,
        "concurrency": concurrency,
        "rate": rate,
        "deadline_s": deadline,
        "attempt_deadline_s": attempt_deadline,
        "policy": policy,
        **as_requested(chosen),
        "zone": zone,
        "via": via,
        "method": method or GREETER,
        "name": None if method is not None else "world" if name is None else name,
        "data": None if method is None else body,
        "metadata": dict(metadata),
        "target": target,
        "cluster": None if target is not None else cluster,
        "warm_up_timeout_s": warm_up_timeout,
        "ledger": ledger,
    }
    return Plan(
        target=whom,
        ours=ours,
        policy=chosen,
        aim=Aim.of(metadata, zone=zone or "", weights=_weights(policy, via)),
        proxied=via == "proxy",
        cluster=None if target is not None else cluster,
        load=load,
        prepared=prepared,
        method=method or GREETER,
        data=body,
        metadata=metadata,
        warm_up_timeout_s=warm_up_timeout,
        watch=watch,
        ledger=ledger,
        detailed=detailed,
        requested=requested,
    )


def _weights(policy: str, via: str) -> Weights:
    from lb_client.aim import Weights  # noqa: PLC0415 -- help needs none of it

    if via == "proxy":
        return Weights.KEPT
    return Weights.DRAWN if policy == "static_weights" else Weights.IGNORED


def _print(report: Report, *, as_json: bool) -> None:
    if as_json:
        import json  # noqa: PLC0415 -- only who asks for it pays

        click.echo(json.dumps(report.as_dict()))
        return
    from lb_client.paper import Paper  # noqa: PLC0415 -- help needs none of it
    from lb_client.report_table import page_of  # noqa: PLC0415 -- the same

    click.echo(page_of(report, Paper.of(sys.stdout)), nl=False, color=True)
