"""The health monitor: one `grpc.health.v1` Watch stream for each endpoint, as an endless series of verdicts.

Whether a server that said it was well still answers at all is asked by probes.py.

It follows gRPC's client-side health checking (https://github.com/grpc/grpc/blob/master/doc/health-checking.md):
SERVING is healthy, UNIMPLEMENTED is healthy (the server does not take part), a stream that cannot be had is not, and
the back-off begins again with the first message received. Core's own `healthCheckConfig` has no effect on xDS.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2

from resolver.backoff import Backoff
from resolver.model import Endpoint, Health, Verdict
from resolver.probes import Pace, attended, health_probe

if TYPE_CHECKING:
    from collections.abc import Sequence

_CONNECT_OPTIONS: tuple[tuple[str, Any], ...] = (
    ("grpc.enable_http_proxy", 0),  # an http_proxy variable would take even loopback addresses
    # Core's own back-off begins with a second and grows to two minutes. With this one, which core varies by a fifth, a
    # server that is back is known to be well within 0.6 s.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1000),
    ("grpc.max_reconnect_backoff_ms", 500),
)

# A stream that was answered and ended may be no more than that: a server that limits the age of connections. It is
# opened again without a verdict, and the server has this long to answer on it.
_SECOND_CHANCE_S = 0.2
# A stream that lasted so long is no sign of a server that ends every one at once.
_LASTED_S = 1.0
_LOOK_S = 0.1


# What checks one endpoint: yields a verdict whenever there is a new one, without end, until closed with `aclose()`.
HealthCheck = Callable[[Endpoint], AsyncGenerator[Verdict, None]]


def grpc_health_check(
    service: str = "",
    *,
    credentials: grpc.ChannelCredentials | None = None,
    options: Sequence[tuple[str, Any]] = (),
    pace: Pace | None = None,
) -> HealthCheck:
    """Checks by `Health/Watch` for `service`; the empty name asks for the server as a whole.

    The check holds one connection of its own to the endpoint, with `credentials` where given. On it a server that is
    well is asked at `pace`, of its own or shared with others, whether it still answers.
    """
    pace = pace or Pace()

    def check(endpoint: Endpoint) -> AsyncGenerator[Verdict, None]:
        return _check(endpoint.address, service, credentials, (*_CONNECT_OPTIONS, *options), pace)

    return check


async def _check(
    address: str,
    service: str,
    credentials: grpc.ChannelCredentials | None,
    options: Sequence[tuple[str, Any]],
    pace: Pace,
) -> AsyncGenerator[Verdict, None]:
    if credentials is None:
        channel = grpc.aio.insecure_channel(address, options)
    else:
        channel = grpc.aio.secure_channel(address, credentials, options)
    try:
        async with aclosing(attended(_verdicts(channel, service), health_probe(channel, service), pace)) as verdicts:
            async for verdict in verdicts:
                yield verdict
    finally:
        await channel.close()


async def _verdicts(channel: grpc.aio.Channel, service: str) -> AsyncGenerator[Verdict, None]:
    backoff = Backoff(first_s=0.05, cap_s=1.0)
    patience_s: float | None = None
    unreachable = False
    while True:
        began_s = time.monotonic()
        answered = False
        try:
            # Who cannot be reached is waited for: the stream begins the moment core is connected.
            statuses = _statuses(channel, service, patience_s, wait_for_ready=unreachable)
            async with aclosing(statuses):
                async for status in statuses:
                    answered, unreachable = True, False
                    backoff.reset()
                    yield _verdict(status, service)
            reason = "it ended the health stream without an answer"
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.UNIMPLEMENTED:
                answered = True
                yield Verdict(Health.HEALTHY)
                await _while_connected(channel)
            unreachable = error.code() is grpc.StatusCode.UNAVAILABLE and not answered
            reason = f"{error.code().name}: {' '.join((error.details() or 'no details').split())}"
        except TimeoutError:
            reason = "its health stream ended, and it does not answer a new one"
        except ValueError as error:
            reason = str(error)
        if not answered:
            yield Verdict(Health.UNHEALTHY, reason)
        patience_s = _SECOND_CHANCE_S if answered else None
        if not answered or time.monotonic() - began_s < _LASTED_S:
            await asyncio.sleep(backoff.next_s())


async def _while_connected(channel: grpc.aio.Channel) -> None:
    # Not wait_for_state_change: a channel that is closed leaves that pending in core, and it ends in whichever loop is
    # alive by then.
    while channel.get_state() is grpc.ChannelConnectivity.READY:  # noqa: ASYNC110 -- for that reason
        await asyncio.sleep(_LOOK_S)


async def _statuses(
    channel: grpc.aio.Channel, service: str, patience_s: float | None, *, wait_for_ready: bool
) -> AsyncGenerator[int, None]:
    """The statuses of one Watch, until it ends.

    Raises:
        AioRpcError: It failed.
        TimeoutError: The first one did not come within `patience_s` seconds; None waits for ever.
        ValueError: What came is no HealthCheckResponse.
    """
    watch: grpc.aio.UnaryStreamMultiCallable[Any, Any] = channel.unary_stream(
        "/grpc.health.v1.Health/Watch",
        request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
        response_deserializer=health_pb2.HealthCheckResponse.FromString,
    )
    call = watch(health_pb2.HealthCheckRequest(service=service), wait_for_ready=wait_for_ready)
    try:
        while True:
            async with asyncio.timeout(patience_s):
                response: Any = await call.read()
            if response is grpc.aio.EOF:
                return
            if response is None:  # grpc.aio's way to say that it could not be decoded
                raise ValueError("its answer is no HealthCheckResponse")
            yield response.status
            patience_s = None
    finally:
        call.cancel()


def _verdict(status: int, service: str) -> Verdict:
    if status == health_pb2.HealthCheckResponse.SERVING:
        return Verdict(Health.HEALTHY)
    if status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN:
        return Verdict(Health.UNHEALTHY, f"it has no service {service!r}")
    return Verdict(Health.UNHEALTHY, "it says NOT_SERVING")
