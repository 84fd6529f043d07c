"""Retry on a living channel: what core retries, and a budget that ends it while it is spent."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import grpc
import grpc.aio

import lb_client
from lb_client import Retry, RetryBudget, RoundRobin
from resolver.testing import ManualRegistry
from tests.support.eventually import aeventually
from tests.support.greeters import REQUEST, SAY_HELLO, greeters


async def calls(channel: grpc.aio.Channel, number: int, *, at_a_time: int = 8) -> int:
    """Send so many; returns how many failed."""
    call: Any = channel.unary_unary(SAY_HELLO)
    failed = 0

    async def some(count: int) -> None:
        nonlocal failed
        for _ in range(count):
            try:
                await call(REQUEST, timeout=5)
            except grpc.aio.AioRpcError:
                failed += 1

    await asyncio.gather(*(some(number // at_a_time) for _ in range(at_a_time)))
    return failed


def policy(**retry: Any) -> RoundRobin:
    return RoundRobin(retry=Retry(codes=("UNAVAILABLE",), base_interval_s=0.002, max_interval_s=0.004, **retry))


async def test_calls_of_a_replica_that_fails_are_answered_by_another() -> None:
    async with greeters(3) as servers:
        servers[0].fail_every, servers[0].fail_code = 1, grpc.StatusCode.UNAVAILABLE
        with ManualRegistry([server.address for server in servers]) as registry:
            async with lb_client.aio.insecure_channel(registry.target, policy=policy(attempts=3)) as channel:
                # One at a time: the next pick of round_robin is never the same, and with others in between it may be.
                assert await calls(channel, 240, at_a_time=1) == 0
        assert servers[0].calls > 40
        assert servers[1].calls + servers[2].calls == 240


async def test_other_codes_are_not_retried() -> None:
    async with greeters(3) as servers:
        servers[0].fail_every = 1  # with ABORTED
        with ManualRegistry([servers[0].address]) as registry:
            async with lb_client.aio.insecure_channel(registry.target, policy=policy(attempts=3)) as channel:
                assert await calls(channel, 16) == 16
        assert servers[0].calls == 16


async def test_a_budget_ends_the_retries_when_all_is_down_and_gives_them_back() -> None:
    async with greeters(3) as servers:
        budget = RetryBudget(percent=10, min_per_s=20, window_s=1)
        with ManualRegistry([server.address for server in servers]) as registry:
            async with lb_client.aio.insecure_channel(
                registry.target, policy=policy(attempts=4, budget=budget)
            ) as channel:
                assert await calls(channel, 80) == 0
                for server in servers:
                    server.fail_every, server.fail_code, server.calls = 1, grpc.StatusCode.UNAVAILABLE, 0
                began_s, sent = time.monotonic(), 0
                while time.monotonic() - began_s < 3:
                    assert await calls(channel, 80) == 80
                    sent += 80
                retries = sum(server.calls for server in servers) - sent
                # Without one: three for each call. A window may be overdrawn by what is sent between two looks.
                assert 0 < retries < 0.6 * sent
                for server in servers[1:]:
                    server.fail_every = 0

                async def all_are_answered() -> None:
                    assert await calls(channel, 16) == 0

                await aeventually(all_are_answered)
