"""A deadline for each attempt: a call that a frozen server has is answered by another one, within its own deadline."""

from __future__ import annotations

import time

import grpc
import grpc.aio
import pytest

from lb_client.attempts import Attempts
from tests.support.backend import METHOD, Backend


async def test_call_that_is_not_answered_in_time_goes_to_the_next() -> None:
    with Backend("stuck") as stuck, Backend("well") as well:
        stuck.gate.clear()
        config = '{"loadBalancingConfig": [{"round_robin": {}}]}'
        addresses = f"ipv4:{stuck.address},{well.address}"
        async with grpc.aio.insecure_channel(addresses, [("grpc.service_config", config)]) as channel:
            who = Attempts(channel.unary_unary(METHOD), attempt_s=0.3)
            calls = [who(b"", timeout=5.0) for _ in range(4)]
            assert [await call for call in calls] == [b"well"] * 4
            assert [await call for call in calls] == [b"well"] * 4  # nothing is sent again
            assert 2 <= max(call.attempts for call in calls) <= 3
            assert stuck.calls + well.calls == sum(call.attempts for call in calls)


async def test_the_calls_own_deadline_holds_for_all_attempts_and_other_failures_end_it() -> None:
    with Backend("stuck") as stuck:
        stuck.gate.clear()
        async with grpc.aio.insecure_channel(stuck.address) as channel:
            call = Attempts(channel.unary_unary(METHOD), attempt_s=0.1)(b"", timeout=1.0)
            began_s = time.monotonic()
            with pytest.raises(grpc.aio.AioRpcError) as error:
                await call
            assert error.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
            assert time.monotonic() - began_s < 3.0
            assert 2 <= call.attempts <= 11
            unknown = Attempts(channel.unary_unary("/test.Backend/Unknown"), attempt_s=0.1)(b"", timeout=5.0)
            with pytest.raises(grpc.aio.AioRpcError) as error:
                await unknown
            assert (error.value.code(), unknown.attempts) == (grpc.StatusCode.UNIMPLEMENTED, 1)
    with pytest.raises(ValueError, match="more than 0"):
        Attempts(None, attempt_s=0)


async def test_servers_own_deadline_exceeded_is_an_answer_and_is_not_asked_for_again() -> None:
    came = 0

    async def gives_up(_request: object, context: grpc.aio.ServicerContext[object, object]) -> None:
        nonlocal came
        came += 1
        await context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, "whoever it asked took too long")

    server = grpc.aio.server()
    handlers: dict[str, grpc.RpcMethodHandler[object, object]] = {
        "WhoAreYou": grpc.unary_unary_rpc_method_handler(gives_up)
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Backend", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            call = Attempts(channel.unary_unary(METHOD), attempt_s=1.0)(b"", timeout=2.0)
            with pytest.raises(grpc.aio.AioRpcError, match="took too long"):
                await call
            assert (call.attempts, came) == (1, 1)
    finally:
        await server.stop(None)
