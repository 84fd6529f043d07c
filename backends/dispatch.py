"""Which handler answers a method: one table for a whole server, and the face on which servicers register.

One generic handler with a dictionary, and no registered methods: with those, grpc.aio keeps a pending task per method
and goes over all of them at each call. It also lets a service be built, and its modules imported, at its first call.
"""

from __future__ import annotations

import inspect
import logging
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio

from backends.faulty import Striker, faulty
from backends.identity import Counters, Identity, identified
from backends.journal import CALL_KEY, RUN_KEY, journaled
from backends.load import LoadMeter
from backends.sync_servicers import Threads, asynchronous
from protos.orca import LOAD_KEY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from backends.identity import Handler
    from backends.journal import Journal

    Handlers = Mapping[str, Handler]

_log = logging.getLogger(__name__)

_PREVIOUS_ATTEMPTS = "grpc-previous-rpc-attempts"
_MARKS = frozenset({_PREVIOUS_ATTEMPTS, RUN_KEY, LOAD_KEY})
_MAKE = {
    (False, False): ("unary_unary", grpc.unary_unary_rpc_method_handler),
    (False, True): ("unary_stream", grpc.unary_stream_rpc_method_handler),
    (True, False): ("stream_unary", grpc.stream_unary_rpc_method_handler),
    (True, True): ("stream_stream", grpc.stream_stream_rpc_method_handler),
}


class Dispatch(grpc.GenericRpcHandler):
    """The table: method path to handler, each wrapped with the replica's identity.

    Attributes:
        identity: On every answer; may be set until the server starts.
        counters: Calls to the replica's main services; the lab's own (health, reflection, …) count nowhere.
        threads: Where synchronous servicers run.
        load: What is reported with each answer of the replica's load.
        journal: Where calls are written down that ask for it; None for nowhere.
    """

    def __init__(self, identity: Identity, journal: Journal | None = None) -> None:
        self.identity = identity
        self.journal = journal
        self.counters = Counters()
        self.load = LoadMeter(self.counters)
        self.threads = Threads()
        self._uncounted = Counters()
        self._handlers: dict[str, Handler] = {}
        # What was wrapped: a retried call is answered by the same, wrapped anew with one more pair of metadata.
        self._wrap: dict[str, Callable[[Identity], Handler]] = {}
        self._generic: list[grpc.GenericRpcHandler] = []
        self._lazy: dict[str, Callable[[], None]] = {}
        self._striker: Striker | None = None

    @property
    def striker(self) -> Striker | None:
        """The fault at work on the calls that are counted; None for none."""
        return self._striker

    def strike_with(self, striker: Striker | None) -> None:
        """Have calls that begin from now on struck, or no more.

        The table is wrapped anew, so that without a fault no call pays for the possibility.
        """
        self._striker = striker
        for path, wrap in self._wrap.items():
            self._handlers[path] = wrap(self.identity)

    def add(self, service: str, handlers: Handlers, *, counted: bool = False, at_once: bool = True) -> None:
        """Serve the methods of `service`, full name; `at_once` as in `identity.identified`."""
        for method, handler in handlers.items():
            self._enter(f"/{service}/{method}", handler, self.counters if counted else self._uncounted, at_once=at_once)

    def add_lazy(
        self, service: str, build: Callable[[], Handlers], *, counted: bool = False, at_once: bool = True
    ) -> None:
        """Serve `service` with what `build` returns at its first call."""
        self._lazy[service] = lambda: self.add(service, build(), counted=counted, at_once=at_once)

    def add_generic(self, handler: grpc.GenericRpcHandler) -> None:
        """Ask `handler` for methods that the table does not know. Calls that it takes are counted."""
        self._generic.append(handler)

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Handler:
        """The handler for a call; never None, since "no such method" carries the identity too."""
        path = handler_call_details.method
        load = self.load.metadata()
        if load is not self.identity.load:
            self.identity.report(load)
        handler = self._handlers.get(path) or self._late(path, handler_call_details)
        for key, _ in handler_call_details.invocation_metadata:
            if key in _MARKS:
                return self._marked(handler, handler_call_details)
        return handler

    def _marked(self, handler: Handler, details: grpc.HandlerCallDetails) -> Handler:
        """The handler for a call that was tried before, is to be written down, or asks for the load."""
        marks = {str(key): str(value) for key, value in details.invocation_metadata}
        attempts, run = marks.get(_PREVIOUS_ATTEMPTS, ""), marks.get(RUN_KEY)
        identity = self.identity.after_attempts(attempts) if attempts else self.identity
        if LOAD_KEY in marks:
            identity = identity.with_load(self.load.load.as_text())
        if identity is not self.identity and details.method in self._wrap:
            handler = self._wrap[details.method](identity)
        if run is None or self.journal is None:
            return handler
        entry = self.journal.begin(run, marks.get(CALL_KEY, ""), attempts)
        return handler if entry is None else journaled(handler, entry)

    def _late(self, path: str, details: grpc.HandlerCallDetails) -> Handler:
        service = path[1:].rpartition("/")[0]
        if build := self._lazy.pop(service, None):
            build()
            if path in self._handlers:
                return self._handlers[path]
        for generic in self._generic:
            if (found := generic.service(details)) is not None:
                # A service's handlers are fixed; what any other generic handler says holds for this call.
                if isinstance(generic, grpc.ServiceRpcHandler):
                    return self._enter(path, found, self.counters, at_once=False)
                return self._wrapped(found, self.identity, self.counters, at_once=False)
        return self._unknown(path)

    def _enter(self, path: str, handler: Handler, counters: Counters, *, at_once: bool) -> Handler:
        def wrap(identity: Identity) -> Handler:
            return self._wrapped(handler, identity, counters, at_once=at_once)

        self._wrap[path] = wrap
        self._handlers[path] = wrapped = wrap(self.identity)
        return wrapped

    def _wrapped(self, handler: Handler, identity: Identity, counters: Counters, *, at_once: bool) -> Handler:
        kind, make = _MAKE[handler.request_streaming, handler.response_streaming]
        behavior = getattr(handler, kind)
        if not (inspect.iscoroutinefunction(behavior) or inspect.isasyncgenfunction(behavior)):
            behavior = asynchronous(
                behavior,
                self.threads,
                request_streaming=handler.request_streaming,
                response_streaming=handler.response_streaming,
            )
        if self._striker is not None and counters is self.counters:
            first = at_once and handler.response_streaming and not hasattr(behavior, "sends_initial_metadata")
            behavior = faulty(behavior, self._striker, initial_metadata=first)
            at_once = False
        wrapped: Any = identified(
            behavior,
            identity,
            counters,
            requests=handler.request_streaming,
            responses=handler.response_streaming,
            at_once=at_once,
        )
        return make(wrapped, handler.request_deserializer, handler.response_serializer)

    def _unknown(self, path: str) -> Handler:
        async def unknown(_request: Any, context: Any) -> None:
            await context.abort(grpc.StatusCode.UNIMPLEMENTED, f"no such method here: {path}")

        # As a stream of streams it reads no request, and its answer is the right one for every kind of call.
        return self._wrapped(
            grpc.stream_stream_rpc_method_handler(unknown), self.identity, self._uncounted, at_once=False
        )


class Collector:
    """Takes what a generated `add_…Servicer_to_server` registers.

    Attributes:
        handlers: By method.
    """

    def __init__(self) -> None:
        self.handlers: dict[str, Handler] = {}

    def add_generic_rpc_handlers(self, generic_rpc_handlers: Iterable[grpc.GenericRpcHandler]) -> None:
        """What such a function calls first; the same handlers come again."""

    def add_registered_method_handlers(self, _service: str, method_handlers: Handlers) -> None:
        """What it calls in addition."""
        self.handlers.update(method_handlers)


class Registrar(grpc.aio.Server):
    """The server that a user's function gets: it registers servicers on it, everything else is the replica's.

    Args:
        dispatch: Where it registers.
        reserved: Full names of services that the replica serves itself.
        at_once: As in `identity.identified`; False leaves initial metadata to the servicers.

    Attributes:
        services: Full names of what was registered, as far as handlers tell a name.
        empty: Whether nothing was registered.
    """

    def __init__(self, dispatch: Dispatch, reserved: Iterable[str], *, at_once: bool = False) -> None:
        self._dispatch = dispatch
        self._at_once = at_once
        self._reserved = frozenset(reserved)
        self.services: set[str] = set()
        self.empty = True

    def add_generic_rpc_handlers(self, generic_rpc_handlers: Iterable[grpc.GenericRpcHandler]) -> None:
        """What generated `add_…Servicer_to_server` functions call first."""
        for handler in generic_rpc_handlers:
            if not isinstance(handler, grpc.ServiceRpcHandler):
                self.empty = False
                self._dispatch.add_generic(handler)
            elif self._take(handler.service_name()):
                self._dispatch.add_generic(handler)

    def add_registered_method_handlers(self, service_name: str, method_handlers: Handlers) -> None:
        """What newer generated functions call in addition; these come before generic handlers."""
        if self._take(service_name):
            self._dispatch.add(service_name, method_handlers, counted=True, at_once=self._at_once)

    def add_lazy(self, service: str, add: Callable[[Collector], None]) -> None:
        """Serve `service` with what `add` registers on the server it is given, at its first call."""

        def build() -> Handlers:
            collector = Collector()
            add(collector)
            return collector.handlers

        if self._take(service):
            self._dispatch.add_lazy(service, build, counted=True, at_once=self._at_once)

    def _take(self, service: str) -> bool:
        if service in self._reserved:
            _log.info("%s is served by the replica itself; the one registered is not used", service)
            return False
        self.services.add(service)
        self.empty = False
        return True

    def add_insecure_port(self, address: str) -> int:
        """Refused."""
        raise self._refusal(f"add_insecure_port({address!r})")

    def add_secure_port(self, address: str, server_credentials: grpc.ServerCredentials) -> int:  # noqa: ARG002 -- gRPC's signature
        """Refused."""
        raise self._refusal(f"add_secure_port({address!r})")

    async def start(self) -> None:
        """Refused."""
        raise self._refusal("start()")

    async def stop(self, grace: float | None) -> None:  # noqa: ARG002 -- gRPC's signature
        """Refused."""
        raise self._refusal("stop()")

    async def wait_for_termination(self, timeout: float | None = None) -> bool:  # noqa: ARG002, ASYNC109 -- gRPC's signature
        """Refused."""
        raise self._refusal("wait_for_termination()")

    @staticmethod
    def _refusal(call: str) -> RuntimeError:
        return RuntimeError(f"{call} is the replica's to do: only register servicers here")
