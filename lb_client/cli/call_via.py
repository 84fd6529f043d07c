"""`lbdemo call --via proxy`: the proxy that runs, or one for the time of the call, and a channel that knows only it."""

from __future__ import annotations

from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lb_client.cli.call_target import OpenTarget
from lb_client.cli.common import Failure

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from lb_client.aim import Aim


@dataclass(frozen=True, slots=True)
class Proxy:
    """The proxy that calls go through.

    Attributes:
        address: `host:port`.
        found: Whether it ran already: `lbdemo proxy`.
    """

    address: str
    found: bool

    @property
    def origin(self) -> str:
        """Where it came from, for the report."""
        return "the one of 'lbdemo proxy'" if self.found else "an Envoy for the time of this call"


@contextmanager
def proxy_for(target: str, cluster: str | None, zone: str = "") -> Iterator[Proxy]:
    """The cluster's running proxy, if it prefers that zone; else an Envoy that lasts as long as the block.

    To start one is what a newcomer means who asks for the way through a proxy: there is nothing to decide before.

    Raises:
        Failure: There is none, and none can be started.
    """
    from backends.cluster_errors import ClusterError  # noqa: PLC0415 -- who calls by the client needs none of it
    from lb_client.cli.proxy_announcement import find_proxy  # noqa: PLC0415 -- the same
    from lb_client.proxy import EnvoyProxy, ProxyError  # noqa: PLC0415 -- the same
    from resolver.errors import ResolverError  # noqa: PLC0415 -- the same

    try:
        running = find_proxy(cluster) if cluster is not None else None
        if running is not None and (running.target, running.zone) == (target, zone):
            yield Proxy(running.address, found=True)
            return
        with EnvoyProxy(target, zone=zone) as proxy:
            yield Proxy(proxy.address, found=False)
    except (ProxyError, ResolverError, ClusterError) as error:
        raise Failure(str(error)) from None


@asynccontextmanager
async def open_through(address: str, target: str, aim: Aim | None = None) -> AsyncIterator[OpenTarget]:
    """A channel to a proxy at `address`; who should get calls is told by the target's registry.

    Raises:
        Failure: The registry cannot be followed.
    """
    import grpc.aio  # noqa: PLC0415 -- help needs none of it

    from lb_client.tracking import SnapshotTracker  # noqa: PLC0415 -- the same
    from resolver.errors import ResolverError  # noqa: PLC0415 -- the same

    try:
        tracker = SnapshotTracker(target, aim)
    except ResolverError as error:
        raise Failure(str(error)) from None
    # Without a view: the channel's one connection says nothing of the replicas; their answers do.
    channel = grpc.aio.insecure_channel(address, [("grpc.enable_http_proxy", 0)])
    try:
        yield OpenTarget(channel, None, tracker)
    finally:
        tracker.close()
        await channel.close()
