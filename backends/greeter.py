"""The Greeter of gRPC's quick start, asyncio. Which replica greeted goes in metadata, not in the greeting."""

from __future__ import annotations

from typing import TYPE_CHECKING

from protos import helloworld_pb2, helloworld_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import grpc.aio

    Context = grpc.aio.ServicerContext[helloworld_pb2.HelloRequest, helloworld_pb2.HelloReply]

_REPLIES = 3


class Greeter(helloworld_pb2_grpc.GreeterServicer):
    """Answers as gRPC's own examples do: `Hello, <name>!`."""

    async def SayHello(  # noqa: N802 -- the proto's name
        self,
        request: helloworld_pb2.HelloRequest,
        context: Context,  # noqa: ARG002 -- gRPC's signature
    ) -> helloworld_pb2.HelloReply:
        """One greeting."""
        return helloworld_pb2.HelloReply(message=f"Hello, {request.name}!")

    async def SayHelloStreamReply(  # noqa: N802 -- the proto's name
        self,
        request: helloworld_pb2.HelloRequest,
        context: Context,  # noqa: ARG002 -- gRPC's signature
    ) -> AsyncIterator[helloworld_pb2.HelloReply]:
        """Three numbered greetings."""
        for number in range(_REPLIES):
            yield helloworld_pb2.HelloReply(message=f"Hello number {number}, {request.name}!")

    async def SayHelloBidiStream(  # noqa: N802 -- the proto's name
        self,
        request_iterator: AsyncIterator[helloworld_pb2.HelloRequest],
        context: Context,  # noqa: ARG002 -- gRPC's signature
    ) -> AsyncIterator[helloworld_pb2.HelloReply]:
        """One greeting for each request, as it arrives."""
        async for request in request_iterator:
            yield helloworld_pb2.HelloReply(message=f"Hello, {request.name}!")


def add(server: grpc.aio.Server) -> None:
    """Register the Greeter: the function that a replica runs when no --service was given."""
    helloworld_pb2_grpc.add_GreeterServicer_to_server(Greeter(), server)
