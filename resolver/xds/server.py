"""The ADS server: the only module that speaks xDS over gRPC. What to answer is decided by subscriptions.py."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio
from envoy.service.discovery.v3 import discovery_pb2

from resolver.xds.subscriptions import Request, Subscriptions

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from resolver.xds.subscriptions import ResourceSet, Response

_log = logging.getLogger(__name__)

_SERVICE = "envoy.service.discovery.v3.AggregatedDiscoveryService"


class AdsServer:
    """Answers `StreamAggregatedResources` for any number of clients from one set of resources.

    Args:
        truth: What the streams are told. After changing it, call `changed()`.
        stream_ended: Called on the loop whenever a stream has ended, whoever ended it.
    """

    def __init__(self, truth: ResourceSet, *, stream_ended: Callable[[], None] = lambda: None) -> None:
        self._truth = truth
        self._stream_ended = stream_ended
        self._streams: set[asyncio.Event] = set()
        self._closing = False

    @property
    def streams(self) -> int:
        """How many clients are connected now."""
        return len(self._streams)

    def add_to(self, server: grpc.aio.Server) -> None:
        """Serve on this server, beside whatever else it serves."""
        handler = grpc.stream_stream_rpc_method_handler(
            self._stream,
            request_deserializer=discovery_pb2.DiscoveryRequest.FromString,
            response_serializer=discovery_pb2.DiscoveryResponse.SerializeToString,
        )
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(_SERVICE, {"StreamAggregatedResources": handler}),)
        )

    def changed(self) -> None:
        """The truth has changed: every stream that it concerns is told. Several changes in one turn are told as one."""
        for wake in self._streams:
            wake.set()

    def close(self) -> None:
        """End every stream from our side; to be followed by a stop of the server that gives them a moment of grace.

        A stop without grace would cancel them, which grpc.aio and core both print.
        """
        self._closing = True
        self.changed()

    async def _stream(self, requests: AsyncIterator[Any], context: grpc.aio.ServicerContext[Any, Any]) -> None:
        wake = asyncio.Event()
        inbox: deque[Request] = deque()

        async def read() -> None:
            async for message in requests:
                inbox.append(_request(message))
                wake.set()
            wake.set()

        reader = asyncio.create_task(read(), name="ads reader")
        reader.add_done_callback(lambda task: wake.set() if task.cancelled() or task.exception() else None)
        self._streams.add(wake)
        subscriptions = Subscriptions()
        try:
            await wake.wait()
            # Nothing more once we close: core would print an error about each resource that is gone with us.
            while not (reader.done() or self._closing):
                wake.clear()
                # A slow reader holds us in write(): the changes that come meanwhile are then told as one.
                await self._answer(subscriptions, context)
                while inbox:
                    self._receive(subscriptions, inbox.popleft(), context)
                    await self._answer(subscriptions, context)
                await wake.wait()
        except grpc.aio.BaseError as error:
            _log.debug("%s left while it was written to: %s", context.peer(), error)
        finally:
            self._streams.discard(wake)
            reader.cancel()
            self._stream_ended()

    async def _answer(self, subscriptions: Subscriptions, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        for response in subscriptions.due(self._truth):
            await context.write(_message(response))

    @staticmethod
    def _receive(subscriptions: Subscriptions, request: Request, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        rejection = subscriptions.receive(request)
        if rejection is not None:
            _log.error(
                "xDS client %s rejected version %s of %s (it keeps what it had): %s",
                context.peer(),
                rejection.version,
                ", ".join(rejection.names),
                rejection.reason,
            )


def _request(message: Any) -> Request:
    return Request(
        type_url=message.type_url,
        names=tuple(message.resource_names),
        nonce=message.response_nonce,
        error=message.error_detail.message if message.HasField("error_detail") else None,
    )


def _message(response: Response) -> Any:
    return discovery_pb2.DiscoveryResponse(
        type_url=response.type_url,
        version_info=response.version,
        nonce=response.nonce,
        resources=[resource.body for resource in response.resources],
    )
