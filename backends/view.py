"""A cluster as one sees it from outside: plain values, made from the supervisor's messages. No gRPC here."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from backends.fault import NO_FAULT, Fault
from backends.phase import Phase

if TYPE_CHECKING:
    from protos import cluster_pb2


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaView:
    """One replica.

    Attributes:
        id: Its name in the cluster.
        address: host:port; "" until it is bound.
        health: SERVING, NOT_SERVING, UNKNOWN or UNREACHABLE.
        pid: Its process; 0 when none runs.
        calls: Calls to its own services since its process started.
        in_flight: Calls that it answers now.
        uptime_s: Seconds since its process started.
        phase: Where it is in its life.
        restarts: How often it was started again.
        reason: Why it is BACKING_OFF or FAILED, one line.
        streams: Streams that are open now; they are among the calls in flight.
        paused: Whether its process is frozen.
        told_health: The health that it was told to report; "" for its own.
        fault: What goes wrong with its calls on purpose.
        spare: Whether it serves in the place of others during a rolling restart.
        zone: Where its record says it is; "" where that names no zone.
        version: Which version its record says it is.
        weight: What its record says it weighs.
    """

    id: str
    address: str = ""
    health: str = "UNKNOWN"
    pid: int = 0
    calls: int = 0
    in_flight: int = 0
    uptime_s: float = 0.0
    phase: Phase = Phase.STARTING
    restarts: int = 0
    reason: str = ""
    streams: int = 0
    paused: bool = False
    told_health: str = ""
    fault: Fault = NO_FAULT
    spare: bool = False
    zone: str = ""
    version: str = ""
    weight: int = 1

    @property
    def number(self) -> int:
        """The number in its name."""
        return int(self.id[1:])

    @property
    def serves(self) -> bool:
        """Whether it takes calls: it runs, and was not silent when it was last asked."""
        return self.phase is Phase.RUNNING and self.health != "UNREACHABLE"

    def as_dict(self) -> dict[str, object]:
        """What `lbdemo status --json` prints of it."""
        own = {"phase": self.phase.name, "uptime_s": round(self.uptime_s, 3), "fault": self.fault.as_dict()}
        return {**asdict(self), **own}

    @property
    def note(self) -> str:
        """What was done to it on purpose, in a few words; "" for nothing."""
        notes = [
            "paused" if self.paused else "",
            f"told {self.told_health}" if self.told_health else "",
            f"fault: {self.fault}" if self.fault else "",
            "spare" if self.spare else "",
        ]
        return "; ".join(note for note in notes if note)


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionView:
    """One version of a cluster.

    Attributes:
        name: As it stands in the records.
        wanted: How many replicas of it there should be.
        share: Its part of the calls in percent; None for what the others leave.
        service: `package.module:function`; None for the Greeter.
    """

    name: str
    wanted: int
    share: float | None = None
    service: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RollView:
    """A rolling restart that goes on, by the replicas' names.

    Attributes:
        done: Those that serve again.
        now: Which is restarted now; "" while the spare starts.
        todo: Those that come yet.
    """

    done: tuple[str, ...] = ()
    now: str = ""
    todo: tuple[str, ...] = ()

    @property
    def total(self) -> int:
        """How many it is about."""
        return len(self.done) + bool(self.now) + len(self.todo)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterView:
    """A whole cluster.

    Attributes:
        cluster: Its name.
        target: The resolver target under which its replicas are found.
        wanted: How many replicas there should be, of all versions.
        replicas: In the order of their numbers.
        services: Full names of what they serve, sorted; empty before the first one serves.
        service: `package.module:function` they were started with; None for the Greeter.
        supervisor_pid: The supervisor's process.
        log_folder: Where the logs are.
        versions: The first one first; empty before the supervisor was asked.
        roll: The rolling restart that goes on; None for none.
    """

    cluster: str
    target: str
    wanted: int
    replicas: tuple[ReplicaView, ...] = ()
    services: tuple[str, ...] = ()
    service: str | None = None
    supervisor_pid: int = 0
    log_folder: str = ""
    versions: tuple[VersionView, ...] = ()
    roll: RollView | None = None

    @classmethod
    def of(cls, status: cluster_pb2.ClusterStatus) -> ClusterView:
        """The supervisor's answer as a value."""
        return cls(
            cluster=status.cluster,
            target=status.target,
            wanted=status.wanted,
            replicas=tuple(_replica(r) for r in status.replicas),
            services=tuple(status.services),
            service=status.service_spec or None,
            supervisor_pid=status.supervisor_pid,
            log_folder=status.log_folder,
            versions=tuple(_version(v) for v in status.versions),
            roll=_roll(status.roll) if status.HasField("roll") else None,
        )

    def wanted_of(self, version: str | None) -> int:
        """How many replicas of a version there should be; None for the first one."""
        if not self.versions:
            return self.wanted
        first = self.versions[0].name
        return next((v.wanted for v in self.versions if v.name == (version or first)), 0)

    def share_of(self, version: str | None) -> float | None:
        """The share of a version in percent; None where it has none."""
        return next((v.share for v in self.versions if v.name == version), None)

    def serving_of(self, version: str | None) -> int:
        """How many replicas of a version serve; None for the first one."""
        if not self.versions:
            return self.serving
        name = version or self.versions[0].name
        return sum(r.serves for r in self.replicas if r.version == name)

    @property
    def serving(self) -> int:
        """How many replicas serve."""
        return sum(r.serves for r in self.replicas)

    @property
    def settled(self) -> bool:
        """Whether exactly the wanted replicas are there and all of them serve."""
        return len(self.replicas) == self.wanted == self.serving

    @property
    def settled_but_paused(self) -> bool:
        """Whether it is settled apart from replicas that somebody has frozen."""
        return len(self.replicas) == self.wanted == sum(r.serves or r.paused for r in self.replicas)

    @property
    def failed(self) -> tuple[ReplicaView, ...]:
        """The replicas that cannot start."""
        return tuple(r for r in self.replicas if r.phase is Phase.FAILED)

    def with_replica(self, news: ReplicaView) -> ClusterView:
        """The same cluster with one replica added or changed."""
        others = [r for r in self.replicas if r.id != news.id]
        return replace(self, replicas=tuple(sorted([*others, news], key=lambda r: r.number)))

    def without_replica(self, id: str) -> ClusterView:
        """The same cluster with one replica less."""
        return replace(self, replicas=tuple(r for r in self.replicas if r.id != id))

    def as_dict(self) -> dict[str, object]:
        """What `lbdemo status --json` prints: a contract, keys are added and never renamed."""
        return {
            "cluster": self.cluster,
            "target": self.target,
            "service": self.service,
            "services": list(self.services),
            "wanted": self.wanted,
            "serving": self.serving,
            "supervisor_pid": self.supervisor_pid,
            "log_folder": self.log_folder,
            "roll": None if self.roll is None else asdict(self.roll),
            "versions": [asdict(v) for v in self.versions],
            "replicas": [r.as_dict() for r in self.replicas],
        }


# By number, as in cluster.proto: the message's own names would need the generated module.
_PHASES = dict(enumerate(Phase, start=1))


def _replica(status: cluster_pb2.ReplicaStatus) -> ReplicaView:
    return ReplicaView(
        id=status.id,
        address=status.address,
        health=status.health,
        pid=status.pid,
        calls=status.calls,
        in_flight=status.in_flight,
        uptime_s=status.uptime_s,
        phase=_PHASES[status.phase],
        restarts=status.restarts,
        reason=status.reason,
        streams=status.streams,
        paused=status.paused,
        told_health=status.told_health,
        fault=Fault.of(status.fault),
        spare=status.spare,
        zone=status.zone,
        version=status.version,
        weight=status.weight or 1,
    )


def _roll(roll: cluster_pb2.Roll) -> RollView:
    return RollView(done=tuple(roll.done), now=roll.now, todo=tuple(roll.todo))


def _version(status: cluster_pb2.VersionStatus) -> VersionView:
    share = status.share if status.HasField("share") else None
    return VersionView(name=status.name, wanted=status.wanted, share=share, service=status.service_spec or None)
