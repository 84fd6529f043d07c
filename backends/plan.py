"""What a cluster is started with, and what each of its replicas is told of that."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from backends.layout import Layout
from backends.member import Member
from backends.spec import ReplicaSpec

if TYPE_CHECKING:
    from pathlib import Path

    from backends.state import StateFolder


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterPlan:
    """What a cluster is started with.

    Attributes:
        folder: Its private folder, prepared and locked by who starts it.
        replicas: How many replicas there should be at first.
        service: `package.module:function` of the user's own service; None for the Greeter.
        layout: Which zones, weights and version the replicas have.
    """

    folder: StateFolder
    replicas: int
    service: str | None = None
    layout: Layout = field(default_factory=Layout)

    @property
    def registry(self) -> Path:
        """The folder of the replicas' records."""
        return self.folder.registry(self.service)

    @property
    def target(self) -> str:
        """The resolver target under which the replicas are found."""
        return self.folder.target(self.service)

    def spec(self, id: str) -> ReplicaSpec:
        """What the replica of that name is told."""
        return self.spec_of(Member(number=int(id[1:]), version=self.layout.version), self.service)

    def spec_of(self, member: Member, service: str | None) -> ReplicaSpec:
        """What a replica of any version is told, which serves `service`."""
        return ReplicaSpec(
            id=member.id,
            registry=str(self.registry),
            heir_file=str(self.folder.lock),
            service=service,
            journals=str(self.folder.journals),
            metadata=self.layout.metadata(member.number, member.version),
        )
