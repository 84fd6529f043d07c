"""Static weights on a real channel: shares within chi-squared at 1e-6, 500 or more expected of each."""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

import lb_client
from lb_client import RoundRobin, StaticWeights
from lb_client.chance import is_possible
from resolver.model import Endpoint
from resolver.testing import ManualRegistry
from tests.support.backend import Backend, assert_round_robin, who
from tests.support.eventually import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import grpc

WEIGHTS = {"r1": 5, "r2": 3, "r3": 2}


@pytest.fixture
def backends() -> Iterator[dict[str, Backend]]:
    with ExitStack() as stack:
        yield {name: stack.enter_context(Backend(name)) for name in WEIGHTS}


def endpoints(backends: dict[str, Backend], *weights: int) -> list[Endpoint]:
    return [
        replace(Endpoint.at(backend.address), weight=weight)
        for backend, weight in zip(backends.values(), weights, strict=True)
    ]


def all_connected(channel: grpc.Channel) -> None:
    eventually(lambda: assert_all(channel))


def assert_all(channel: grpc.Channel) -> None:
    assert set(who(channel, 60)) == set(WEIGHTS)


def counts(channel: grpc.Channel, calls: int) -> list[int]:
    found = Counter(who(channel, calls))
    return [found[name] for name in WEIGHTS]


def shares(weights: Sequence[int]) -> list[float]:
    return [weight / sum(weights) for weight in weights]


def test_calls_go_by_the_weights_of_the_records(backends: dict[str, Backend]) -> None:
    with (
        ManualRegistry(endpoints(backends, 5, 3, 2)) as registry,
        lb_client.insecure_channel(registry.target, policy=StaticWeights()) as channel,
    ):
        all_connected(channel)
        found = counts(channel, 2500)
        assert is_possible(found, shares((5, 3, 2))), found
        assert not is_possible(found, shares((1, 1, 1))), found


def test_other_weights_hold_at_once_on_the_same_connections(backends: dict[str, Backend]) -> None:
    with (
        ManualRegistry(endpoints(backends, 5, 3, 2)) as registry,
        lb_client.insecure_channel(registry.target, policy=StaticWeights()) as channel,
    ):
        all_connected(channel)
        registry.set(endpoints(backends, 1, 1, 8))
        eventually(lambda: assert_mostly(channel, "r3"))
        found = counts(channel, 1000)
        assert is_possible(found, shares((1, 1, 8))), found
        assert [len(backend.peers) for backend in backends.values()] == [1, 1, 1]


def assert_mostly(channel: grpc.Channel, name: str) -> None:
    assert who(channel, 50).count(name) > 30


def test_who_cannot_be_reached_leaves_its_part_to_all_others_by_their_weights(backends: dict[str, Backend]) -> None:
    with (
        ManualRegistry(endpoints(backends, 3, 3, 6)) as registry,
        lb_client.insecure_channel(registry.target, policy=StaticWeights(), health_check=False) as channel,
    ):
        all_connected(channel)
        backends["r1"].stop()
        eventually(lambda: assert_gone(channel, "r1"))
        found = counts(channel, 1600)
        assert is_possible(found, [0, 1 / 3, 2 / 3]), found


def assert_gone(channel: grpc.Channel, name: str) -> None:
    assert name not in who(channel, 40)


def test_round_robin_is_exact_and_ignores_weights(backends: dict[str, Backend]) -> None:
    with (
        ManualRegistry(endpoints(backends, 5, 3, 2)) as registry,
        lb_client.insecure_channel(registry.target, policy=RoundRobin()) as channel,
    ):
        eventually(lambda: assert_round_robin(who(channel, 30), WEIGHTS))
