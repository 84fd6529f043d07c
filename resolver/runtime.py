"""The runtime: the one control plane of this process, started when first needed, and its place in the bootstrap."""

from __future__ import annotations

import atexit
import os
import threading
from typing import TYPE_CHECKING

from resolver.control_plane import ControlPlane
from resolver.core_counts import counts_of
from resolver.errors import ControlPlaneError
from resolver.private_folder import new_path
from resolver.target import Target, factory_for
from resolver.xds.bootstrap import Bootstrap, core_has_xds_clients

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from pathlib import Path

    from resolver.claims import Feed, Lease, SourceSpec, Subscription
    from resolver.model import Snapshot
    from resolver.policy import Policy
    from resolver.registry.base import WatcherFactory

_PREFIX = "lbdemo-ads-"
_SOCKET = "s"
_EXIT_S = 2.0
_RELEASE_S = 2.0

# One control plane for each process. The lock is held for moments only, save while one starts.
_lock = threading.RLock()
_current: ControlPlane | None = None
_retired: ControlPlane | None = None  # the one before: its thread may still be ending, and the socket is still its own
_bootstrap = Bootstrap(os.environ, has_clients=core_has_xds_clients)


def lease(
    spec: SourceSpec,
    policy: Policy,
    loop: asyncio.AbstractEventLoop | None = None,
    *,
    is_own: bool = False,
    zone: str = "",
) -> Lease:
    """Have a target served under a policy in this process; starts the control plane if there is none.

    Blocks for a few milliseconds when it has to start one. `loop` is the one of a channel for asyncio; `is_own` leaves
    the service to this lease alone; `zone` names the endpoints that come first.

    Raises:
        TargetError: The target cannot be meant.
        BootstrapError: The process's xDS bootstrap is unusable or cannot be changed any more.
        ControlPlaneError: The private socket could not be opened.
    """
    factory = _checked_factory(spec.target)
    _check_budget(policy)
    with _lock:
        plane = _running()
        _bootstrap.install(f"unix:{plane.socket_path}")
        taken = plane.lease(spec, factory, policy, loop, is_own=is_own, zone=zone)
    plane.alive_within(_RELEASE_S)  # core that finds no socket looks again after a second
    return taken


def switch(lease: Lease, policy: Policy, *, together: bool) -> None:
    """Put another policy in force for a lease's channel, within milliseconds.

    Raises:
        ValueError: The lease is over.
        SharedPolicyError: Other channels share its service, and are not to change `together` with it.
    """
    _check_budget(policy)
    with _lock:
        lease.plane.switch(lease, policy, together=together)


def subscribe(spec: SourceSpec, callback: Callable[[Snapshot], None]) -> Subscription:
    """Follow a target's snapshots: the present one at once, then each change, on the control plane's thread.

    The callback must be quick: what it waits for, everybody waits for. Channels on the same target share the watch.

    Raises:
        TargetError: The target cannot be meant.
        ControlPlaneError: The private socket could not be opened.
    """
    factory = _checked_factory(spec.target)
    with _lock:
        return _running().subscribe(spec, factory, callback)


def feed(spec: SourceSpec, callback: Callable[[Snapshot], None], zone: str = "") -> Feed:
    """As `subscribe`, and the target's endpoints are offered to an Envoy: from the same watch, by the same ADS service.

    Raises:
        TargetError: The target cannot be meant.
        ControlPlaneError: The private socket could not be opened.
    """
    factory = _checked_factory(spec.target)
    with _lock:
        return _running().feed(spec, factory, callback, zone)


def _checked_factory(target: Target) -> WatcherFactory:
    """The target's factory, which has found no fault with the target."""
    factory = factory_for(target)
    factory(target)  # raises TargetError here, in the caller's thread; the watcher is dropped before it began
    return factory


def _check_budget(policy: Policy) -> None:
    if policy.retry is None or policy.retry.budget is None:
        return
    try:
        counts_of("")
    except (ImportError, AttributeError, ValueError) as error:
        raise ControlPlaneError(
            f"this gRPC does not show what it counts, so a retry budget cannot be kept: {error}"
        ) from None


def _running() -> ControlPlane:
    global _current, _retired  # noqa: PLW0603 -- the one place where a process has one of something
    if _current is None:
        last = None
        if _retired is not None and _retired.released_within(_RELEASE_S):
            last = _retired.socket_path
        _retired = None
        plane = ControlPlane(_socket_path(last), lock=_lock, unneeded=_retire, ended=_restore)
        plane.start()
        _current = plane
    return _current


def _retire(plane: ControlPlane) -> None:
    global _current, _retired
    if _current is plane:
        _current, _retired = None, plane


def _restore() -> bool:
    """Put the environment back, now that nothing of ours needs the bootstrap; False to be asked again."""
    with _lock:
        return _current is not None or _bootstrap.restore()


def _socket_path(last: Path | None) -> Path:
    """Where to listen: a name that nobody knows, or the last one while core has a bootstrap that names it."""
    if last is not None and core_has_xds_clients():
        return last
    return new_path(_PREFIX) / _SOCKET


def _end_at_exit() -> None:
    """Channels may be left open at exit, or just closed; a thread inside gRPC must not outlive the interpreter."""
    for plane in (_current, _retired):
        if plane is not None:
            plane.end()
            plane.join(_EXIT_S)


def _forget_after_fork() -> None:
    """In a forked child there is no thread behind the objects; gRPC itself asks for exec after its import."""
    global _lock, _current, _retired, _bootstrap  # noqa: PLW0603
    _lock, _current, _retired = threading.RLock(), None, None
    _bootstrap = Bootstrap(os.environ, has_clients=core_has_xds_clients)


atexit.register(_end_at_exit)
os.register_at_fork(after_in_child=_forget_after_fork)
