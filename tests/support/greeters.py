"""Asyncio Greeters for tests of the calling side: with or without identity, health, reflection; able to misbehave."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio
from grpc_health.v1 import health, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2

from protos import helloworld_pb2, helloworld_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SAY_HELLO = "/helloworld.Greeter/SayHello"
REQUEST = helloworld_pb2.HelloRequest(name="world").SerializeToString()
ROUND_ROBIN = '{"loadBalancingConfig": [{"round_robin": {}}]}'


class Greeter(helloworld_pb2_grpc.GreeterServicer):
    """One server. Change its attributes to change what it does.

    Attributes:
        id: Its name.
        address: Where it listens.
        calls: How many SayHello it got.
        peers: Whom they came from: one for each connection.
        fail_every: Every so many calls end badly; 0 for none.
        fail_code: How.
        delay_s: How long an answer takes.
        gate: While it is not set, no answer comes.
        has_identity: Whether it says who it is.
        attempts: What it claims to be told of previous attempts; "" for nothing.
        in_flight: Calls that it has not answered.
        most_in_flight: The most there ever were.
    """

    def __init__(self, name: str, *, has_identity: bool = True) -> None:
        self.id = name
        self.address = ""
        self.calls = 0
        self.peers: set[str] = set()
        self.fail_every = 0
        self.fail_code = grpc.StatusCode.ABORTED
        self.delay_s = 0.0
        self.gate = asyncio.Event()
        self.gate.set()
        self.has_identity = has_identity
        self.attempts = ""
        self.metadata: dict[str, str] = {}
        self.in_flight = self.most_in_flight = 0
        self.server: grpc.aio.Server | None = None

    async def SayHello(  # noqa: N802 -- the service's own name
        self, request: helloworld_pb2.HelloRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> helloworld_pb2.HelloReply:
        self.calls += 1
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        self.peers.add(context.peer())
        self.metadata = {key: str(value) for key, value in context.invocation_metadata() or ()}
        try:
            trailing = [("lbdemo-replica", self.id), ("lbdemo-address", self.address)] if self.has_identity else []
            if self.attempts:
                trailing.append(("lbdemo-previous-attempts", self.attempts))
            context.set_trailing_metadata(tuple(trailing))
            await self.gate.wait()
            if self.delay_s:
                await asyncio.sleep(self.delay_s)
            if self.fail_every and self.calls % self.fail_every == 0:
                await context.abort(self.fail_code, f"call {self.calls} is not liked")
            return helloworld_pb2.HelloReply(message=f"Hello, {request.name}!")
        finally:
            self.in_flight -= 1


@asynccontextmanager
async def greeters(
    number: int, *, has_identity: bool = True, has_health: bool = True, reflects: str = ""
) -> AsyncIterator[list[Greeter]]:
    """So many servers on 127.0.0.1: r1, r2, …

    Args:
        number: How many.
        has_identity: Whether they say who they are.
        has_health: Whether they have a health service.
        reflects: `v1alpha` or `v1` for a reflection service of that version only.
    """
    async with AsyncExitStack() as stack:
        servers = []
        for n in range(1, number + 1):
            servicer = Greeter(f"r{n}", has_identity=has_identity)  # type: ignore[abstract]  # the rest: UNIMPLEMENTED
            server = grpc.aio.server(options=(("grpc.so_reuseport", 0),))
            helloworld_pb2_grpc.add_GreeterServicer_to_server(servicer, server)
            if has_health:
                health_pb2_grpc.add_HealthServicer_to_server(health.aio.HealthServicer(), server)
            if reflects == "v1alpha":
                reflection.enable_server_reflection(("helloworld.Greeter", reflection.SERVICE_NAME), server)
            elif reflects == "v1":
                server.add_generic_rpc_handlers((_reflection_v1(),))
            servicer.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
            servicer.server = server
            await server.start()
            stack.push_async_callback(server.stop, None)
            servers.append(servicer)
        yield servers


def list_target(servers: list[Greeter]) -> str:
    """A target that names them all."""
    return f"ipv4:{','.join(server.address for server in servers)}"


def options() -> list[tuple[str, Any]]:
    """Channel arguments for round_robin over a list target, with connections of its own and no proxy."""
    return [
        ("grpc.enable_http_proxy", 0),
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.service_config", ROUND_ROBIN),
    ]


def _reflection_v1() -> grpc.GenericRpcHandler:
    """The same reflection under the name of its later version."""
    servicer = reflection.aio.ReflectionServicer(("helloworld.Greeter",))
    handler: grpc.RpcMethodHandler[Any, Any] = grpc.stream_stream_rpc_method_handler(
        servicer.ServerReflectionInfo,
        request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    return grpc.method_handlers_generic_handler(
        "grpc.reflection.v1.ServerReflection", {"ServerReflectionInfo": handler}
    )
