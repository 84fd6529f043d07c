"""`lbdemo compare`: the same load by every way to the same replicas, in one table, with what it means."""

from __future__ import annotations

import contextlib
import json
import sys
from typing import TYPE_CHECKING, Any

import click

from lb_client.cli.call_values import MAX_CONCURRENCY, Deadline, Whole
from lb_client.cli.common import Failure, cluster_option

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lb_client.compare.result import Comparison
    from lb_client.proxy import EnvoyProxy

_WALKER = "lb_client.cli.compare_walker"
_NEEDED = {"helloworld.Greeter", "lbdemo.v1.Conversation"}


@click.command(short_help="Compare client-side and proxy load balancing, in one table.")
@click.option(
    "-n", "--count", type=Whole(1_000_000, "calls"), default="600", show_default=True, help="Calls by each way."
)
@click.option("-c", "--concurrency", type=Whole(MAX_CONCURRENCY, "calls at a time"), default="1", show_default=True,
              help="Calls in flight.")  # fmt: skip
@click.option(
    "--streams", type=Whole(10_000, "streams"), default="6", show_default=True, help="Streams at once, by each way."
)
@click.option(
    "--messages", type=Whole(100_000, "messages"), default="50", show_default=True, help="Messages on each stream."
)
@click.option("--connections", type=Whole(1000, "connections"), default="1", show_default=True,
              help="More than 1 adds a row: so many connections through the L4 proxy.")  # fmt: skip
@click.option("--deadline", type=Deadline(), default="10s", show_default=True, help="Of each call and of each stream.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@cluster_option
@click.pass_context
def command(
    ctx: click.Context,
    /,
    *,
    count: int,
    concurrency: int,
    streams: int,
    messages: int,
    connections: int,
    deadline: float,
    as_json: bool,
    cluster: str,
) -> None:
    """Send the same load to the same replicas by five ways, and compare who got what and what it cost.

    One connection to one replica; pick_first and round_robin in the client; an Envoy that balances each call (L7), and
    one that balances each connection (L4). Every way has a client process of its own. What the clients, the replicas
    and Envoy have counted must agree, or the page says where it does not. Needs: pip install 'lbdemo[proxy]'.

    Exit codes: 0 all was answered and all counts agree, 1 not so, 2 usage.
    """
    from lb_client.cli.call_target import cluster_target  # noqa: PLC0415 -- help needs none of it

    target = cluster_target(cluster)
    requested = {
        "count": count,
        "concurrency": concurrency,
        "streams": streams,
        "messages": messages,
        "connections": connections,
        "deadline_s": deadline,
        "cluster": cluster,
    }
    comparison = _compare(target, cluster, requested)
    _print(comparison, as_json=as_json)
    ctx.exit(1 if comparison.failed or comparison.differences() else 0)


def _compare(target: str, cluster: str, requested: dict[str, Any]) -> Comparison:
    from lb_client.compare.client import WalkError  # noqa: PLC0415 -- help needs none of it
    from lb_client.compare.meters import MeterError, ReplicaMeter  # noqa: PLC0415 -- brings gRPC: help needs none of it
    from lb_client.compare.walk import Walk  # noqa: PLC0415 -- the same
    from lb_client.compare.ways import all_ways  # noqa: PLC0415 -- the same
    from lb_client.proxy import EnvoyProxy, ProxyError  # noqa: PLC0415 -- the same
    from resolver.errors import ResolverError  # noqa: PLC0415 -- the same

    ways = all_ways(requested["connections"])
    try:
        with EnvoyProxy(target) as proxy:
            replicas = _replicas(proxy, cluster)
            with ReplicaMeter(replicas) as meter, _progress() as told:
                missing = _NEEDED - meter.services()
                if missing:
                    raise Failure(
                        f"compare calls the built-in services, and cluster {cluster!r} does not serve "
                        f"{' and '.join(sorted(missing))}: start one without --service"
                    )
                return Walk(proxy, meter, replicas, requested, program=_WALKER).run(ways, told)
    except (ProxyError, ResolverError, MeterError, WalkError) as error:
        raise Failure(str(error)) from None


def _replicas(proxy: EnvoyProxy, cluster: str) -> dict[str, str]:
    """The names of those that take calls, by address."""
    endpoints = proxy.snapshot.endpoints if proxy.snapshot is not None else ()
    found = {endpoint.address: endpoint.id or endpoint.address for endpoint in endpoints if endpoint.health.takes_calls}
    if not found:
        raise Failure(f"no replica of cluster {cluster!r} takes calls: see 'lbdemo status'")
    return found


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[str, float], None]]:
    """Tells on a terminal what is being done."""
    if not sys.stderr.isatty():
        yield lambda _text, _part: None
        return
    from lb_client.cli.call_screen import Screen  # noqa: PLC0415 -- only a terminal pays for it
    from lb_client.paper import GREEN  # noqa: PLC0415 -- the same

    with Screen(sys.stderr) as screen:

        def told(text: str, part: float) -> None:
            paper = screen.paper
            screen.draw([f" {paper.paint(paper.bar(part, 24), GREEN)} {part:4.0%}  {text}"])

        yield told


def _print(comparison: Comparison, *, as_json: bool) -> None:
    from lb_client.compare.words import explanation  # noqa: PLC0415 -- help needs none of it

    if as_json:
        click.echo(json.dumps(comparison.as_dict(explanation(comparison))))
        return
    from lb_client.compare.page import page_of  # noqa: PLC0415 -- JSON needs none of it
    from lb_client.paper import Paper  # noqa: PLC0415 -- the same

    click.echo(page_of(comparison, Paper.of(sys.stdout)), nl=False, color=True)
