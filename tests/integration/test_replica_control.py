"""What a replica does when it is told to fail, or to say that it is ill: real calls on real sockets."""

from __future__ import annotations

import asyncio
import sys
import time
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from backends.control import local
from backends.replica import Replica
from backends.spec import ReplicaSpec
from protos import cluster_pb2, cluster_pb2_grpc, conversation_pb2, conversation_pb2_grpc, helloworld_pb2
from protos import helloworld_pb2_grpc as greeter_grpc
from tests.support.eventually import aeventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

STATUS = health_pb2.HealthCheckResponse
Fault = cluster_pb2.Fault
HELLO = helloworld_pb2.HelloRequest(name="x")


class Told:
    """A replica and everything one needs to try it."""

    def __init__(self, replica: Replica, channel: grpc.aio.Channel) -> None:
        self.replica = replica
        self.channel = channel
        self.greeter = greeter_grpc.GreeterStub(channel)
        self.conversation = conversation_pb2_grpc.ConversationStub(channel)
        self.health = health_pb2_grpc.HealthStub(channel)
        self.own: Any = cluster_pb2_grpc.ReplicaStub(channel)

    async def fault(self, **fields: Any) -> cluster_pb2.ReplicaStats:
        stats: cluster_pb2.ReplicaStats = await self.own.SetFault(cluster_pb2.SetFaultRequest(fault=Fault(**fields)))
        return stats

    async def told(self, health: str) -> None:
        await self.own.SetHealth(cluster_pb2.SetHealthRequest(health=health))


async def _number(call: Any) -> int:
    return int((await call.read()).number)


@pytest.fixture
async def told() -> AsyncIterator[Told]:
    spec = ReplicaSpec(id="r1", linger_s=0)
    async with Replica(spec) as replica, grpc.aio.insecure_channel(replica.address) as channel:
        told = Told(replica, channel)
        yield told
        told.__dict__.clear()  # pytest holds it longer than the check for leaks waits


async def test_error_ends_unary_calls_by_the_replicas_name_and_nothing_else(told: Told) -> None:
    assert (await told.fault(error="RESOURCE_EXHAUSTED")).fault.error == "RESOURCE_EXHAUSTED"
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await told.greeter.SayHello(HELLO)
    error = caught.value
    assert (error.code(), error.details()) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "on purpose: lbdemo fault")
    assert ("lbdemo-replica", "r1") in tuple(error.trailing_metadata())
    assert (await told.health.Check(health_pb2.HealthCheckRequest())).status == STATUS.SERVING
    assert (await told.own.GetStats(cluster_pb2.GetStatsRequest())).calls == 1, "it counts as a call"
    assert not (await told.fault()).HasField("fault")
    await told.greeter.SayHello(HELLO)
    assert told.replica.in_flight == 0


async def test_error_of_a_stream_comes_without_initial_metadata_so_that_it_may_be_retried(told: Told) -> None:
    call = told.conversation.MetadataFirst()
    assert ("lbdemo-replica", "r1") in tuple(await call.initial_metadata())
    await told.fault(error="UNAVAILABLE")
    struck = told.conversation.MetadataFirst()
    assert await struck.code() is grpc.StatusCode.UNAVAILABLE
    assert tuple(await struck.initial_metadata()) == ()
    assert ("lbdemo-replica", "r1") in tuple(await struck.trailing_metadata())
    # What was open before goes on.
    await call.write(conversation_pb2.Line(conversation="c", number=1))
    assert await _number(call) == 1
    call.cancel()


async def test_late_calls_and_streams_are_answered_and_no_sooner(told: Told) -> None:
    await told.fault(latency_ms=60)
    began = time.monotonic()
    await told.greeter.SayHello(HELLO)
    assert time.monotonic() - began >= 0.06
    began = time.monotonic()
    call = told.conversation.MetadataFirst()
    assert ("lbdemo-replica", "r1") in tuple(await call.initial_metadata())
    assert time.monotonic() - began >= 0.06
    await call.write(conversation_pb2.Line(conversation="c", number=1))
    assert await _number(call) == 1
    call.cancel()


async def test_share_of_the_calls_is_hit(told: Told) -> None:
    await told.fault(error="ABORTED", rate=0.5)

    async def failed() -> bool:
        try:
            await told.greeter.SayHello(HELLO)
        except grpc.aio.AioRpcError:
            return True
        return False

    count = sum([await failed() for _ in range(200)])
    assert 40 < count < 160  # 1 in 10^17 runs does not


async def test_fault_ends_by_itself(told: Told) -> None:
    await told.fault(error="ABORTED", for_ms=150)
    began = time.monotonic()
    while time.monotonic() - began < 5:
        try:
            await told.greeter.SayHello(HELLO)
        except grpc.aio.AioRpcError:
            continue
        break
    assert 0.14 <= time.monotonic() - began < 5
    assert not (await told.own.GetStats(cluster_pb2.GetStatsRequest())).HasField("fault")


async def test_caller_that_gives_up_on_a_late_call_leaves_nothing(told: Told) -> None:
    await told.fault(latency_ms=60_000)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await told.greeter.SayHello(HELLO, timeout=0.05)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED

    def nothing_in_flight() -> None:
        assert told.replica.in_flight == 0

    await aeventually(nothing_in_flight)


async def test_fault_hits_a_users_synchronous_service_and_methods_first_called_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Greeter(greeter_grpc.GreeterServicer):
        def SayHello(self, request: Any, _context: Any) -> Any:  # noqa: N802 -- gRPC's name
            return helloworld_pb2.HelloReply(message=request.name)

        SayHelloStreamReply = SayHelloBidiStream = None  # type: ignore[assignment]  # not called here

    module: Any = ModuleType("users_own")
    module.register = lambda server: greeter_grpc.add_GreeterServicer_to_server(Greeter(), server)
    monkeypatch.setitem(sys.modules, "users_own", module)
    spec = ReplicaSpec(id="r1", service="users_own:register")
    async with Replica(spec) as replica, grpc.aio.insecure_channel(replica.address) as channel:
        told = Told(replica, channel)
        await told.fault(error="ABORTED")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await told.greeter.SayHello(HELLO)
        assert caught.value.code() is grpc.StatusCode.ABORTED
        await told.fault()
        assert (await told.greeter.SayHello(HELLO)).message == "x"


@pytest.mark.parametrize("fields", [{"rate": 2, "error": "ABORTED"}, {"error": "TEAPOT"}, {"latency_ms": -1}])
async def test_nonsense_is_an_invalid_argument_and_changes_nothing(told: Told, fields: dict[str, Any]) -> None:
    await told.fault(latency_ms=1)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await told.fault(**fields)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    with pytest.raises(grpc.aio.AioRpcError):
        await told.told("WELL")
    assert (await told.own.GetStats(cluster_pb2.GetStatsRequest())).fault.latency_ms == 1


async def test_told_health_is_what_check_watch_and_list_say_while_calls_are_answered(told: Told) -> None:
    watch = told.health.Watch(health_pb2.HealthCheckRequest())
    assert (await watch.read()).status == STATUS.SERVING
    for health in ("NOT_SERVING", "UNKNOWN", "SERVING"):
        await told.told(health)
        assert (await watch.read()).status == STATUS.ServingStatus.Value(health)
        assert (await told.health.Check(health_pb2.HealthCheckRequest())).status == STATUS.ServingStatus.Value(health)
        await told.greeter.SayHello(HELLO)
    await told.told("NOT_SERVING")
    assert (await watch.read()).status == STATUS.NOT_SERVING
    await told.told("")
    assert (await watch.read()).status == STATUS.SERVING
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await told.health.Check(health_pb2.HealthCheckRequest(service="helloworld.Nobody"))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    watch.cancel()


async def test_drain_says_not_serving_whatever_was_told() -> None:
    spec = ReplicaSpec(id="r1", linger_s=0.3)
    async with Replica(spec) as replica, grpc.aio.insecure_channel(replica.address) as channel:
        told = Told(replica, channel)
        await told.told("SERVING")
        watch = told.health.Watch(health_pb2.HealthCheckRequest())
        assert (await watch.read()).status == STATUS.SERVING
        drain = asyncio.create_task(replica.drain())
        assert (await watch.read()).status == STATUS.NOT_SERVING
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await told.told("SERVING")
        assert caught.value.details() == "it drains"
        await drain


@pytest.mark.parametrize(
    ("peer", "may"),
    [
        ("ipv4:127.0.0.1:5000", True),
        ("ipv6:[::1]:5000", True),
        ("ipv6:%5B::1%5D:5000", True),
        ("unix:", True),
        ("ipv4:10.0.0.1:5000", False),
        ("ipv6:[fe80::1]:5000", False),
        ("ipv6:%5B2001:db8::1%5D:5000", False),
    ],
)
async def test_only_who_is_on_the_same_machine_may_tell(peer: str, may: bool) -> None:
    asked: list[object] = []

    async def method(request: object, _context: object) -> str:
        return f"did {request}"

    async def abort(code: grpc.StatusCode, _details: str) -> None:
        asked.append(code)
        raise PermissionError

    context = SimpleNamespace(peer=lambda: peer, abort=abort)
    if may:
        assert await local(method)("it", context) == "did it"
    else:
        with pytest.raises(PermissionError):
            await local(method)("it", context)
        assert asked == [grpc.StatusCode.PERMISSION_DENIED]
