"""The fleet as `lbdemo.v1.ClusterStatus`: what the supervisor knows, joined with what replicas say of themselves."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from backends import rolling
from backends.phase import Phase
from protos import cluster_pb2

if TYPE_CHECKING:
    from collections.abc import Mapping

    from backends.fleet import Fleet, Member
    from backends.layout import Layout
    from backends.supervisor import FleetSupervisor


def cluster_status(
    supervisor: FleetSupervisor, fleet: Fleet, stats: Mapping[str, cluster_pb2.ReplicaStats | None]
) -> cluster_pb2.ClusterStatus:
    """A fleet as it is, or was; `stats` by name, None for who was asked and silent."""
    plan, now = supervisor.plan, supervisor.clock()
    roll = rolling.active(fleet)
    return cluster_pb2.ClusterStatus(
        roll=None if roll is None else cluster_pb2.Roll(done=roll.done, now=roll.now, todo=roll.todo),
        cluster=plan.folder.cluster,
        target=plan.target,
        # A list too long for a notice comes with the replicas' own figures.
        services=supervisor.services or next((s.services for s in stats.values() if s), ()),
        wanted=fleet.total,
        replicas=[_describe_member(m, stats.get(m.id), now, plan.layout, asked=m.id in stats) for m in fleet.members],
        supervisor_pid=os.getpid(),
        log_folder=str(plan.folder.logs),
        service_spec=fleet.service or "",
        versions=[
            cluster_pb2.VersionStatus(name=fleet.version, wanted=fleet.wanted, service_spec=fleet.service or ""),
            *(
                cluster_pb2.VersionStatus(
                    name=each.name, wanted=each.wanted, share=each.share, service_spec=each.service or ""
                )
                for each in fleet.others
            ),
        ],
    )


def _describe_member(
    member: Member, stats: cluster_pb2.ReplicaStats | None, now: float, layout: Layout, *, asked: bool
) -> cluster_pb2.ReplicaStatus:
    if stats is not None:
        health = stats.health
    elif member.paused:
        health = "UNREACHABLE"
    elif member.phase is Phase.RUNNING:
        health = "UNREACHABLE" if asked else "SERVING"
    else:
        health = "NOT_SERVING" if member.phase is Phase.DRAINING else "UNKNOWN"
    return cluster_pb2.ReplicaStatus(
        id=member.id,
        address=member.address,
        phase=member.phase.name,
        health=health,
        pid=member.pid,
        calls=stats.calls if stats else 0,
        in_flight=stats.in_flight if stats else 0,
        uptime_s=now - member.started_at if member.pid else 0.0,
        restarts=member.restarts,
        reason=member.reason,
        streams=stats.open_streams if stats else 0,
        zone=layout.zone(member.number),
        version=member.version,
        paused=member.paused,
        fault=member.fault.message(),
        told_health=member.told_health,
        spare=member.spare,
        weight=layout.weight(member.number),
    )


def news(status: cluster_pb2.ClusterStatus, *, counters: bool) -> cluster_pb2.ClusterStatus:
    """What of a status makes it another one: without counters, all but them and the time that goes by."""
    copy = cluster_pb2.ClusterStatus()
    copy.CopyFrom(status)
    for replica in copy.replicas:
        replica.uptime_s = int(replica.uptime_s) if counters else 0
        if not counters:
            replica.ClearField("calls")
            replica.ClearField("in_flight")
            replica.ClearField("streams")
    return copy
