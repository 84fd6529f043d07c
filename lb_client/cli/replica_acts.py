"""What the commands about single replicas share: names, one act on each, what is printed of it, the exit code."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import click

from backends.cluster_errors import ClusterError
from lb_client.cli.common import Failure
from lb_client.cli.fleet_options import clear_failures
from lb_client.cli.fleet_view import styled

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from backends.cluster_client import ClusterClient
    from backends.view import ClusterView, ReplicaView

    # One act on one replica, given as it was before: what became of it, None for "it is so already".
    Act = Callable[[ClusterClient, ReplicaView], Awaitable[str | None]]

F = TypeVar("F", bound="Callable[..., Any]")


@dataclass(slots=True)
class Acted:
    """What became of an act on several replicas.

    Attributes:
        view: The cluster afterwards.
        changed: By name, what is so now and was not before.
        already: Those of which it was so before, with what.
        refused: By name, why not.
    """

    view: ClusterView
    changed: dict[str, str] = field(default_factory=dict)
    already: dict[str, str] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)

    def as_dict(self, action: str) -> dict[str, object]:
        """For `--json`."""
        return {
            "action": action,
            "cluster": self.view.cluster,
            "changed": list(self.changed),
            "already": list(self.already),
            "refused": self.refused,
            "replicas": [r.as_dict() for r in self.view.replicas],
        }


def _unique(ctx: click.Context, _param: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    return expect_unique(values, ctx)


def expect_unique(names: tuple[str, ...], ctx: click.Context | None = None) -> tuple[str, ...]:
    """The names, unless one of them comes twice."""
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise click.UsageError(f"{', '.join(twice)} {'is' if len(twice) == 1 else 'are'} named twice.", ctx)
    return names


def replica_arguments(*, required: bool = True) -> Callable[[F], F]:
    """`REPLICA...`, each once."""
    return click.argument("replicas", nargs=-1, required=required, metavar="REPLICA...", callback=_unique)


def json_option(function: F) -> F:
    """`--json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")(function)


def run(session: Coroutine[Any, Any, Any]) -> Any:
    """Run a session with a cluster to its end; what can go wrong becomes the command's last line."""
    with clear_failures():
        return asyncio.run(session)


async def on_each(cluster: str, names: tuple[str, ...], act: Act, *, already: str) -> Acted:
    """Do it to each, if all names are known.

    Args:
        cluster: Whose replicas.
        names: Their names.
        act: What to do.
        already: The end of the sentence about one of which it is so already.
    """
    from backends.cluster_client import ClusterClient, expect_known, replica_of  # noqa: PLC0415 -- gRPC: help needs none

    async with ClusterClient(cluster) as client:
        before = await client.status()
        expect_known(before, names)
        acted = Acted(before)

        async def one(name: str) -> None:
            replica = replica_of(before, name)
            assert replica is not None  # noqa: S101 -- checked above
            try:
                done = await act(client, replica)
            except ClusterError as error:
                acted.refused[name] = str(error)
            else:
                if done is None:
                    acted.already[name] = already
                else:
                    acted.changed[name] = done

        await asyncio.gather(*(one(name) for name in names))
        acted.view = await client.status()
        return acted


def tell(acted: Acted, names: tuple[str, ...], *, action: str, as_json: bool) -> None:
    """Print what became of it, in the order of the names.

    Raises:
        Failure: Something was refused; the others are done.
    """
    if as_json:
        click.echo(json.dumps(acted.as_dict(action)))
    else:
        for name in names:
            if name in acted.changed:
                click.echo(f"{styled(name, bold=True)} {acted.changed[name]}")
            elif name in acted.already:
                click.echo(f"{styled(name, bold=True)} {acted.already[name]}: nothing to do")
    if acted.view.wanted and not acted.view.serving:
        click.echo(f"lbdemo: no replica of cluster {acted.view.cluster!r} serves now: calls fail", err=True)
    refused = [acted.refused[name] for name in names if name in acted.refused]
    for line in refused[:-1]:
        click.echo(f"lbdemo: {line}", err=True)
    if refused:
        raise Failure(refused[-1])
