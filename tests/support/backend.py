"""A real gRPC server for tests of the calling side: it tells who it is, counts its connections and can be made ill."""

from __future__ import annotations

import threading
from concurrent import futures
from typing import TYPE_CHECKING, Any, Self

import grpc
from grpc_health.v1 import health_pb2

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

METHOD = "/test.Backend/WhoAreYou"
_Status = health_pb2.HealthCheckResponse


class Backend:
    """Serves `WhoAreYou` (answers its id) on 127.0.0.1, and health unless told not to. A context manager.

    The health servicer is our own: grpcio-health-checking's can lock up when a Watch is cancelled as it begins.

    Attributes:
        peers: The addresses that data calls came from, one for each connection.
        calls: How many data calls came.
        garbage: Whether health is answered with bytes that are no message.
        gate: Data calls wait until it is set, as it is at first.
    """

    def __init__(
        self,
        name: str,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        with_health: bool = True,
        serving: bool = True,
        services: Sequence[str] = (),
        credentials: grpc.ServerCredentials | None = None,
        options: Sequence[tuple[str, Any]] = (),
    ) -> None:
        self.name = name
        self.peers: set[str] = set()
        self.calls = 0
        self.garbage = False
        self.gate = threading.Event()
        self.gate.set()
        self._host = f"[{host}]" if ":" in host else host
        self._serving = dict.fromkeys(("", *services), serving)
        self._news = threading.Condition()
        self._stopped = False
        self._pool = futures.ThreadPoolExecutor(16)
        self._server: grpc.Server | None = grpc.server(self._pool, options=(("grpc.so_reuseport", 0), *options))
        service, method = METHOD.lstrip("/").split("/")
        who_are_you: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(self._who)
        handlers = [grpc.method_handlers_generic_handler(service, {method: who_are_you})]
        if with_health:
            watch: grpc.RpcMethodHandler[Any, bytes] = grpc.unary_stream_rpc_method_handler(
                self._watch, request_deserializer=health_pb2.HealthCheckRequest.FromString
            )
            handlers.append(grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Watch": watch}))
        self._server.add_generic_rpc_handlers(tuple(handlers))
        address = f"{self._host}:{port}"
        if credentials is None:
            self.port = self._server.add_insecure_port(address)
        else:
            self.port = self._server.add_secure_port(address, credentials)
        self._server.start()

    @property
    def address(self) -> str:
        return f"{self._host}:{self.port}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def set_serving(self, serving: bool, service: str = "") -> None:
        with self._news:
            self._serving[service] = serving
            self._news.notify_all()

    def stop(self, grace_s: float = 0.0) -> None:
        self.gate.set()
        with self._news:
            self._stopped = True
            self._news.notify_all()
        if self._server is not None:
            self._server.stop(grace_s).wait()
        self._server = None  # core ends its threads with the last object of its kind, and fixtures outlive tests
        self._pool.shutdown()

    def _who(self, _request: bytes, context: grpc.ServicerContext) -> bytes:
        self.peers.add(context.peer())
        self.calls += 1
        self.gate.wait()
        return self.name.encode()

    def _watch(self, request: Any, context: grpc.ServicerContext) -> Iterator[bytes]:
        def wake() -> None:
            with self._news:
                self._news.notify_all()

        context.add_callback(wake)
        told: object = None
        while context.is_active() and not self._stopped:
            with self._news:
                serving = self._serving.get(request.service)
            status = {None: _Status.SERVICE_UNKNOWN, True: _Status.SERVING, False: _Status.NOT_SERVING}[serving]
            if (status, self.garbage) != told:
                told = (status, self.garbage)
                yield b"\xff" if self.garbage else _Status(status=status).SerializeToString()
                continue
            with self._news:
                if self._serving.get(request.service) is serving and context.is_active() and not self._stopped:
                    self._news.wait(1.0)


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
