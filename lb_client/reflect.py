"""Any unary method by server reflection: find it, encode JSON for it, decode its answer. Sends nothing but questions.

    ReflectionError
    ├── NoReflectionError     the server cannot be asked: have it serve reflection
    ├── UnknownMethodError    there is no such service or method: the message lists what there is
    ├── NotUnaryError         the method streams: choose another
    └── BadRequestError       the JSON does not fit the request: the message says where

Protocol: https://github.com/grpc/grpc/blob/master/doc/server-reflection.md, in v1 and, where a server has only that,
v1alpha; their messages are the same on the wire.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory
from grpc_reflection.v1alpha import reflection_pb2

from lb_client.phrases import listed

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from google.protobuf.descriptor import Descriptor, MethodDescriptor, ServiceDescriptor

_PATHS = (
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
)
# Every server that can be asked has some of these: named last, and only when there is nothing else.
_INFRASTRUCTURE = ("grpc.", "lbdemo.v1.")

_LOST = (grpc.StatusCode.INTERNAL, "Internal error from Core")
"""What grpc.aio may make of a status that comes while a question is being sent, "no such method" above all:
https://github.com/grpc/grpc/issues/36066."""
_MORE_TRIES = 5


class ReflectionError(Exception):
    """Root of what this module raises; `str()` is one line."""


class NoReflectionError(ReflectionError):
    """The server does not answer reflection."""


class UnknownMethodError(ReflectionError):
    """There is no such service or method."""


class NotUnaryError(ReflectionError):
    """The method streams its requests, its answers or both."""


class BadRequestError(ReflectionError):
    """The JSON is none, or does not fit the request's type."""


@dataclass(frozen=True, slots=True)
class UnaryMethod:
    """A method that can be called.

    Attributes:
        path: `/package.Service/Method`.
        descriptor: Its description, from a pool of its own.
    """

    path: str
    descriptor: MethodDescriptor

    def encode(self, text: str) -> bytes:
        """A request from JSON (https://protobuf.dev/programming-guides/json/).

        Raises:
            BadRequestError: It is no JSON object, or does not fit; the message says where.
        """
        kind = self.descriptor.input_type
        try:
            value = json.loads(text)
        except json.JSONDecodeError as error:
            where = f"line {error.lineno}, column {error.colno}"
            raise BadRequestError(f"the data is no JSON: {error.msg}, at {where}") from None
        except RecursionError:
            raise BadRequestError("the data is nested too deeply") from None
        if not isinstance(value, dict) and not kind.full_name.startswith("google.protobuf."):
            raise BadRequestError(
                f"the data must be a JSON object with the fields of {kind.full_name}, {_fields(kind)}"
            )
        message = message_factory.GetMessageClass(kind)()
        try:
            json_format.Parse(text, message, descriptor_pool=kind.file.pool)
        except (json_format.ParseError, RecursionError) as error:
            # The library's own list of fields is cut off: ours names them as JSON does.
            what = " ".join(str(error).split("Available Fields")[0].split()).rstrip(". ")
            raise BadRequestError(f"the data does not fit {kind.full_name}, {_fields(kind)}: {what}") from None
        return message.SerializeToString()

    def decode(self, answer: bytes) -> Any:
        """An answer as JSON's values."""
        message = message_factory.GetMessageClass(self.descriptor.output_type).FromString(answer)
        return json_format.MessageToDict(message, descriptor_pool=self.descriptor.output_type.file.pool)


class Reflection:
    """Asks the server that a channel reaches. The channel stays the caller's.

    Args:
        channel: Any channel; each question goes to whichever server its policy picks.
        timeout_s: For each question.
        metadata: Sent with each.
    """

    def __init__(
        self, channel: grpc.aio.Channel, *, timeout_s: float = 5.0, metadata: Sequence[tuple[str, str]] = ()
    ) -> None:
        self._channel = channel
        self._timeout_s = timeout_s
        self._metadata = tuple(metadata)
        self._path: str | None = None
        self._pool = descriptor_pool.DescriptorPool()
        self._files: set[str] = set()

    async def services(self) -> tuple[str, ...]:
        """Full names of all services, sorted.

        Raises:
            NoReflectionError: The server does not answer reflection, or does not answer at all.
        """
        (answer,) = await self._ask([reflection_pb2.ServerReflectionRequest(list_services="*")])
        return tuple(sorted(service.name for service in answer.list_services_response.service))

    async def methods(self, services: Iterable[str] | None = None) -> tuple[str, ...]:
        """`package.Service/Method` of every unary method; by default of all services that are no infrastructure.

        Raises:
            NoReflectionError: As for `services`.
        """
        names = tuple(services) if services is not None else _interesting(await self.services())
        found = []
        for name in names:
            service = await self._service(name)
            if service is not None:
                found += [f"{name}/{m.name}" for m in service.methods if not _streams(m)]
        return tuple(found)

    async def method(self, name: str) -> UnaryMethod:
        """The method `package.Service/Method`; `package.Service.Method` and a leading slash will do.

        Raises:
            NoReflectionError: As for `services`.
            UnknownMethodError: There is no such service or method.
            NotUnaryError: It streams.
        """
        service_name, slash, method_name = name.strip("/").partition("/")
        if not slash:
            service_name, _, method_name = service_name.rpartition(".")
        service = await self._service(service_name) if service_name else None
        if service is None:
            whole = await self._service(name) if not slash else None
            if whole is not None:
                raise UnknownMethodError(f"{name} is a service: name one of its methods, {_one_of(whole)}")
            there = listed(_interesting(await self.services())) or "none"
            raise UnknownMethodError(f"there is no service {service_name or name!r} here; the services are: {there}")
        descriptor = service.methods_by_name.get(method_name)
        if descriptor is None:
            raise UnknownMethodError(f"{service_name} has no method {method_name!r}; it has {_one_of(service)}")
        if _streams(descriptor):
            raise NotUnaryError(
                f"{service_name}/{method_name} {_streams(descriptor)}: only unary methods can be called"
            )
        return UnaryMethod(f"/{service_name}/{method_name}", descriptor)

    async def _service(self, name: str) -> ServiceDescriptor | None:
        (answer,) = await self._ask([reflection_pb2.ServerReflectionRequest(file_containing_symbol=name)])
        if answer.HasField("error_response"):
            return None
        await self._add(answer.file_descriptor_response.file_descriptor_proto)
        try:
            return self._pool.FindServiceByName(name)
        except KeyError:
            return None  # the symbol is there and is no service

    async def _add(self, serialized: Iterable[bytes]) -> None:
        """Put files into the pool, after those that they import."""
        known = {proto.name: proto for proto in map(descriptor_pb2.FileDescriptorProto.FromString, serialized)}
        while missing := {d for proto in known.values() for d in proto.dependency} - known.keys() - self._files:
            questions = [reflection_pb2.ServerReflectionRequest(file_by_filename=name) for name in sorted(missing)]
            for name, answer in zip(sorted(missing), await self._ask(questions), strict=True):
                for raw in answer.file_descriptor_response.file_descriptor_proto:
                    proto = descriptor_pb2.FileDescriptorProto.FromString(raw)
                    known.setdefault(proto.name, proto)
                if name not in known:
                    known[name] = _well_known(name)
        while ready := [p for p in known.values() if set(p.dependency) <= self._files]:
            for proto in ready:
                del known[proto.name]
                if proto.name not in self._files:
                    self._files.add(proto.name)
                    self._pool.Add(proto)

    async def _ask(
        self, questions: Sequence[reflection_pb2.ServerReflectionRequest]
    ) -> list[reflection_pb2.ServerReflectionResponse]:
        paths = _PATHS if self._path is None else (self._path,)
        for path in paths:
            try:
                answers = await self._converse_at_last(path, questions)
            except grpc.aio.AioRpcError as error:
                if error.code() is grpc.StatusCode.UNIMPLEMENTED:
                    continue
                raise NoReflectionError(
                    f"the server does not answer reflection: {error.code().name}: {error.details()}"
                ) from None
            self._path = path
            return answers
        raise NoReflectionError(
            "the server does not offer reflection, so its methods cannot be looked up: have it serve reflection "
            "(Python: grpcio-reflection's enable_server_reflection)"
        )

    async def _converse_at_last(
        self, path: str, questions: Sequence[reflection_pb2.ServerReflectionRequest]
    ) -> list[reflection_pb2.ServerReflectionResponse]:
        """The same until the server's status is known, which at times is lost."""
        for _ in range(_MORE_TRIES):
            try:
                return await self._converse(path, questions)
            except grpc.aio.AioRpcError as error:
                if (error.code(), error.details()) != _LOST:
                    raise
        return await self._converse(path, questions)

    async def _converse(
        self, path: str, questions: Sequence[reflection_pb2.ServerReflectionRequest]
    ) -> list[reflection_pb2.ServerReflectionResponse]:
        invoke: Any = self._channel.stream_stream(
            path,
            request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
            response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
        )
        call = invoke(iter(questions), timeout=self._timeout_s, metadata=self._metadata)
        answers = [answer async for answer in call]
        if len(answers) != len(questions):
            raise NoReflectionError("the server answers reflection with too few messages")
        return answers


def _well_known(name: str) -> descriptor_pb2.FileDescriptorProto:
    """A file that the server does not describe, from this process's own: google/protobuf/timestamp.proto and such."""
    proto = descriptor_pb2.FileDescriptorProto()
    try:
        descriptor_pool.Default().FindFileByName(name).CopyToProto(proto)
    except KeyError:
        raise NoReflectionError(f"the server does not describe {name}, which its methods need") from None
    return proto


def _interesting(services: Iterable[str]) -> tuple[str, ...]:
    names = tuple(services)
    return tuple(name for name in names if not name.startswith(_INFRASTRUCTURE)) or names


def _streams(method: MethodDescriptor) -> str:
    """How it streams, as a verb; "" for a unary method."""
    kinds = {
        (True, False): "streams its requests",
        (False, True): "streams its answers",
        (True, True): "streams requests and answers",
    }
    return kinds.get((method.client_streaming, method.server_streaming), "")


def _fields(kind: Descriptor) -> str:
    return f"which has {listed(field.json_name for field in kind.fields)}" if kind.fields else "which has no fields"


def _one_of(service: ServiceDescriptor) -> str:
    return (
        listed(f"{m.name}{' (streaming)' if _streams(m) else ''}" for m in service.methods)
        if service.methods
        else "no methods"
    )
