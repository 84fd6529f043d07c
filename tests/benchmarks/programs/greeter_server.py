"""The bare server to compare `lbdemo up` with: gRPC's quick start, on a free port. Nothing of ours."""

from __future__ import annotations

from concurrent import futures

import grpc

from protos import helloworld_pb2, helloworld_pb2_grpc


class Greeter(helloworld_pb2_grpc.GreeterServicer):
    def SayHello(self, request, context):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201, ARG002, N802, RUF100 -- as there
        return helloworld_pb2.HelloReply(message="Hello, %s!" % request.name)  # noqa: UP031 -- as there


def serve() -> None:
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=10))
    helloworld_pb2_grpc.add_GreeterServicer_to_server(Greeter(), server)  # type: ignore[abstract]
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(f"Server started, listening on {port}", flush=True)
    server.wait_for_termination()


if __name__ == "__main__":
    serve()
