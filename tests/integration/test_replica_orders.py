"""What the Cluster service does to single replicas, over a nursery that the test plays, and by way of ClusterClient."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio
import pytest

from backends.cluster_client import ClusterClient, expect_known
from backends.cluster_errors import CannotStartError, ClusterError, NotRunningError, RefusedError, UnknownReplicaError
from backends.fault import NO_FAULT, Fault
from backends.replica import Replica
from backends.spec import ReplicaSpec
from protos import cluster_pb2
from tests.support.eventually import aeventually
from tests.support.scripted_nursery import ScriptedNursery, running

if TYPE_CHECKING:
    from backends.supervisor import FleetSupervisor
    from backends.view import ClusterView


def _one(id: str = "r1") -> cluster_pb2.ReplicaRequest:
    return cluster_pb2.ReplicaRequest(id=id)


async def _served(nursery: ScriptedNursery, supervisor: FleetSupervisor, *addresses: str) -> None:
    """All replicas serve; the first ones at these addresses."""
    for number, member in enumerate(supervisor.fleet.members):
        nursery.serve(member.id, addresses[number] if number < len(addresses) else "127.0.0.1:1")
    await aeventually(lambda: _assert_phases(supervisor, "R" * len(supervisor.fleet.members)))
    nursery.listen()


def _assert_phases(supervisor: FleetSupervisor, letters: str) -> None:
    assert "".join(m.phase.name[0] for m in supervisor.fleet.members) == letters


def _pid(supervisor: FleetSupervisor, id: str = "r1") -> int:
    return supervisor.fleet.known(id).pid


async def _asked(nursery: ScriptedNursery, *what: tuple[str, str]) -> None:
    def asked() -> None:
        assert nursery.listen()[-len(what) :] == list(what)

    await aeventually(asked)


async def test_pause_answers_when_the_kernel_says_so_and_a_second_one_changes_nothing() -> None:
    async with running(2) as (nursery, supervisor, stub):
        await _served(nursery, supervisor)
        pause = asyncio.ensure_future(stub.Pause(_one()))
        await _asked(nursery, ("SIGSTOP", "r1"))
        assert not pause.done()
        nursery.freeze("r1", _pid(supervisor))
        status = await pause
        assert [(r.paused, r.health) for r in status.replicas] == [(True, "UNREACHABLE"), (False, "SERVING")]
        await stub.Pause(_one())
        assert nursery.listen()[-1] == ("SIGSTOP", "r1"), "it is not signalled again"
        resume = asyncio.ensure_future(stub.Resume(_one()))
        await _asked(nursery, ("SIGCONT", "r1"))
        nursery.thaw("r1", _pid(supervisor))
        assert not (await resume).replicas[0].paused


async def test_news_of_an_older_process_is_not_taken_for_one_of_the_present() -> None:
    async with running(1) as (nursery, supervisor, stub):
        await _served(nursery, supervisor)
        nursery.freeze("r1", _pid(supervisor) + 1)
        nursery.notice("draining", "r1")
        await aeventually(lambda: _assert_phases(supervisor, "D"))
        assert not (await stub.GetStatus(cluster_pb2.GetStatusRequest())).replicas[0].paused


async def test_pause_of_one_that_dies_in_that_moment_is_refused() -> None:
    async with running(1) as (nursery, supervisor, stub):
        await _served(nursery, supervisor)
        pause = asyncio.ensure_future(stub.Pause(_one()))
        await _asked(nursery, ("SIGSTOP", "r1"))
        nursery.end("r1", number=9)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await pause
        assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION


async def test_kill_answers_when_the_process_is_gone() -> None:
    async with running(1) as (nursery, supervisor, stub):
        await _served(nursery, supervisor)
        kill = asyncio.ensure_future(stub.Kill(_one()))
        await _asked(nursery, ("SIGKILL", "r1"))
        assert not kill.done()
        nursery.end("r1", number=9)
        assert cluster_pb2.Phase.Name((await kill).replicas[0].phase) == "BACKING_OFF"
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Kill(_one())
        assert "r1 died (killed by SIGKILL) and starts again soon" in str(caught.value.details())


async def test_drained_one_is_stopped_and_restart_tells_each_step() -> None:
    async with running(2) as (nursery, supervisor, stub):
        await _served(nursery, supervisor)
        status = await stub.Drain(_one())
        assert cluster_pb2.Phase.Name(status.replicas[0].phase) == "DRAINING"
        await stub.Drain(_one())
        assert nursery.listen()[-1:] == [("SIGTERM", "r1")]
        nursery.end("r1")
        await aeventually(lambda: _assert_phases(supervisor, "SR"))
        assert supervisor.fleet.known("r1").reason == ""
        restart = stub.Restart(cluster_pb2.RestartRequest(ids=["r1"]))
        await _asked(nursery, ("start", "r1"))
        nursery.serve("r1")
        seen = [cluster_pb2.Phase.Name(status.replicas[0].phase) async for status in restart]
        assert seen[-1] == "RUNNING"
        assert await restart.code() is grpc.StatusCode.OK


async def test_drained_one_that_cut_calls_off_says_so() -> None:
    async with running(1) as (nursery, supervisor, stub):
        await _served(nursery, supervisor)
        await stub.Drain(_one())
        nursery.notice("cut-off", "r1", calls=1, after_s=5.0)
        nursery.end("r1")
        await aeventually(lambda: _assert_phases(supervisor, "S"))
        status = await stub.GetStatus(cluster_pb2.GetStatusRequest())
        assert status.replicas[0].reason == "1 call was cut off after 5 s"


async def test_unknown_replica_and_nonsense_have_their_own_codes() -> None:
    async with running(1) as (nursery, supervisor, stub):
        await _served(nursery, supervisor)
        for call, code in (
            (stub.Drain(_one("r7")), grpc.StatusCode.NOT_FOUND),
            (stub.SetHealth(cluster_pb2.SetHealthRequest(id="r1", health="WELL")), grpc.StatusCode.INVALID_ARGUMENT),
            (
                stub.SetFault(cluster_pb2.SetFaultRequest(id="r1", fault=cluster_pb2.Fault(rate=2, error="ABORTED"))),
                grpc.StatusCode.INVALID_ARGUMENT,
            ),
            (stub.SetFault(cluster_pb2.SetFaultRequest(id="r1")), grpc.StatusCode.FAILED_PRECONDITION),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call
            assert caught.value.code() is code, caught.value.details()
        assert str(caught.value.details()) == "r1 does not answer"


async def test_client_tells_a_real_replica_and_everybody_sees_it() -> None:
    async with Replica(ReplicaSpec(id="r1")) as replica, running(1, cluster="default") as (nursery, supervisor, _):
        await _served(nursery, supervisor, replica.address)
        async with ClusterClient() as client:
            view = await client.set_health("r1", "NOT_SERVING")
            assert (view.replicas[0].told_health, (await client.status()).replicas[0].health) == (
                "NOT_SERVING",
                "NOT_SERVING",
            )
            await client.set_health("r1", "")
            assert (await client.status()).replicas[0].health == "SERVING"
            fault = Fault(latency_ms=5, error="ABORTED", rate=0.5, for_ms=60_000)
            assert (await client.set_fault("r1", fault)).replicas[0].fault == fault
            assert replica._control.fault == fault
            assert (await client.set_fault("r1", NO_FAULT)).replicas[0].fault == NO_FAULT
            assert replica._control.fault == NO_FAULT
            await client.set_load("r1", 0.8)
            kinds = [event.kind async for event in client.events(wait=False)]
            assert kinds == ["starting", "serving", "health", "health", "fault", "fault-over", "load"]


async def test_many_commands_at_once_on_one_replica_are_done_one_after_the_other() -> None:
    async with Replica(ReplicaSpec(id="r1")) as replica, running(1, cluster="default") as (nursery, supervisor, _):
        await _served(nursery, supervisor, replica.address)
        async with ClusterClient() as client:
            faults = [Fault(latency_ms=n) for n in range(1, 21)]
            await asyncio.gather(*(client.set_fault("r1", fault) for fault in faults))
            assert replica._control.fault == supervisor.fleet.known("r1").fault


async def test_rolling_restart_goes_step_by_step_and_refuses_what_disturbs_it() -> None:
    async with running(2, cluster="default") as (nursery, supervisor, _):
        await _served(nursery, supervisor)
        async with ClusterClient() as client, ClusterClient() as other:
            views: list[ClusterView] = []

            async def roll() -> None:
                views.extend([view async for view in client.restart(rolling=True)])

            rolling = asyncio.create_task(roll())
            await _asked(nursery, ("start", "r3"))
            for attempt in (other.scale(5), other.drain("r1"), other.restart(["r1"]).__anext__()):
                with pytest.raises(RefusedError, match=r"a rolling restart goes on \(0 of 2 done\)"):
                    await attempt
            nursery.serve("r3")
            for name in ("r1", "r2"):
                await _asked(nursery, ("SIGTERM", name))
                nursery.end(name)
                await _asked(nursery, ("start", name))
                nursery.serve(name)
            await _asked(nursery, ("SIGTERM", "r3"))
            await rolling
            # A slow reader misses steps, never the last one.
            assert views[0].roll is not None
            assert views[-1].roll is None


async def test_rolling_restart_that_fails_says_so_and_leaves_the_spare_in_service() -> None:
    async with running(2, cluster="default") as (nursery, supervisor, _):
        await _served(nursery, supervisor)
        async with ClusterClient() as client:

            async def roll() -> None:
                async for _ in client.restart(rolling=True):
                    pass

            rolling = asyncio.create_task(roll())
            await _asked(nursery, ("start", "r3"))
            nursery.serve("r3")
            await _asked(nursery, ("SIGTERM", "r1"))
            nursery.end("r1")
            await _asked(nursery, ("start", "r1"))
            nursery.notice("cannot-start", "r1", reason="no such module")
            nursery.end("r1", code=3)
            with pytest.raises(
                CannotStartError, match=r"r1 does not come up: no such module \(none done; r2 as before"
            ):
                await rolling
            view = await client.status()
            assert [(r.id, r.phase.name, r.spare) for r in view.replicas] == [
                ("r1", "FAILED", False),
                ("r2", "RUNNING", False),
                ("r3", "RUNNING", True),
            ]
            assert [e.kind async for e in client.events(wait=False)][-1] == "rolling-failed"


async def test_rolling_restart_ends_after_the_one_at_hand_when_whoever_asked_leaves() -> None:
    async with running(3, cluster="default") as (nursery, supervisor, _):
        await _served(nursery, supervisor)
        async with ClusterClient() as client:
            async with aclosing(client.restart(rolling=True)) as views:
                await anext(views)
                await _asked(nursery, ("start", "r4"))
                nursery.serve("r4")
                await _asked(nursery, ("SIGTERM", "r1"))

            def cancelled() -> None:
                assert supervisor.fleet.roll is not None
                assert supervisor.fleet.roll.cancelled

            await aeventually(cancelled)
            nursery.end("r1")
            await _asked(nursery, ("start", "r1"))
            nursery.serve("r1")
            await _asked(nursery, ("SIGTERM", "r4"))
            assert supervisor.fleet.roll is not None
            assert supervisor.fleet.roll.error == "interrupted (r1 done; r2, r3 as before)"


async def test_events_of_the_past_then_those_that_come_until_the_cluster_ends() -> None:
    async with running(1, cluster="default") as (nursery, supervisor, _):
        await _served(nursery, supervisor)
        async with ClusterClient() as client:
            seen: list[Any] = []

            async def follow(**options: Any) -> None:
                seen.extend([event async for event in client.events(**options)])

            await follow(wait=False)
            assert [(e.number, e.kind, e.replica) for e in seen] == [(1, "starting", "r1"), (2, "serving", "r1")]
            assert seen[0].at_s <= seen[1].at_s
            following = asyncio.create_task(follow(after=2))
            supervisor.stop("the test is over")
            nursery.end("r1")
            await asyncio.wait_for(following, 5)
            assert [e.kind for e in seen[2:]] == ["stopping", "drain-begun", "drained"]
            assert [e.number for e in seen] == [1, 2, 3, 4, 5]


async def test_reader_that_knows_more_events_than_there_were_waits_and_stops_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with running(1) as (nursery, supervisor, stub):
        looks, look = 0, supervisor.history.after

        def counted(number: int) -> Any:
            nonlocal looks
            looks += 1
            assert looks < 10, "it looks again and again, and the supervisor does nothing else"
            return look(number)

        monkeypatch.setattr(supervisor.history, "after", counted)
        events = stub.WatchEvents(cluster_pb2.WatchEventsRequest(after=3))
        await aeventually(lambda: _assert_looks(looks, 1))
        nursery.serve("r1", "127.0.0.1:1")
        await aeventually(lambda: _assert_looks(looks, 2))
        await stub.Drain(_one())
        nursery.end("r1")
        assert (await events.read()).number == 4
        events.cancel()


def _assert_looks(looks: int, least: int) -> None:
    assert looks >= least


async def test_client_names_what_is_not_there() -> None:
    with pytest.raises(NotRunningError):
        async with ClusterClient("nowhere"):
            pass
    async with running(1, cluster="default") as (nursery, supervisor, _):
        await _served(nursery, supervisor)
        async with ClusterClient() as client:
            with pytest.raises(UnknownReplicaError, match="no replica 'r2': there is r1"):
                await client.kill("r2")
            with pytest.raises(UnknownReplicaError, match="no replica 'x' or 'y' in cluster 'default': there is r1"):
                expect_known(await client.status(), ["r1", "x", "y"])
            with pytest.raises(ClusterError, match="1 to 1000"):
                await client.scale(0)
