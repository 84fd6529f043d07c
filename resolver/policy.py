"""Load-balancing policies as data. How each becomes xDS stands in xds/resources.py, as service config here."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import ClassVar


class _ByName:
    """What policies without parameters have in common."""

    __slots__ = ()
    name: ClassVar[str]

    def service_config(self) -> str:
        """The `grpc.service_config` that asks for it on a target that is not ours, as JSON."""
        return json.dumps({"loadBalancingConfig": [{self.name: {}}]})


@dataclass(frozen=True, slots=True)
class RoundRobin(_ByName):
    """Each call to the next endpoint in turn (gRFC A27: the xDS default). Ignores weights."""

    name: ClassVar[str] = "round_robin"


@dataclass(frozen=True, slots=True)
class PickFirst(_ByName):
    """All calls to the first endpoint that connects: what a channel does when nobody says otherwise (gRFC A62)."""

    name: ClassVar[str] = "pick_first"


@dataclass(frozen=True, slots=True)
class RingHash(_ByName):
    """Calls with an equal header value to the same endpoint, by consistent hashing (gRFC A42). Ignores nothing else.

    Attributes:
        header: The metadata key whose value is hashed, in lower case. Calls without it spread at random.
    """

    header: str
    name: ClassVar[str] = "ring_hash"


Policy = RoundRobin | PickFirst | RingHash
