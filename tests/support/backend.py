"""A real gRPC server for tests of the calling side: it tells who it is, counts its connections and can be made ill."""

from __future__ import annotations

from concurrent import futures
from typing import TYPE_CHECKING, Self

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import Iterable

METHOD = "/test.Backend/WhoAreYou"


class Backend:
    """Serves `WhoAreYou` (answers its id) on 127.0.0.1, and health unless told not to. A context manager.

    Attributes:
        peers: The addresses that data calls came from, one for each connection.
    """

    def __init__(
        self,
        name: str,
        *,
        port: int = 0,
        with_health: bool = True,
        serving: bool = True,
        credentials: grpc.ServerCredentials | None = None,
    ) -> None:
        self.name = name
        self.peers: set[str] = set()
        self.calls = 0
        self._pool = futures.ThreadPoolExecutor(16)
        self._server: grpc.Server | None = grpc.server(self._pool, options=(("grpc.so_reuseport", 0),))
        self._health = health.HealthServicer() if with_health else None
        handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(self._who)
        service, method = METHOD.lstrip("/").split("/")
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {method: handler}),))
        if self._health is not None:
            health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
            self.set_serving(serving)
        address = f"127.0.0.1:{port}"
        if credentials is None:
            self.port = self._server.add_insecure_port(address)
        else:
            self.port = self._server.add_secure_port(address, credentials)
        self._server.start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def set_serving(self, serving: bool) -> None:
        assert self._health is not None
        status = health_pb2.HealthCheckResponse
        self._health.set("", status.SERVING if serving else status.NOT_SERVING)

    def stop(self, grace_s: float = 0.0) -> None:
        if self._health is not None:
            self._health.enter_graceful_shutdown()
            self._health = None  # it keeps the context of a Watch that was cancelled while it began, and so core alive
        if self._server is not None:
            self._server.stop(grace_s).wait()
        # Core ends its threads with the last object of its kind; fixtures outlive tests, and the health servicer may
        # hold on to a watcher that was cancelled while it was told.
        self._server = self._health = None
        self._pool.shutdown()

    def _who(self, _request: bytes, context: grpc.ServicerContext) -> bytes:
        self.peers.add(context.peer())
        self.calls += 1
        return self.name.encode()


def who(channel: grpc.Channel, calls: int = 1, *, timeout_s: float = 5.0, wait_for_ready: bool = False) -> list[str]:
    """Who answered each of so many calls, one after the other."""
    call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(METHOD)
    return [call(b"", timeout=timeout_s, wait_for_ready=wait_for_ready).decode() for _ in range(calls)]


async def awho(channel: grpc.aio.Channel, calls: int = 1, *, timeout_s: float = 5.0) -> list[str]:
    """The same on an asyncio channel."""
    call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(METHOD)
    return [(await call(b"", timeout=timeout_s)).decode() for _ in range(calls)]


def assert_round_robin(answers: Iterable[str], names: Iterable[str]) -> None:
    """The answers are whole rounds over exactly these names, the same order in each."""
    answers, names = list(answers), sorted(names)
    rounds = [answers[i : i + len(names)] for i in range(0, len(answers), len(names))]
    assert sorted(rounds[0]) == names
    assert all(each == rounds[0] for each in rounds), rounds
