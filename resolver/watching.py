"""Following a target without a channel: its snapshots, as they come."""

from __future__ import annotations

from typing import TYPE_CHECKING

from resolver import runtime
from resolver.claims import SourceSpec, Subscription

if TYPE_CHECKING:
    from collections.abc import Callable

    from resolver.model import Snapshot


def watch(target: str, callback: Callable[[Snapshot], None], *, health_check: bool | str = True) -> Subscription:
    """Call `callback` with the target's present snapshot, and again with each change, until the subscription is closed.

    It runs on the control plane's thread: be quick, and make no blocking call through a channel of ours in it, for
    this thread tells channels where to go. A channel on the same target, with the same `health_check`, shares the
    watch.

    Raises:
        TargetError: The target is malformed, or nobody resolves its scheme.
        ControlPlaneError: The control plane's private socket could not be opened.
    """
    return runtime.subscribe(SourceSpec.of(target, health_check), callback)
