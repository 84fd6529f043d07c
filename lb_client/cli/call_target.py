"""Where `lbdemo call` calls: the running cluster or a target, as an open channel with what tells of its endpoints."""

from __future__ import annotations

import re
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from backends import file_limit
from lb_client.cli.common import Failure

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import grpc.aio

    from lb_client.aim import Aim
    from lb_client.channelz import ChannelView
    from lb_client.policy import Policy
    from lb_client.tracking import MembershipTracker

_GRPC_SCHEMES = ("dns", "ipv4", "ipv6", "unix", "unix-abstract", "vsock", "xds")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):(.*)", re.DOTALL)
_LOOPBACK = re.compile(r"(^|[:/,])(127\.\d+\.\d+\.\d+|localhost|\[::1\])(:|,|$)")
_HOST_PORT = re.compile(r"(\[[0-9A-Fa-f:.%a-z]+\]|[^\s:/\[\]]+):(\d+)")


@dataclass(frozen=True, slots=True)
class OpenTarget:
    """A channel, what can be seen of it, and who tells of its endpoints."""

    channel: grpc.aio.Channel
    view: ChannelView | None
    tracker: MembershipTracker


def cluster_target(cluster: str) -> str:
    """The resolver target of a running cluster, from its state folder; its supervisor is asked only in doubt.

    Raises:
        Failure: The cluster does not run, or its folder cannot be used.
    """
    from backends.cluster_errors import ClusterError  # noqa: PLC0415 -- `--target` and help need none of it
    from backends.state import StateFolder  # noqa: PLC0415 -- the same
    from resolver.target import quote_path  # noqa: PLC0415 -- the same

    try:
        folder = StateFolder.of(cluster)
        folder.check()
        if not folder.is_locked():
            name = "" if cluster == "default" else f" --cluster {cluster}"
            raise Failure(
                f"cluster {cluster!r} is not running: start it with 'lbdemo up{name}', or say whom to call by --target"
            )
        with_records = {record.parent for record in folder.path.glob("*/*.json")}
        if len(with_records) == 1:
            return f"dir://{quote_path(str(with_records.pop()))}"
        # Nobody has announced anything yet, or several services have been here.
        from backends.cluster import status  # noqa: PLC0415 -- see above

        return status(cluster).target
    except ClusterError as error:
        raise Failure(str(error)) from None


def check_target(target: str) -> bool:
    """Whether the target is one of ours, to be resolved by lb_client; False for gRPC's own.

    Raises:
        click.UsageError: It is malformed, or nobody knows its scheme.
    """
    from resolver.errors import TargetError  # noqa: PLC0415 -- help needs none of it
    from resolver.target import Target, factory_for, is_known_scheme, known_schemes  # noqa: PLC0415 -- the same

    if not target or not target.isprintable() or any(c.isspace() for c in target):
        raise click.UsageError(f"target {target!r} is empty or contains white space or control characters.")
    if form := _HOST_PORT.fullmatch(target):
        _check_port(target, form[2])
        return False
    form = _SCHEME.fullmatch(target)
    if form is None:
        raise click.UsageError(f"target {target!r} is neither host:port nor of the form scheme:rest.")
    scheme, rest = form[1].lower(), form[2]
    if scheme in _GRPC_SCHEMES:
        if not rest.strip("/"):
            raise click.UsageError(f"target {target!r} names nothing after its scheme.")
        if scheme in ("ipv4", "ipv6"):
            _check_list(target, scheme, rest)
        if scheme == "dns" and (form := _HOST_PORT.fullmatch(rest.rpartition("/")[2])):
            _check_port(target, form[2])
        return False
    if not is_known_scheme(target):
        raise click.UsageError(
            f"target {target!r} is neither host:port nor of a known scheme: "
            f"ours are {', '.join(known_schemes())}, gRPC's are {', '.join(_GRPC_SCHEMES)}."
        )
    try:
        parsed = Target.parse(target)
        factory_for(parsed)(parsed)
    except TargetError as error:
        raise click.UsageError(str(error)) from None
    return True


def _check_port(target: str, port: str) -> None:
    """Core would take the number modulo 65536."""
    if len(port) > 5 or not 1 <= int(port) <= 65535:
        raise click.UsageError(f"target {target!r}: port {port} is not between 1 and 65535.")


def _check_list(target: str, scheme: str, rest: str) -> None:
    from resolver.model import Endpoint  # noqa: PLC0415 -- help needs none of it

    for address in rest.removeprefix("///").split(","):
        try:
            is_ipv6 = ":" in Endpoint.at(address).host
        except ValueError as error:
            raise click.UsageError(f"target {target!r}: {error}.") from None
        if is_ipv6 != (scheme == "ipv6"):
            raise click.UsageError(f"target {target!r}: {address} is no {scheme} address.")


@asynccontextmanager
async def open_target(target: str, policy: Policy, *, ours: bool, aim: Aim | None = None) -> AsyncIterator[OpenTarget]:
    """Open a channel to a checked target; leaving the block closes it. `aim` is what the calls on it will ask for.

    Raises:
        Failure: The channel cannot be had.
    """
    import grpc.aio  # noqa: PLC0415 -- help needs none of it

    from lb_client import aio  # noqa: PLC0415 -- the same
    from lb_client.channelz import open_viewed  # noqa: PLC0415 -- the same
    from lb_client.tracking import ChannelTracker, SnapshotTracker  # noqa: PLC0415 -- the same
    from resolver.errors import ResolverError  # noqa: PLC0415 -- the same

    zone = aim.zone if aim is not None else ""
    if ours:
        try:
            channel, view = open_viewed(lambda: aio.insecure_channel(target, policy=policy, zone=zone))
            tracker: MembershipTracker = SnapshotTracker(target, aim)
        except ResolverError as error:
            raise Failure(str(error)) from None
    else:
        # A resolver's own service config (DNS TXT records) would take the policy away from the user, and an http_proxy
        # variable would carry even loopback addresses elsewhere.
        options = [("grpc.service_config", policy.service_config()), ("grpc.service_config_disable_resolution", 1)]
        if _LOOPBACK.search(target):
            options.append(("grpc.enable_http_proxy", 0))
        channel, view = open_viewed(lambda: grpc.aio.insecure_channel(target, options))
        tracker = ChannelTracker(view)
    try:
        yield OpenTarget(channel, view, tracker)
    finally:
        tracker.close()
        await channel.close()


async def expect_known(target: OpenTarget, aim: Aim, name: str, timeout_s: float) -> None:
    """Refuse a zone or a version that no endpoint has: a mistyped one would pass for one that makes no difference.

    Raises:
        Failure: There is none, and this is what there is.
    """
    if not aim.zone and not aim.version:
        return
    look = await target.tracker.first(timeout_s)
    if look is None or not look.members:
        return  # there is a better word for that
    for what, asked, found in (
        ("zone", aim.zone, {member.zone for member in look.members if member.zone}),
        ("version", aim.version, {member.version for member in look.members if member.version}),
    ):
        if asked and asked not in found:
            there = (
                f"there {'is' if len(found) == 1 else 'are'} {', '.join(sorted(found))}" if found else "none is told"
            )
            raise Failure(f"no replica at {name} is of {what} {asked!r}: {there}")


class WhollyToldError(Failure):
    """Whatever the resolver has warned of is in this line, or comes of what it tells."""


def unreachable(target: OpenTarget, name: str, *, ours: bool, timeout_s: float, reason: str) -> Failure:
    """Why nothing can be called there, in the words of the registry if there is one, else in gRPC's (`reason`)."""
    from lb_client.phrases import and_more, counted  # noqa: PLC0415 -- only after a failure

    if file_limit.tells_of_shortage(reason):
        return WhollyToldError(file_limit.out_of_files())
    look = target.tracker.now
    if not ours:
        return Failure(f"no server reachable at {name}: {' '.join(reason.split())}")
    if look is None:
        return Failure(f"{name} could not be resolved within {timeout_s:g} s")
    if not look.members:
        return _nobody_announced(name)
    if not look.ready:
        states = and_more([f"{member.label} {member.state.value}" for member in look.members])
        return Failure(f"none of {counted(len(look.members), 'endpoint')} at {name} is healthy: {states}")
    return Failure(f"no replica reachable at {name}: {' '.join(reason.split())}")


def _nobody_announced(target: str) -> Failure:
    from resolver.registry.directory import folder_of  # noqa: PLC0415 -- only after a failure

    folder = folder_of(target)
    if folder is not None and not folder.exists():
        return WhollyToldError(f"there is no folder {folder}: start replicas that announce themselves in it")
    return Failure(f"no replica is announced at {target}: start some with 'lbdemo up'")
