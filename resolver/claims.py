"""What is asked of the control plane: a source, a lease, a subscription, a feed. Who keeps them: control_plane.py."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from resolver.target import Target
from resolver.xds.resources import plain_name

if TYPE_CHECKING:
    from collections.abc import Callable

    import grpc

    from resolver.control_plane import ControlPlane
    from resolver.model import Snapshot


@dataclass(frozen=True, slots=True)
class SourceSpec:
    """What makes two channels share one watch: the target, and how its endpoints' health is checked.

    Attributes:
        target: What to resolve.
        health_service: The name asked for by `Health/Watch`; None takes every endpoint as the registry tells it.
        credentials: How the health monitor connects; None in plain text. Compared by identity.
        options: Channel arguments the health monitor needs as well, such as the name to expect in a certificate.
    """

    target: Target
    health_service: str | None = ""
    credentials: grpc.ChannelCredentials | None = None
    options: tuple[tuple[str, Any], ...] = ()

    @classmethod
    def of(
        cls,
        target: str,
        health_check: bool | str,
        *,
        credentials: grpc.ChannelCredentials | None = None,
        options: tuple[tuple[str, Any], ...] = (),
    ) -> SourceSpec:
        """From the arguments of the public functions.

        Raises:
            TargetError: The target is malformed.
        """
        service = health_check if isinstance(health_check, str) else ("" if health_check else None)
        return cls(Target.parse(target), service, credentials, options)


@dataclass(eq=False, slots=True)
class Lease:
    """A claim on a target under a policy: as long as it is not over, `uri` is served.

    Attributes:
        uri: What to open a channel to: `xds://lbdemo/<service>`.
        is_over: Asked on the control plane's thread now and then; True ends the lease.
        is_counted: Whether core counts the channel's calls, as a retry budget needs it.
    """

    uri: str
    service: str
    plane: ControlPlane
    is_over: Callable[[], bool] = lambda: False
    is_counted: bool = True

    def release(self) -> None:
        """End the lease now. No error if it is over."""
        self.is_over = lambda: True
        self.review_soon()

    def review_soon(self) -> None:
        """It may be over: have it looked at. From any thread, also from a finalizer."""
        self.plane.review_soon()


class Subscription:
    """A callback that follows a target's snapshots until it is closed."""

    def __init__(self, plane: ControlPlane, source: str, callback: Callable[[Snapshot], None]) -> None:
        self._plane = plane
        self.source = source
        self.callback = callback
        self.closed = False

    def close(self) -> None:
        """Let no callback begin from now on; one that has begun goes on. No error if it is closed."""
        self.closed = True
        self._plane.review_soon()

    def __enter__(self) -> Self:
        """The subscription itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()


class Feed(Subscription):
    """A subscription that also offers the target's endpoints to an xDS client outside of gRPC core: to an Envoy.

    Attributes:
        socket_path: Where that client finds the ADS service; free again some time after `close`.
        zone: Whose endpoints come first; "" for no preference.
        resource_name: Of the ClusterLoadAssignment to ask for.
    """

    def __init__(self, plane: ControlPlane, source: str, callback: Callable[[Snapshot], None], zone: str = "") -> None:
        super().__init__(plane, source, callback)
        self.socket_path = plane.socket_path
        self.zone = zone
        self.resource_name = plain_name(source, zone)
