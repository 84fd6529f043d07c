"""A user's service for `--service`: a Greeter that greets by the name of the thread on which it runs."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from protos import helloworld_pb2, helloworld_pb2_grpc

if TYPE_CHECKING:
    import grpc.aio


class _Teller(helloworld_pb2_grpc.GreeterServicer):
    async def SayHello(self, request: Any, context: Any) -> Any:  # noqa: ARG002, N802 -- gRPC's signature
        return helloworld_pb2.HelloReply(message=threading.current_thread().name)


def add(server: grpc.aio.Server) -> None:
    """What `--service` names."""
    helloworld_pb2_grpc.add_GreeterServicer_to_server(_Teller(), server)  # type: ignore[abstract]  # the base answers UNIMPLEMENTED
