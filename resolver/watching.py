"""Following a target without a channel: its snapshots, as they come."""

from __future__ import annotations

from typing import TYPE_CHECKING

from resolver import runtime
from resolver.control_plane import SourceSpec, Subscription
from resolver.target import Target

if TYPE_CHECKING:
    from collections.abc import Callable

    from resolver.model import Snapshot


def watch(target: str, callback: Callable[[Snapshot], None], *, health_check: bool | str = True) -> Subscription:
    """Call `callback` with the target's present snapshot, and again with each change, until the subscription is closed.

    It runs on the control plane's thread and must be quick. A channel on the same target, with the same
    `health_check`, shares the watch.

    Raises:
        TargetError: The target is malformed, or nobody resolves its scheme.
        ControlPlaneError: The control plane's private socket could not be opened.
    """
    service = health_check if isinstance(health_check, str) else ("" if health_check else None)
    return runtime.subscribe(SourceSpec(Target.parse(target), service), callback)
