"""The Greeter of gRPC's quick start as it stands: no identity, health or reflection. Synchronous, in this process."""

from __future__ import annotations

from concurrent import futures
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import grpc

from protos import helloworld_pb2, helloworld_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import Iterator


class _Greeter(helloworld_pb2_grpc.GreeterServicer):
    def SayHello(  # noqa: N802 -- the service's own name
        self,
        request: helloworld_pb2.HelloRequest,
        context: Any,  # noqa: ARG002 -- gRPC's signature
    ) -> helloworld_pb2.HelloReply:
        return helloworld_pb2.HelloReply(message=f"Hello, {request.name}!")


@contextmanager
def plain_greeter() -> Iterator[str]:
    """A server on 127.0.0.1; its address."""
    pool = futures.ThreadPoolExecutor(4)
    server = grpc.server(pool, options=(("grpc.so_reuseport", 0),))
    helloworld_pb2_grpc.add_GreeterServicer_to_server(_Greeter(), server)  # type: ignore[abstract]  # the base answers UNIMPLEMENTED
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait()
        pool.shutdown()
