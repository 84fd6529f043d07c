"""The bare server to compare a replica's streams with: a grpc.aio server and one echo of lines. Nothing else."""

from __future__ import annotations

import asyncio
import sys

import grpc
import grpc.aio

from protos import conversation_pb2_grpc


class Conversation(conversation_pb2_grpc.ConversationServicer):
    async def PingPong(self, request_iterator, context):  # type: ignore[no-untyped-def, override]  # noqa: ANN001, ANN201, ARG002, N802, RUF100 -- as in gRPC's examples
        while (line := await context.read()) is not grpc.aio.EOF:  # the faster of gRPC's two ways
            await context.write(line)


async def serve() -> None:
    server = grpc.aio.server(options=(("grpc.so_reuseport", 0),))
    conversation_pb2_grpc.add_ConversationServicer_to_server(Conversation(), server)  # type: ignore[abstract]
    print(server.add_insecure_port("127.0.0.1:0"), flush=True)
    await server.start()
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)  # until the benchmark has no more questions
    await server.stop(None)


if __name__ == "__main__":
    asyncio.run(serve())
