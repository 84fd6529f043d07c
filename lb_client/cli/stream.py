"""`lbdemo stream`: holds conversations on streams of every shape, and shows who wrote what, when, and where."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from lb_client.cli import interrupts
from lb_client.cli.call_values import Deadline, Duration, Whole, metadata_pairs
from lb_client.cli.common import cluster_option
from lb_client.script import Mode

if TYPE_CHECKING:
    from lb_client.cli.stream_session import StreamPlan

INTERRUPTED = 130
MAX_COUNT = 1_000_000
MAX_STREAMS = 10_000
MAX_SIZE = 64 * 1024 * 1024

DEFAULT_COUNT = 5
DEFAULT_TEXT = "ping"
DEFAULT_DEADLINE_S, DEFAULT_DELAY_S = 0.45, 0.1
DEFAULT_INTERVAL_S, DEFAULT_OTHER_S = 0.01, 0.015
"""For sides that do not wait for each other: fast enough to be seen writing, slow enough to be read."""


@click.command(short_help="Hold conversations on streams, and show their messages.")
@click.option(
    "--mode",
    type=click.Choice([mode.value for mode in Mode]),
    default="ping-pong",
    show_default=True,
    help="The shape of the conversation.",
)
@click.option("-n", "--count", type=Whole(MAX_COUNT, "lines"), help="Lines of the client  [default: 5]")
@click.option("--streams", type=Whole(MAX_STREAMS, "streams"), default=1, show_default=True, help="So many at once.")
@click.option("--uneven", is_flag=True, help="The n-th stream writes n times as many lines.")
@click.option("--duration", type=Duration(), help="Lines for so long: 500ms, 20s, 2m. With --count, what ends first.")
@click.option("--interval", type=Duration(), help="What the client waits after each of its lines.")
@click.option("--delay", type=Duration(), help="What the server waits before each of its lines.")
@click.option(
    "--deadline", type=Deadline(), help="The deadline of each stream  [default: none; 450ms for --mode deadline]"
)
@click.option("--text", help="What each line says  [default: ping]")
@click.option("--size", type=Whole(MAX_SIZE, "bytes"), help="Lines of so many bytes.")
@click.option(
    "--policy",
    type=click.Choice(["round_robin", "pick_first"]),
    default="round_robin",
    show_default=True,
    help="How the channel picks a replica when a stream opens.",
)
@click.option(
    "--via",
    type=click.Choice(["client", "proxy"]),
    default="client",
    show_default=True,
    help="Who balances: this client, or an Envoy (one that runs as 'lbdemo proxy', else one for the time of the talk).",
)
@click.option("--move/--no-move", default=True, show_default=True, help="Follow when a replica goes.")
@click.option(
    "--target", metavar="TARGET", help="Talk to this instead of the cluster: dir:///…, static:…, any gRPC target."
)
@cluster_option
@click.option(
    "--metadata",
    metavar="KEY=VALUE",
    multiple=True,
    callback=metadata_pairs,
    help="Sent when a stream is opened; can be repeated.",
)
@click.option(
    "--warm-up-timeout", type=Duration(), default="5s", show_default=True, help="The longest to wait for connections."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_context
def command(ctx: click.Context, /, *, as_json: bool, **options: Any) -> None:
    """Hold conversations on bidirectional streams, and show who wrote what, when, and where.

    One stream is shown as a timeline, several as a table of streams and messages by replica.

    \b
    metadata-first  the server answers with its metadata before any message
    ping-pong       one answer to each line
    collect         the server reads all lines, then answers them
    independent     both sides write when they like
    server-closes   the server ends the call while the client still writes
    deadline        the deadline comes in the middle
    cancel          the client cancels in the middle

    Exit codes: 0 every stream ended as its mode asks, 1 one did not or nobody was there, 2 usage, 130 ended by Ctrl-C.
    """  # noqa: D301 -- click's mark is a real backspace
    interrupts.leave_at_once()
    policy_is_given = ctx.get_parameter_source("policy") is not click.core.ParameterSource.DEFAULT
    if options["via"] == "proxy" and policy_is_given:
        raise click.UsageError("--policy is the client's, and with --via proxy an Envoy balances, by round_robin.")
    plan = _plan(as_json=as_json, **options)
    from lb_client.cli.stream_session import carry_out  # noqa: PLC0415 -- help needs none of it

    report = carry_out(plan)
    interrupts.unwind()
    if as_json:
        import json  # noqa: PLC0415 -- only who asks for it pays

        click.echo(json.dumps(report.as_dict()))
    else:
        from lb_client.paper import Paper  # noqa: PLC0415 -- help needs none of it
        from lb_client.stream_page import page_of  # noqa: PLC0415 -- the same

        click.echo(page_of(report, Paper.of(sys.stdout)), nl=False, color=True)
    ctx.exit(INTERRUPTED if report.stopped else 1 if report.failed else 0)


def _plan(
    *,
    mode: str,
    count: int | None,
    streams: int,
    uneven: bool,
    duration: float | None,
    interval: float | None,
    delay: float | None,
    deadline: float | None,
    text: str | None,
    size: int | None,
    policy: str,
    via: str,
    move: bool,
    target: str | None,
    cluster: str,
    metadata: tuple[tuple[str, str], ...],
    warm_up_timeout: float,
    as_json: bool,
) -> StreamPlan:
    """The options as a plan.

    Raises:
        click.UsageError: They contradict each other.
        Failure: There is no cluster to talk to.
    """
    from lb_client.cli.call_target import check_target, cluster_target  # noqa: PLC0415 -- help needs none of it
    from lb_client.script import Script  # noqa: PLC0415 -- the same

    shape = Mode(mode)
    said = _said(text, size)
    if uneven and (streams == 1 or shape in (Mode.DEADLINE, Mode.SERVER_CLOSES)):
        raise click.UsageError("--uneven is for several --streams whose lines are counted.")
    if delay is not None and delay > 3600:
        raise click.UsageError("--delay: the server waits an hour at most.")
    if count is None and duration is None and shape is not Mode.DEADLINE:
        count = DEFAULT_COUNT
    if uneven and (count is None or count * streams > MAX_COUNT):
        raise click.UsageError(f"--uneven: the last stream would have more than {MAX_COUNT:,} lines, or no end.")
    if shape is Mode.DEADLINE:
        deadline = DEFAULT_DEADLINE_S if deadline is None else deadline
        delay = DEFAULT_DELAY_S if delay is None else delay
    if shape in (Mode.SERVER_CLOSES, Mode.INDEPENDENT) and interval is None:
        interval = DEFAULT_INTERVAL_S
    if shape is Mode.INDEPENDENT and delay is None:
        delay = DEFAULT_OTHER_S
    whom = target if target is not None else cluster_target(cluster)
    ours = check_target(whom)
    if via == "proxy" and not ours:
        raise click.UsageError(
            f"--via proxy puts an Envoy in front of a target of ours, and {whom!r} is gRPC's own: leave --via away."
        )
    script = Script(
        mode=shape,
        count=count,
        duration_s=duration,
        interval_s=interval or 0.0,
        delay_s=delay or 0.0,
        deadline_s=deadline,
        text=said,
        metadata=metadata,
        moves=move,
    )
    requested = {
        "mode": mode,
        "count": count,
        "streams": streams,
        "uneven": uneven,
        "duration_s": duration,
        "interval_s": interval,
        "delay_s": delay,
        "deadline_s": deadline,
        "text": None if size is not None else said,
        "size": size,
        "policy": policy,
        "via": via,
        "move": move,
        "metadata": dict(metadata),
        "target": target,
        "cluster": None if target is not None else cluster,
        "warm_up_timeout_s": warm_up_timeout,
    }
    from lb_client.cli.stream_session import StreamPlan  # noqa: PLC0415 -- help needs none of it

    return StreamPlan(
        target=whom,
        ours=ours,
        policy=policy,
        proxied=via == "proxy",
        cluster=None if target is not None else cluster,
        script=script,
        streams=streams,
        uneven=uneven,
        warm_up_timeout_s=warm_up_timeout,
        timeline=streams == 1 and not as_json,
        requested=requested,
    )


def _said(text: str | None, size: int | None) -> str:
    """What each line says.

    Raises:
        click.UsageError: It cannot be said.
    """
    if text is not None and size is not None:
        raise click.UsageError("--text says what a line holds, --size how much: give one of them.")
    if text is not None and any(0xD800 <= ord(c) <= 0xDFFF for c in text):
        raise click.UsageError("--text is no valid Unicode text.")
    if size is not None:
        return "x" * size
    return DEFAULT_TEXT if text is None else text
