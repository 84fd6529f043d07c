"""What goes wrong with a replica's calls on purpose, as a value: its limits and its words. faulty.py does it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from protos import cluster_pb2

CODES = (
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
)
"""The names of the status codes that end a call badly, in the order of their numbers."""

HEALTHS = ("SERVING", "NOT_SERVING", "UNKNOWN")
"""What a replica can be told to report of its health, whatever is true."""

LONGEST_MS = 3_600_000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What goes wrong with calls on purpose; with no field set, nothing.

    Attributes:
        latency_ms: Before a call is looked at.
        jitter_ms: More of that, evenly between 0 and this.
        error: The name of the status code that ends a call instead of an answer; "" for none.
        rate: The share of calls that it hits, above 0 and up to 1.
        for_ms: Until it ends by itself; 0 for never.
    """

    latency_ms: float = 0.0
    jitter_ms: float = 0.0
    error: str = ""
    rate: float = 1.0
    for_ms: float = 0.0

    def __bool__(self) -> bool:
        return bool(self.latency_ms or self.jitter_ms or self.error)

    @classmethod
    def of(cls, message: cluster_pb2.Fault) -> Fault:
        """The message as a value.

        Raises:
            ValueError: A field is outside what is possible; the message says which and what is.
        """
        fault = cls(
            latency_ms=message.latency_ms,
            jitter_ms=message.jitter_ms,
            error=message.error,
            rate=message.rate or 1.0,
            for_ms=message.for_ms,
        )
        for name in ("latency_ms", "jitter_ms", "for_ms"):
            value = getattr(fault, name)
            if not (math.isfinite(value) and 0 <= value <= LONGEST_MS):
                raise ValueError(f"{name} {value:g} is not between 0 and an hour")
        if not 0 < fault.rate <= 1:
            raise ValueError(f"rate {fault.rate:g} is not above 0 and up to 1")
        if fault.error and fault.error not in CODES:
            raise ValueError(f"{fault.error!r} is no error: {', '.join(CODES)}")
        return fault

    def message(self) -> cluster_pb2.Fault | None:
        """The value as a message; None for nothing."""
        from protos import cluster_pb2  # noqa: PLC0415 -- the commands' help needs none

        if not self:
            return None
        return cluster_pb2.Fault(
            latency_ms=self.latency_ms, jitter_ms=self.jitter_ms, error=self.error, rate=self.rate, for_ms=self.for_ms
        )

    def as_dict(self) -> dict[str, object] | None:
        """For JSON; None for nothing."""
        if not self:
            return None
        return {name: getattr(self, name) for name in ("latency_ms", "jitter_ms", "error", "rate", "for_ms")}

    def __str__(self) -> str:
        parts = []
        if self.latency_ms or self.jitter_ms:
            most = self.latency_ms + self.jitter_ms
            unit, per = ("s", 1000) if self.latency_ms >= 1000 else ("ms", 1)
            span = f"{self.latency_ms / per:g}-" if self.jitter_ms else ""
            parts.append(f"{span}{most / per:g} {unit} late")
        if self.error:
            parts.append(self.error)
        if self.rate < 1:
            parts.append(f"{self.rate:.4g} of calls" if self.rate < 0.0001 else f"{self.rate * 100:.4g}% of calls")
        return ", ".join(parts) or "none"


NO_FAULT = Fault()
