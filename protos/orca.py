"""A server's load as it travels with an answer: as ORCA for gRPC core, as text for who reads metadata. Pure.

ORCA (https://github.com/grpc/proposal/blob/master/A51-custom-backend-metrics.md) is written by hand: the few doubles of
`xds.data.orca.v3.OrcaLoadReport` that weights are made of do not need its package, which takes a replica's start 30 ms.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass

ORCA_KEY = "endpoint-load-metrics-bin"
"""The trailing metadata key that core reads, and keeps from the application."""

LOAD_KEY = "lbdemo-load"
"""The same figures for the application, `utilization rps eps`: a replica sends them with its answer to a call that has
this key in its metadata, whatever the value."""

# Field numbers of the message; each is a double, wire type 1.
_CPU, _RPS, _EPS, _APPLICATION = 1, 6, 7, 9


@dataclass(frozen=True, slots=True)
class Load:
    """What a server says of itself.

    Attributes:
        utilization: 1.0 is all it has.
        rps: Requests a second.
        eps: Errors a second.
        is_told: Whether somebody set it by hand; else it is measured, and the utilization is that of the processor.
    """

    utilization: float
    rps: float
    eps: float = 0.0
    is_told: bool = False

    def as_orca(self) -> bytes:
        """The serialized OrcaLoadReport."""
        utilization = _APPLICATION if self.is_told else _CPU
        fields = ((utilization, self.utilization), (_RPS, self.rps), (_EPS, self.eps))
        return b"".join(struct.pack("<Bd", number << 3 | 1, value) for number, value in sorted(fields) if value)

    def as_text(self) -> str:
        """The value of LOAD_KEY."""
        return f"{self.utilization:.4g} {self.rps:.4g} {self.eps:.4g}"

    def weight(self, error_utilization_penalty: float = 1.0) -> float:
        """The endpoint's weight (gRFC A58); 0 where core makes none of it."""
        if self.rps <= 0 or self.utilization <= 0:
            return 0.0
        return self.rps / (self.utilization + self.eps / self.rps * error_utilization_penalty)


def read_load(text: str) -> Load | None:
    """What a value of LOAD_KEY says; None for what is none."""
    try:
        utilization, rps, eps = (float(part) for part in text.split())
    except ValueError:
        return None
    return Load(utilization, rps, eps) if all(0 <= part < math.inf for part in (utilization, rps, eps)) else None
