"""Another policy on a living channel: what is in force changes, connections and calls stay."""

from __future__ import annotations

import itertools
import threading
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import grpc
import pytest

import lb_client
from lb_client import PickFirst, RingHash, RoundRobin, WeightedRoundRobin
from resolver import SharedPolicyError
from resolver.testing import ManualRegistry
from tests.support.backend import METHOD, Backend, assert_round_robin, awho, who
from tests.support.eventually import aeventually, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lb_client.policy import Policy

NAMES = ["b0", "b1", "b2"]
OWN = [("grpc.use_local_subchannel_pool", 1)]


@pytest.fixture
def backends() -> Iterator[list[Backend]]:
    with ExitStack() as stack:
        yield [stack.enter_context(Backend(name)) for name in NAMES]


@pytest.fixture
def registry(backends: list[Backend]) -> Iterator[ManualRegistry]:
    with ManualRegistry([b.address for b in backends]) as registry:
        yield registry


def homes(channel: grpc.Channel) -> dict[str, str]:
    call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(METHOD)
    return {key: call(b"", timeout=5, metadata=(("key", key),)).decode() for key in map(str, range(40))}


def assert_in_force(channel: grpc.Channel, policy: Policy) -> None:
    match policy:
        case PickFirst():
            assert len(set(who(channel, 9))) == 1
        case RingHash():
            first = homes(channel)
            assert set(first.values()) == set(NAMES)
            assert homes(channel) == first
        case _:
            assert_round_robin(who(channel, 9), NAMES)


@contextmanager
def calls_all_the_time(channel: grpc.Channel) -> Iterator[list[grpc.RpcError]]:
    """Three callers; what failed."""
    failures: list[grpc.RpcError] = []
    over = threading.Event()

    def call() -> None:
        method: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(METHOD)
        for number in itertools.count():
            if over.is_set():
                return
            try:
                method(b"", timeout=10, metadata=(("key", str(number)),))
            except grpc.RpcError as error:
                failures.append(error)

    threads = [threading.Thread(target=call) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        yield failures
    finally:
        over.set()
        for thread in threads:
            thread.join()


def test_each_policy_takes_the_place_of_the_other(registry: ManualRegistry) -> None:
    with lb_client.insecure_channel(registry.target) as channel:
        eventually(lambda: assert_in_force(channel, RoundRobin()))
        for policy in (RingHash("key"), WeightedRoundRobin(), PickFirst(), RingHash("key"), RoundRobin()):
            lb_client.switch_policy(channel, policy)
            eventually(lambda policy=policy: assert_in_force(channel, policy))  # type: ignore[misc]


def test_connections_stay_where_every_endpoint_goes_on_to_get_calls(
    backends: list[Backend], registry: ManualRegistry
) -> None:
    detection = lb_client.OutlierDetection()
    with lb_client.insecure_channel(registry.target) as channel:
        eventually(lambda: assert_in_force(channel, RoundRobin()))
        for policy in (
            WeightedRoundRobin(),
            RoundRobin(outlier_detection=detection),
            WeightedRoundRobin(retry=lb_client.Retry(), outlier_detection=detection),
            RoundRobin(),
        ):
            lb_client.switch_policy(channel, policy)
            eventually(lambda policy=policy: assert_in_force(channel, policy))  # type: ignore[misc]
        assert [len(b.peers) for b in backends] == [1, 1, 1]
        # core keys connections by locality, so a ring has its own (docs/policies.md), though not yet with grpcio 1.80.
        lb_client.switch_policy(channel, RingHash("key"))
        eventually(lambda: assert_in_force(channel, RingHash("key")))
        on_the_ring = [len(b.peers) for b in backends]
        assert set(on_the_ring) <= {1, 2}
        lb_client.switch_policy(channel, RoundRobin())
        eventually(lambda: assert_in_force(channel, RoundRobin()))
        assert [len(b.peers) for b in backends] == on_the_ring, "the way back needs no new connection"


def test_switching_under_load_loses_no_call(registry: ManualRegistry) -> None:
    policies = (WeightedRoundRobin(), RingHash("key"), RoundRobin(retry=lb_client.Retry()), PickFirst(), RoundRobin())
    with lb_client.insecure_channel(registry.target) as channel, calls_all_the_time(channel) as failures:
        for policy in policies * 8:
            lb_client.switch_policy(channel, policy)
            who(channel, 5)
        eventually(lambda: _same(failures, []))
    assert failures == []


def test_a_ring_follows_the_registry_after_a_switch_too(backends: list[Backend], registry: ManualRegistry) -> None:
    with lb_client.insecure_channel(registry.target) as channel:
        eventually(lambda: assert_in_force(channel, RoundRobin()))
        lb_client.switch_policy(channel, RingHash("key"))
        eventually(lambda: assert_in_force(channel, RingHash("key")))
        registry.remove(backends[0].address)
        eventually(lambda: _same(set(homes(channel).values()), {"b1", "b2"}))
        lb_client.switch_policy(channel, RoundRobin())
        eventually(lambda: assert_round_robin(who(channel, 6), ["b1", "b2"]))


async def test_an_asyncio_channel_is_switched_by_the_same_function(registry: ManualRegistry) -> None:
    async def rounds() -> None:
        assert_round_robin(await awho(channel, 9), NAMES)

    async def one() -> None:
        assert len(set(await awho(channel, 9))) == 1

    async with lb_client.aio.insecure_channel(registry.target) as channel:
        await aeventually(rounds)
        lb_client.aio.switch_policy(channel, PickFirst())
        await aeventually(one)


def test_channels_that_share_a_policy_are_switched_together_or_not_at_all(registry: ManualRegistry) -> None:
    with (
        lb_client.insecure_channel(registry.target) as one,
        lb_client.insecure_channel(registry.target) as other,
        lb_client.insecure_channel(registry.target, options=OWN) as own,
    ):
        for channel in (one, other, own):
            eventually(lambda channel=channel: assert_in_force(channel, RoundRobin()))  # type: ignore[misc]
        with pytest.raises(SharedPolicyError, match="1 other channel of this target"):
            lb_client.switch_policy(one, PickFirst())
        lb_client.switch_policy(own, PickFirst())
        eventually(lambda: assert_in_force(own, PickFirst()))
        assert_in_force(one, RoundRobin())
        lb_client.switch_policy(one, PickFirst(), together=True)
        eventually(lambda: assert_in_force(other, PickFirst()))
        other.close()
        lb_client.switch_policy(one, RingHash("key"))
        eventually(lambda: assert_in_force(one, RingHash("key")))


def test_a_channel_opened_later_gets_the_policy_it_asks_for(registry: ManualRegistry) -> None:
    with lb_client.insecure_channel(registry.target) as first:
        lb_client.switch_policy(first, PickFirst())
        with lb_client.insecure_channel(registry.target) as later:
            eventually(lambda: assert_in_force(later, RoundRobin()))
            eventually(lambda: assert_in_force(first, PickFirst()))


def test_what_cannot_be_switched_is_refused(registry: ManualRegistry, backends: list[Backend]) -> None:
    with (
        lb_client.insecure_channel(registry.target) as channel,
        grpc.insecure_channel(backends[0].address) as stranger,
        pytest.raises(TypeError, match="as lb_client returned it"),
    ):
        lb_client.switch_policy(stranger, PickFirst())
    with pytest.raises(ValueError, match="the channel is closed"):
        lb_client.switch_policy(channel, PickFirst())
    with (
        lb_client.insecure_channel(registry.target) as channel,
        pytest.raises(TypeError, match="policy must be one of"),
    ):
        lb_client.switch_policy(channel, "pick_first")  # type: ignore[arg-type]


def _same(value: object, expected: object) -> None:
    assert value == expected
