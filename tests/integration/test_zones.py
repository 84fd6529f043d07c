"""Zones on a real channel: the own zone first, others when it has nobody well, back when it has."""

from __future__ import annotations

import threading
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import grpc
import pytest

import lb_client
from lb_client import RingHash, RoundRobin, StaticWeights
from resolver.model import Endpoint
from resolver.testing import ManualRegistry
from tests.support.backend import METHOD, Backend, assert_round_robin, awho, who
from tests.support.eventually import aeventually, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lb_client.policy import Policy

ZONES = {"a0": "a", "a1": "a", "b0": "b", "b1": "b", "c0": "c"}


@pytest.fixture
def backends() -> Iterator[dict[str, Backend]]:
    with ExitStack() as stack:
        yield {name: stack.enter_context(Backend(name)) for name in ZONES}


def endpoint(backend: Backend) -> Endpoint:
    return replace(Endpoint.at(backend.address), zone=ZONES[backend.name])


@pytest.fixture
def registry(backends: dict[str, Backend]) -> Iterator[ManualRegistry]:
    with ManualRegistry(map(endpoint, backends.values())) as registry:
        yield registry


def in_turn(channel: grpc.Channel, *names: str) -> None:
    eventually(lambda: assert_round_robin(who(channel, 3 * len(names)), names))


@contextmanager
def calls_all_the_time(channel: grpc.Channel) -> Iterator[list[str]]:
    """Three callers; who answered. Raises what failed."""
    answers: list[str] = []
    failures: list[grpc.RpcError] = []
    over = threading.Event()

    def run() -> None:
        call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(METHOD)
        while not over.is_set():
            try:
                answers.append(call(b"", timeout=5).decode())
            except grpc.RpcError as error:
                failures.append(error)

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        yield answers
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert not failures, failures[0]


def test_the_own_zone_alone_gets_calls_and_connections(registry: ManualRegistry, backends: dict[str, Backend]) -> None:
    with lb_client.insecure_channel(registry.target, zone="a") as channel:
        in_turn(channel, "a0", "a1")
        assert set(who(channel, 50)) == {"a0", "a1"}
    assert not backends["b0"].peers


def test_a_zone_with_nobody_well_fails_over_and_returns_and_no_call_is_lost(
    registry: ManualRegistry, backends: dict[str, Backend]
) -> None:
    with lb_client.insecure_channel(registry.target, zone="a") as channel:
        in_turn(channel, "a0", "a1")
        with calls_all_the_time(channel):
            backends["a0"].set_serving(False)
            eventually(lambda: assert_only(channel, "a1"))
            backends["a1"].set_serving(False)
            eventually(lambda: assert_only(channel, "b0", "b1", "c0"))
            backends["a1"].set_serving(True)
            eventually(lambda: assert_only(channel, "a1"))
            backends["a0"].set_serving(True)
            eventually(lambda: assert_only(channel, "a0", "a1"))
        in_turn(channel, "a0", "a1")


def assert_only(channel: grpc.Channel, *names: str) -> None:
    assert set(who(channel, 6 * len(names))) == set(names)


def test_all_other_zones_are_one_round_when_the_own_is_gone(
    registry: ManualRegistry, backends: dict[str, Backend]
) -> None:
    with lb_client.insecure_channel(registry.target, zone="a") as channel:
        in_turn(channel, "a0", "a1")
        registry.remove(backends["a0"].address, backends["a1"].address)
        in_turn(channel, "b0", "b1", "c0")
        with calls_all_the_time(channel):
            registry.add(endpoint(backends["a0"]))
            eventually(lambda: assert_only(channel, "a0"))


def test_a_zone_that_cannot_be_connected_fails_over_though_the_registry_knows_nothing(
    registry: ManualRegistry, backends: dict[str, Backend]
) -> None:
    with lb_client.insecure_channel(registry.target, zone="a", health_check=False) as channel:
        in_turn(channel, "a0", "a1")
        for name in ("a0", "a1"):
            backends[name].stop()
        eventually(lambda: assert_only(channel, "b0", "b1", "c0"))


def test_a_zone_that_nobody_is_in_prefers_nobody(registry: ManualRegistry) -> None:
    with lb_client.insecure_channel(registry.target, zone="elsewhere") as channel:
        in_turn(channel, *ZONES)


def test_channels_of_several_zones_and_of_none_live_side_by_side(registry: ManualRegistry) -> None:
    with ExitStack() as stack:
        of_a, of_b, of_all = (
            stack.enter_context(lb_client.insecure_channel(registry.target, zone=zone)) for zone in ("a", "b", "")
        )
        in_turn(of_a, "a0", "a1")
        in_turn(of_b, "b0", "b1")
        in_turn(of_all, *ZONES)


@pytest.mark.parametrize("policy", [StaticWeights(), RingHash("key")])
def test_other_policies_keep_to_the_zone_as_well(
    policy: Policy, registry: ManualRegistry, backends: dict[str, Backend]
) -> None:
    with lb_client.insecure_channel(registry.target, policy=policy, zone="b") as channel:
        eventually(lambda: assert_only(channel, "b0", "b1"))
        for name in ("b0", "b1"):
            backends[name].set_serving(False)
        eventually(lambda: assert_only(channel, "a0", "a1", "c0"))
        backends["b0"].set_serving(True)
        eventually(lambda: assert_only(channel, "b0"))


def test_the_policy_may_change_and_the_zone_stays(registry: ManualRegistry) -> None:
    with lb_client.insecure_channel(registry.target, policy=StaticWeights(), zone="b") as channel:
        eventually(lambda: assert_only(channel, "b0", "b1"))
        lb_client.switch_policy(channel, RoundRobin())
        in_turn(channel, "b0", "b1")


async def test_the_twin_for_asyncio_has_zones(registry: ManualRegistry) -> None:
    async with lb_client.aio.insecure_channel(registry.target, zone="a") as channel:

        async def check() -> None:
            assert_round_robin(await awho(channel, 6), ["a0", "a1"])

        await aeventually(check)
