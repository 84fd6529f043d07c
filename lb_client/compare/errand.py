"""What the process that walks a way is told at first, on its command line."""

from __future__ import annotations

import dataclasses
import json

from lb_client.compare.ways import Way


@dataclasses.dataclass(frozen=True, slots=True)
class Errand:
    """What a walker is told at first.

    Attributes:
        way: Which way.
        target: Where it begins: a target of ours, or `host:port`.
        replicas: Name by address of everybody who may answer.
        concurrency: Calls in flight.
        deadline_s: Of each call and of each stream.
        parent: The process that it works for, and ends with.
    """

    way: Way
    target: str
    replicas: dict[str, str]
    concurrency: int
    deadline_s: float
    parent: int

    def to_json(self) -> str:
        """For the process's command line."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Errand:
        """From there."""
        told = json.loads(text)
        return cls(**{**told, "way": Way(**told["way"])})
