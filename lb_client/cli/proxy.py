"""`lbdemo proxy`: a real Envoy in front of the replicas, in the foreground, until Ctrl-C."""

from __future__ import annotations

import contextlib
import json
import logging
import signal
import sys
import time
from typing import TYPE_CHECKING

import click

from lb_client.cli.common import Failure, cluster_option
from lb_client.cli.layout_values import Name

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from lb_client.proxy import EnvoyProxy

DRAIN_S = 2.0
"""How long calls in flight may take to end after Ctrl-C."""

_MAX_WORKERS = 64
# Who joins a room through the proxy meets those who are there without it.
_ROOMS = {"/lbdemo.v1.Chat/": "lbdemo-room"}


@click.command(short_help="Run a real Envoy in front of the replicas.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Where calls come in; 0, the default: any free.")
@click.option("--l4-port", type=click.IntRange(0, 65535), default=0, help="Where whole connections are balanced.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to bind, an IP address.")
@click.option("--workers", type=click.IntRange(1, _MAX_WORKERS), default=1, show_default=True,
              help="Envoy's threads; each goes round the replicas by itself.")  # fmt: skip
@click.option("--target", metavar="TARGET", help="Balance to this instead of the cluster: dir:///…, static:…")
@click.option("--zone", type=Name("zone"), help="Replicas of this zone first, others when it has none that is well.")
@click.option("--json", "as_json", is_flag=True, help="Print events as JSON lines on stdout.")
@cluster_option
def command(
    *,
    port: int,
    l4_port: int,
    host: str,
    workers: int,
    target: str | None,
    zone: str | None,
    as_json: bool,
    cluster: str,
) -> None:
    """Run a real Envoy in front of the replicas until Ctrl-C. Its endpoints are fed live, as a channel's are.

    `lbdemo call --via proxy` finds it. Needs the extra: pip install 'lbdemo[proxy]'.

    Exit codes: 0 after Ctrl-C or SIGTERM, 1 it cannot start or has died, 2 usage.
    """
    whom = _target(target, cluster)
    _check_host(host)
    if port and port == l4_port:
        raise click.UsageError(f"--port and --l4-port are both {port}: they need two.")
    from lb_client.proxy import EnvoyProxy, ProxyError  # noqa: PLC0415 -- brings gRPC, and help needs none
    from resolver.errors import ResolverError  # noqa: PLC0415 -- the same

    before = signal.signal(signal.SIGTERM, _interrupt)
    began_s = time.monotonic()
    try:
        with EnvoyProxy(
            whom, port=port, l4_port=l4_port, host=host, zone=zone or "", workers=workers, hashed=_ROOMS
        ) as proxy:
            with _told(proxy, None if target is not None else cluster):
                try:
                    _say_serving(proxy, cluster, target, time.monotonic() - began_s, as_json=as_json)
                    _log_changes()
                    proxy.wait()
                except KeyboardInterrupt:
                    click.echo("draining; Ctrl-C again to end at once", err=True)
            with contextlib.suppress(KeyboardInterrupt):  # the second one
                proxy.drain(DRAIN_S)
    except (ProxyError, ResolverError) as error:
        raise Failure(str(error)) from None
    finally:
        signal.signal(signal.SIGTERM, before)
    if as_json:
        click.echo(json.dumps({"event": "ended"}))


def _target(target: str | None, cluster: str) -> str:
    from lb_client.cli.call_target import check_target, cluster_target  # noqa: PLC0415 -- help needs none of it

    whom = target if target is not None else cluster_target(cluster)
    if not check_target(whom):
        raise click.UsageError(f"target {whom!r} is gRPC's own: a proxy balances to dir:, static: and registered ones.")
    return whom


def _check_host(host: str) -> None:
    import ipaddress  # noqa: PLC0415 -- help needs none of it

    try:
        ipaddress.ip_address(host)
    except ValueError:
        raise click.UsageError(f"--host {host!r} is no IP address.") from None


@contextlib.contextmanager
def _told(proxy: EnvoyProxy, cluster: str | None) -> Iterator[None]:
    """Announce the proxy, if it is one of a cluster."""
    if cluster is None:
        yield
        return
    from backends.cluster_errors import ClusterError  # noqa: PLC0415 -- help needs none of it
    from lb_client.cli.proxy_announcement import Announcement, announced  # noqa: PLC0415 -- the same

    try:
        with announced(cluster, Announcement(proxy.address, proxy.l4_address, proxy.target, proxy.zone)):
            yield
    except ClusterError as error:
        raise Failure(str(error)) from None


def _say_serving(proxy: EnvoyProxy, cluster: str, target: str | None, took_s: float, *, as_json: bool) -> None:
    endpoints = proxy.snapshot.endpoints if proxy.snapshot is not None else ()
    ready = sum(endpoint.health.takes_calls for endpoint in endpoints)
    if as_json:
        event = {
            "event": "serving",
            "address": proxy.address,
            "l4_address": proxy.l4_address,
            "target": proxy.target,
            "zone": proxy.zone or None,
            "cluster": None if target is not None else cluster,
            "endpoints": ready,
            "envoy": proxy.admin.version(),
            "pid": proxy.pid,
        }
        click.echo(json.dumps(event))
        return
    from lb_client.cli.fleet_options import for_cluster  # noqa: PLC0415 -- JSON needs none of it
    from lb_client.cli.fleet_view import styled  # noqa: PLC0415 -- the same
    from lb_client.phrases import counted  # noqa: PLC0415 -- the same

    where = for_cluster(cluster)
    call = f"lbdemo call --via proxy{where}" if target is None else f"lbdemo call --target {proxy.address}"
    rows = [
        ("calls", f"{proxy.address}: each call goes to the next replica (L7)"),
        ("connections", f"{proxy.l4_address}: each connection goes to the next replica (L4)"),
        ("target", proxy.target),
        *([("zone", f"{proxy.zone} first, others when it has none that is well")] if proxy.zone else []),
        ("call", call),
        *([("compare", f"lbdemo compare{where}")] if target is None else []),
        ("stop", "Ctrl-C"),
    ]
    head = f"Envoy {proxy.admin.version()} balances to {counted(ready, 'endpoint')} after {took_s:.2f} s"
    click.echo(styled(head, fg="green" if ready else "yellow", bold=True))
    click.echo("\n".join(f"  {styled(name.ljust(11), dim=True)} {text}" for name, text in rows))
    sys.stdout.flush()


def _log_changes() -> None:
    """From now on: who comes, goes and falls ill."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="lbdemo: %(message)s")


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
