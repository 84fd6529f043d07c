"""The supervisor and its Cluster service over a nursery that the test plays, line by line."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import grpc
import grpc.aio
import pytest

from backends.plan import ClusterPlan
from backends.probe import ReplicaProbe
from backends.replica import Replica
from backends.spec import ReplicaSpec
from backends.state import StateFolder
from backends.supervisor import FleetSupervisor
from protos import cluster_pb2
from tests.support.eventually import aeventually
from tests.support.scripted_nursery import ScriptedNursery, running
from tests.support.services import BUILT_IN

Status = cluster_pb2.ClusterStatus


def _phases(status: Status) -> dict[str, str]:
    return {r.id: cluster_pb2.Phase.Name(r.phase) for r in status.replicas}


async def test_first_replicas_are_asked_for_before_the_loop_runs() -> None:
    async with running(2) as (nursery, _, stub):
        assert nursery.listen() == [("start", "r1"), ("start", "r2")]
        status = await stub.GetStatus(cluster_pb2.GetStatusRequest())
        assert _phases(status) == {"r1": "STARTING", "r2": "STARTING"}
        assert (status.cluster, status.wanted, status.supervisor_pid) == ("c", 2, os.getpid())
        assert status.target.startswith("dir:///")
        assert status.target.endswith("/c/greeter")


async def test_status_joins_the_fleet_with_what_replicas_say_themselves() -> None:
    async with Replica(ReplicaSpec(id="r1")) as replica, running(2) as (nursery, _, stub):
        nursery.serve("r1", replica.address)
        nursery.serve("r2", "127.0.0.1:9")

        async def joined() -> None:
            status = await stub.GetStatus(cluster_pb2.GetStatusRequest())
            assert [(r.id, r.health, r.pid) for r in status.replicas] == [
                ("r1", "SERVING", 100),
                ("r2", "UNREACHABLE", 101),
            ]
            assert list(status.services) == BUILT_IN

        await aeventually(joined)


async def test_reason_that_came_before_the_end_is_known_at_the_end() -> None:
    async with running(1) as (nursery, supervisor, _):
        # Both are there before the supervisor looks: the report of the end is on the other descriptor.
        nursery.end("r1", code=3)
        nursery.notice("cannot-start", "r1", reason="port 80 is taken")
        await aeventually(lambda: _assert_reason(supervisor, "port 80 is taken"))


async def test_replica_that_could_not_be_forked_is_tried_again() -> None:
    async with running(1) as (nursery, _, __):
        nursery.report("not-forked", "r1", reason="no process: Resource temporarily unavailable")

        def again() -> None:
            assert nursery.listen() == [("start", "r1"), ("start", "r1")]

        await aeventually(again)


async def test_watcher_sees_each_change_and_nothing_else() -> None:
    async with running(1) as (nursery, _, stub):
        watch = stub.WatchStatus(cluster_pb2.WatchStatusRequest())
        assert _phases(await watch.read()) == {"r1": "STARTING"}
        nursery.serve("r1")
        seen = await watch.read()
        while _phases(seen) != {"r1": "RUNNING"} or seen.replicas[0].health != "UNREACHABLE":
            seen = await watch.read()
        next_one = asyncio.ensure_future(watch.read())
        await stub.GetStatus(cluster_pb2.GetStatusRequest())
        assert not next_one.done()
        await stub.Scale(cluster_pb2.ScaleRequest(replicas=2))
        assert _phases(await next_one) == {"r1": "RUNNING", "r2": "STARTING"}
        watch.cancel()


async def test_scale_answers_at_once_and_drains_the_highest() -> None:
    async with running(3) as (nursery, supervisor, stub):
        for name in ("r1", "r2", "r3"):
            nursery.serve(name)
        await aeventually(lambda: _assert_serving(supervisor, 3))
        status = await stub.Scale(cluster_pb2.ScaleRequest(replicas=1))
        assert _phases(status) == {"r1": "RUNNING", "r2": "DRAINING", "r3": "DRAINING"}
        assert nursery.listen()[3:] == [("SIGTERM", "r3"), ("SIGTERM", "r2")]
        nursery.end("r3")
        nursery.end("r2")
        await aeventually(lambda: _assert_members(supervisor, "r1"))


@pytest.mark.parametrize("number", [0, 1001])
async def test_impossible_number_is_an_invalid_argument(number: int) -> None:
    async with running(1) as (_, supervisor, stub):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Scale(cluster_pb2.ScaleRequest(replicas=number))
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert "1 to 1000" in str(caught.value.details())
        assert supervisor.fleet.wanted == 1


async def test_shutdown_shows_the_way_down_and_refuses_to_scale() -> None:
    async with running(2) as (nursery, _, stub):
        nursery.serve("r1")
        nursery.serve("r2")
        shutdown = stub.Shutdown(cluster_pb2.ShutdownRequest())
        seen = [await shutdown.read()]
        while set(_phases(seen[-1]).values()) != {"DRAINING"}:
            seen.append(await shutdown.read())
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Scale(cluster_pb2.ScaleRequest(replicas=2))
        assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
        nursery.end("r1")
        nursery.end("r2")
        while (status := await shutdown.read()) is not grpc.aio.EOF:
            last = status
        assert _phases(last) == {}


@pytest.mark.parametrize("ours", [True, False])
async def test_record_of_one_that_died_is_removed_if_the_folder_is_still_ours(ours: bool) -> None:
    async with running(1, owns_folder=ours) as (nursery, supervisor, _):
        record = supervisor.plan.registry / "r1.json"
        record.parent.mkdir()
        record.write_text("{}")
        nursery.serve("r1")
        nursery.end("r1", number=9)
        await aeventually(lambda: _assert_reason(supervisor, "killed by SIGKILL"))
        assert record.exists() is not ours


async def test_nobody_can_scale_what_lost_its_nursery() -> None:
    async with running(1) as (nursery, supervisor, stub):
        nursery.serve("r1")
        await aeventually(lambda: _assert_serving(supervisor, 1))
        nursery.hang_up()
        await aeventually(lambda: _assert_stopping(supervisor))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Scale(cluster_pb2.ScaleRequest(replicas=1))
        assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION


async def test_services_that_no_notice_could_hold_come_from_the_replicas() -> None:
    async with Replica(ReplicaSpec(id="r1")) as replica, running(1) as (nursery, _, stub):
        nursery.notice("serving", "r1", address=replica.address, pid=1, services=[])

        async def known() -> None:
            status = await stub.GetStatus(cluster_pb2.GetStatusRequest())
            assert list(status.services) == BUILT_IN

        await aeventually(known)


async def test_lost_nursery_ends_the_supervisor_once_its_replicas_are_gone() -> None:
    folder = StateFolder.of("c", root=Path(os.environ["LBDEMO_STATE_DIR"]))
    nursery = ScriptedNursery()
    supervisor = FleetSupervisor(ClusterPlan(folder=folder, replicas=1), nursery.pipes)
    supervisor.begin()
    life = asyncio.create_task(supervisor.run())
    nursery.serve("r1")
    await aeventually(lambda: _assert_serving(supervisor, 1))
    nursery.die()
    assert await life == 1


async def test_many_watchers_cost_a_replica_no_more_than_one() -> None:
    asked = 0

    async def count(_request: object, _context: object) -> cluster_pb2.ReplicaStats:
        nonlocal asked
        asked += 1
        return cluster_pb2.ReplicaStats(health="SERVING")

    handler = grpc.unary_unary_rpc_method_handler(
        count, cluster_pb2.GetStatsRequest.FromString, cluster_pb2.ReplicaStats.SerializeToString
    )
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("lbdemo.v1.Replica", {"GetStats": handler}),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with ReplicaProbe() as probe:
        found = await asyncio.gather(*(probe.gather({"r1": f"127.0.0.1:{port}"}) for _ in range(20)))
    assert [answer["r1"] and answer["r1"].health for answer in found] == ["SERVING"] * 20
    assert asked == 1
    await server.stop(None)


def _assert_reason(supervisor: FleetSupervisor, reason: str) -> None:
    assert [m.reason for m in supervisor.fleet.members] == [reason]


def _assert_serving(supervisor: FleetSupervisor, count: int) -> None:
    assert supervisor.fleet.serving == count


def _assert_stopping(supervisor: FleetSupervisor) -> None:
    assert supervisor.fleet.stopping


def _assert_members(supervisor: FleetSupervisor, *ids: str) -> None:
    assert tuple(m.id for m in supervisor.fleet.members) == ids
