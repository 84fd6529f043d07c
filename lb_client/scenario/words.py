"""The words of a scenario: what can be done, what can be expected, and what each of these takes. Data only.

The words are a contract: they are added to, never renamed. Those of steps are the commands' own.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

from lb_client.scenario.quantity import NUMBER, SHARE, TIME

if TYPE_CHECKING:
    from collections.abc import Mapping

TOP = ("name", "about", "cluster", "calls", "steps", "expect")
STEP = ("at", "every", "until", "name")
WINDOW = ("from", "until")
FILTERS = ("replica", "zone", "version", "status")

HEALTH = ("serving", "not-serving", "unknown", "own")
CODES = (
    "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE",
    "DATA_LOSS", "UNAUTHENTICATED",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Action:
    """One thing that can be done.

    Attributes:
        takes: What its own value is: `whom`, `count`, `version`, `policy`, or the words that it can be.
        options: Its other words, and the kind of each: `time`, `share`, `percent`, `whole`, `code` or what it can be.
        needs: Those of its other words that it cannot do without.
    """

    takes: str | tuple[str, ...]
    options: Mapping[str, str | tuple[str, ...]] = field(default_factory=dict)
    needs: tuple[str, ...] = ()


ACTIONS: Mapping[str, Action] = MappingProxyType(
    {
        "drain": Action("whom"),
        "kill": Action("whom"),
        "pause": Action("whom"),
        "resume": Action("whom"),
        "restart": Action("whom"),
        "health": Action("whom", {"status": HEALTH}, ("status",)),
        "fault": Action("whom", {"latency": TIME, "jitter": TIME, "error": "code", "rate": SHARE, "for": TIME}),
        "clear": Action("whom"),
        "load": Action("whom", {"utilization": SHARE}, ("utilization",)),
        "scale": Action("count"),
        "up": Action("version", {"replicas": "whole", "share": "percent"}),
        "down": Action("version"),
        "policy": Action("policy"),
        "registry": Action(("remove", "restore")),
        "control-plane": Action(("kill",)),
    }
)

METRICS: Mapping[str, str] = MappingProxyType(
    {
        "calls": NUMBER,
        "answered": NUMBER,
        "failed": NUMBER,
        "retried": NUMBER,
        "rate": NUMBER,
        "share": SHARE,
        "shares": "shares",
        "spread": NUMBER,
        "min": TIME,
        "p50": TIME,
        "p90": TIME,
        "p99": TIME,
        "max": TIME,
        "serving": NUMBER,
        "attempts": NUMBER,
        "lost": NUMBER,
        "answered-twice": NUMBER,
        "unaccounted": NUMBER,
        "converged": TIME,
        "order": "order",
    }
)
TOTALS = ("serving", "attempts", "lost", "answered-twice", "unaccounted")
"""Figures of the whole play: nobody's in particular, and of no time."""
PHRASES: Mapping[str, str] = MappingProxyType({"spread": "even", "failed": "only in flight"})
"""What a metric can be beside a number."""

EVENTS = (
    # What the cluster tells, as protos/cluster.proto has it.
    "starting", "serving", "drain-begun", "drained", "died", "stopped", "failed", "paused", "resumed", "health",
    "fault", "fault-over", "load", "scaled", "rolling-begun", "rolling-done", "rolling-failed", "stopping",
    # What the client sees, as lb_client/history/happenings.py has it.
    "joined", "left", "ready", "unhealthy", "draining", "standby", "ejected", "let-back",
    "connected", "disconnected", "nack",
)  # fmt: skip

CALLS = (
    "duration",
    "until",
    "concurrency",
    "rate",
    "deadline",
    "policy",
    "retry",
    "outlier-detection",
    "zone",
    "metadata",
)
CLUSTER = ("replicas", "zones", "weights", "version")
