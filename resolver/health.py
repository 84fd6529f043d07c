"""The health monitor: one `grpc.health.v1` Watch stream for each endpoint, as an endless series of verdicts.

It follows gRPC's client-side health checking (https://github.com/grpc/grpc/blob/master/doc/health-checking.md):
SERVING is healthy, UNIMPLEMENTED is healthy (the server does not take part), a broken stream is not, and the back-off
begins again with the first message received. Core's own `healthCheckConfig` has no effect on an xDS channel.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2

from resolver.backoff import Backoff
from resolver.model import Endpoint, Health

if TYPE_CHECKING:
    from collections.abc import Sequence

_log = logging.getLogger(__name__)

# What checks one endpoint: yields a verdict whenever there is a new one, without end, until closed with `aclose()`.
HealthCheck = Callable[[Endpoint], AsyncGenerator[Health, None]]

_CONNECT_OPTIONS: tuple[tuple[str, Any], ...] = (
    ("grpc.enable_http_proxy", 0),  # an http_proxy variable would take even loopback addresses
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 1000),
    ("grpc.max_reconnect_backoff_ms", 1000),
)


def grpc_health_check(
    service: str = "",
    *,
    credentials: grpc.ChannelCredentials | None = None,
    options: Sequence[tuple[str, Any]] = (),
) -> HealthCheck:
    """Checks by `Health/Watch` for `service`; the empty name asks for the server as a whole.

    The check holds one connection of its own to the endpoint, with `credentials` where given.
    """

    def check(endpoint: Endpoint) -> AsyncGenerator[Health, None]:
        return _watch(endpoint, service, credentials, (*_CONNECT_OPTIONS, *options))

    return check


async def _watch(
    endpoint: Endpoint, service: str, credentials: grpc.ChannelCredentials | None, options: Sequence[tuple[str, Any]]
) -> AsyncGenerator[Health, None]:
    backoff = Backoff(first_s=0.05, cap_s=1.0)
    request = health_pb2.HealthCheckRequest(service=service)
    if credentials is None:
        channel = grpc.aio.insecure_channel(endpoint.address, options)
    else:
        channel = grpc.aio.secure_channel(endpoint.address, credentials, options)
    watch = channel.unary_stream(
        "/grpc.health.v1.Health/Watch",
        request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
        response_deserializer=health_pb2.HealthCheckResponse.FromString,
    )
    try:
        while True:
            call = watch(request)
            try:
                async for response in call:
                    backoff.reset()
                    yield Health.HEALTHY if response.status == _SERVING else Health.UNHEALTHY
                reason = "the server ended the stream"
            except grpc.aio.AioRpcError as error:
                if error.code() is grpc.StatusCode.UNIMPLEMENTED:
                    _log.debug("%s has no health service: taken for healthy", endpoint.address)
                    yield Health.HEALTHY
                    await channel.wait_for_state_change(grpc.ChannelConnectivity.READY)
                    continue
                reason = error.details() or error.code().name
            finally:
                call.cancel()
            _log.debug("health of %s: %s", endpoint.address, reason)
            yield Health.UNHEALTHY
            await asyncio.sleep(backoff.next_s())
    finally:
        await channel.close()


_SERVING = health_pb2.HealthCheckResponse.SERVING
