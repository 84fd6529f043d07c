"""What a replica serves beside its main service: health, reflection, channelz and its own figures."""

from __future__ import annotations

import asyncio
import sys
from types import ModuleType
from typing import Any

import grpc
import grpc.aio
import pytest
from google.protobuf import descriptor_pool
from grpc_channelz.v1 import channelz_pb2, channelz_pb2_grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from backends import health, introspection
from backends.replica import STATS, Replica
from backends.spec import ReplicaSpec
from protos import cluster_pb2, cluster_pb2_grpc, helloworld_pb2, helloworld_pb2_grpc
from tests.support.bytes_method import bytes_method
from tests.support.services import BUILT_IN

STATUS = health_pb2.HealthCheckResponse
LISTED = (
    "grpc.channelz.v1.Channelz",
    "grpc.health.v1.Health",
    "grpc.reflection.v1alpha.ServerReflection",
    *BUILT_IN,
    "lbdemo.v1.Replica",
)


async def listed_by(channel: grpc.aio.Channel) -> Any:
    """What Health/List answers."""
    if not hasattr(health_pb2, "HealthListResponse"):
        pytest.skip("grpcio-health-checking before 1.83 has no class for List")
    stub = health_pb2_grpc.HealthStub(channel)
    return await stub.List(health_pb2.HealthListRequest())


async def test_health_knows_the_server_and_its_service_and_nothing_else() -> None:
    async with Replica(ReplicaSpec(id="r1")) as replica, grpc.aio.insecure_channel(replica.address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        for name in ("", *BUILT_IN):
            assert (await stub.Check(health_pb2.HealthCheckRequest(service=name))).status == STATUS.SERVING
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await stub.Check(health_pb2.HealthCheckRequest(service="helloworld.Nobody"))
        assert error.value.code() is grpc.StatusCode.NOT_FOUND
        listed = await listed_by(channel)
        assert {name: response.status for name, response in listed.statuses.items()} == dict.fromkeys(
            ("", *BUILT_IN), STATUS.SERVING
        )


async def test_watch_tells_unknown_names_apart_and_ends_after_the_last_word() -> None:
    async with (
        Replica(ReplicaSpec(id="r1", linger_s=0)) as replica,
        grpc.aio.insecure_channel(replica.address) as channel,
    ):
        stub = health_pb2_grpc.HealthStub(channel)
        known = stub.Watch(health_pb2.HealthCheckRequest(service="helloworld.Greeter"))
        unknown = stub.Watch(health_pb2.HealthCheckRequest(service="helloworld.Nobody"))
        assert (await known.read()).status == STATUS.SERVING
        assert (await unknown.read()).status == STATUS.SERVICE_UNKNOWN
        drain = asyncio.create_task(replica.drain())
        assert (await known.read()).status == STATUS.NOT_SERVING
        for watch in (known, unknown):
            assert await watch.code() is grpc.StatusCode.UNAVAILABLE
        await drain


async def test_reflection_lists_the_services_and_describes_each_of_them() -> None:
    def describe(address: str) -> tuple[list[str], set[str]]:
        with grpc.insecure_channel(address, options=(("grpc.enable_http_proxy", 0),)) as channel:
            database = ProtoReflectionDescriptorDatabase(channel)
            services = list(database.get_services())
            pool = descriptor_pool.DescriptorPool(database)
            return services, {pool.FindServiceByName(name).full_name for name in services}

    async with Replica(ReplicaSpec(id="r1")) as replica:
        services, described = await asyncio.to_thread(describe, replica.address)
    assert (sorted(services), described) == (list(LISTED), set(LISTED))


async def test_reflection_answers_by_the_name_that_newer_tools_use() -> None:
    async with Replica(ReplicaSpec(id="r1")) as replica, grpc.aio.insecure_channel(replica.address) as channel:
        method = channel.stream_stream(
            "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
            reflection_pb2.ServerReflectionRequest.SerializeToString,
            reflection_pb2.ServerReflectionResponse.FromString,
        )
        call = method(iter([reflection_pb2.ServerReflectionRequest(list_services="")]))
        answers = [service.name async for answer in call for service in answer.list_services_response.service]
        assert sorted(answers) == list(LISTED)


async def test_channelz_shows_the_server_and_its_calls() -> None:
    async with Replica(ReplicaSpec(id="r1")) as replica, grpc.aio.insecure_channel(replica.address) as channel:
        await helloworld_pb2_grpc.GreeterStub(channel).SayHello(helloworld_pb2.HelloRequest())
        stub = channelz_pb2_grpc.ChannelzStub(channel)
        servers = (await stub.GetServers(channelz_pb2.GetServersRequest())).server
        assert max(server.data.calls_succeeded for server in servers) >= 1


async def test_stats_tell_who_it_is_and_what_it_did() -> None:
    async with Replica(ReplicaSpec(id="r1")) as replica, grpc.aio.insecure_channel(replica.address) as channel:
        greeter, own = helloworld_pb2_grpc.GreeterStub(channel), cluster_pb2_grpc.ReplicaStub(channel)
        await greeter.SayHello(helloworld_pb2.HelloRequest())
        lasting = greeter.SayHelloBidiStream()
        await lasting.initial_metadata()
        stats = await own.GetStats(cluster_pb2.GetStatsRequest())
        assert (stats.id, stats.address, stats.health) == ("r1", replica.address, "SERVING")
        assert (stats.calls, stats.in_flight, list(stats.services)) == (2, 1, BUILT_IN)
        await lasting.done_writing()
        assert await lasting.code() is grpc.StatusCode.OK
        later = await own.GetStats(cluster_pb2.GetStatsRequest())
        assert (later.calls, later.in_flight) == (2, 0)
        assert later.uptime_s > stats.uptime_s > 0


async def test_users_service_stands_where_the_greeter_stood(monkeypatch: pytest.MonkeyPatch) -> None:
    async def echo(request: bytes, _context: Any) -> bytes:
        return request

    class Any2(grpc.GenericRpcHandler):
        """A handler without a service name: it is served and counted, and nothing can list it."""

        def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
            if handler_call_details.method == "/free.Form/Echo":
                return grpc.unary_unary_rpc_method_handler(echo)
            return None

    async def add(server: grpc.aio.Server) -> None:
        assert isinstance(server, grpc.aio.Server)
        handlers: dict[str, Any] = {"Echo": grpc.unary_unary_rpc_method_handler(echo)}
        server.add_generic_rpc_handlers((Any2(), grpc.method_handlers_generic_handler("b.Echo", handlers)))
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("a.Echo", handlers),))
        # What a server of one's own has, and a replica gives: neither may take its place.
        health_pb2_grpc.add_HealthServicer_to_server(health_pb2_grpc.HealthServicer(), server)

    module: Any = ModuleType("own_service")
    module.add = add
    monkeypatch.setitem(sys.modules, "own_service", module)
    spec = ReplicaSpec(id="r1", service="own_service:add")
    async with Replica(spec) as replica, grpc.aio.insecure_channel(replica.address) as channel:
        assert replica.services == ("a.Echo", "b.Echo")
        for path in ("/a.Echo/Echo", "/b.Echo/Echo", "/free.Form/Echo", "/a.Echo/Echo"):
            call = bytes_method(channel, path)(b"x")
            assert (await call, dict(tuple(await call.trailing_metadata()))["lbdemo-replica"]) == (b"x", "r1")
        assert replica.calls == 4
        assert set((await listed_by(channel)).statuses) == {"", "a.Echo", "b.Echo"}
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await bytes_method(channel, "/helloworld.Greeter/SayHello")(b"")
        assert error.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_names_of_the_labs_own_services_are_those_of_their_protos() -> None:
    """They are written down in the code so that a replica need not import them."""
    assert health_pb2.DESCRIPTOR.services_by_name["Health"].full_name == health.SERVICE
    assert reflection_pb2.DESCRIPTOR.services_by_name["ServerReflection"].full_name == introspection.REFLECTION
    assert channelz_pb2.DESCRIPTOR.services_by_name["Channelz"].full_name == introspection.CHANNELZ
    assert cluster_pb2.DESCRIPTOR.services_by_name["Replica"].full_name == STATS
