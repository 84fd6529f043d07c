"""RingHash on a living channel: equal values meet, and no change of the endpoints costs a call or the process."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import threading
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from grpc_health.v1 import health_pb2

import lb_client
from resolver.testing import ManualRegistry
from tests.support.backend import METHOD, Backend, assert_round_robin, who
from tests.support.eventually import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

KEYS = [f"key {number}" for number in range(300)]
_Status = health_pb2.HealthCheckResponse


@pytest.fixture
def backends() -> Iterator[list[Backend]]:
    with ExitStack() as stack:
        yield [stack.enter_context(Backend(f"b{n}")) for n in range(4)]


@contextmanager
def hashing(registry: ManualRegistry, **arguments: Any) -> Iterator[grpc.Channel]:
    with lb_client.insecure_channel(registry.target, policy=lb_client.RingHash("key"), **arguments) as channel:
        yield channel


def homes(channel: grpc.Channel, keys: Sequence[str] = KEYS) -> dict[str, str]:
    """Who answers for each key."""
    call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(METHOD)
    return {key: call(b"", timeout=5, metadata=(("key", key),)).decode() for key in keys}


def assert_used(channel: grpc.Channel, names: set[str]) -> None:
    assert set(homes(channel, KEYS[:80]).values()) == names


def watch(channel: grpc.Channel, key: str) -> Any:
    """A stream that lasts: the health of whichever backend has the key."""
    method: grpc.UnaryStreamMultiCallable[Any, Any] = channel.unary_stream(
        "/grpc.health.v1.Health/Watch",
        request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
        response_deserializer=_Status.FromString,
    )
    return method(health_pb2.HealthCheckRequest(), metadata=(("key", key),))


def test_equal_values_meet_on_one_endpoint_on_every_channel(backends: list[Backend]) -> None:
    with (
        ManualRegistry([b.address for b in backends]) as registry,
        hashing(registry) as one,
        hashing(registry) as other,
    ):
        eventually(lambda: assert_used(one, {"b0", "b1", "b2", "b3"}))
        assert homes(one) == homes(one)
        eventually(lambda: _equal(homes(one), homes(other)))


def test_a_change_moves_few_and_an_endpoint_that_comes_back_gets_its_own_again(backends: list[Backend]) -> None:
    addresses = [b.address for b in backends]
    with ManualRegistry(addresses) as registry, hashing(registry) as channel:
        eventually(lambda: assert_used(channel, {"b0", "b1", "b2", "b3"}))
        before = homes(channel)
        registry.remove(addresses[0])
        eventually(lambda: assert_used(channel, {"b1", "b2", "b3"}))
        after = homes(channel)
        stayed = [key for key in KEYS if before[key] != "b0"]
        moved = [key for key in stayed if before[key] != after[key]]
        # By chance alone two of three would have moved.
        assert len(moved) < len(stayed) / 3
        registry.add(addresses[0])
        eventually(lambda: _equal(homes(channel), before))


def test_an_endpoint_that_falls_ill_or_leaves_gets_no_more_calls(backends: list[Backend]) -> None:
    with ManualRegistry([b.address for b in backends]) as registry, hashing(registry) as channel:
        eventually(lambda: assert_used(channel, {"b0", "b1", "b2", "b3"}))
        backends[0].set_serving(False)
        eventually(lambda: assert_used(channel, {"b1", "b2", "b3"}))
        registry.remove(backends[1].address)
        eventually(lambda: assert_used(channel, {"b2", "b3"}))
        backends[0].set_serving(True)
        eventually(lambda: assert_used(channel, {"b0", "b2", "b3"}))


def test_no_call_fails_while_the_set_grows_and_shrinks_and_is_replaced(backends: list[Backend]) -> None:
    addresses = [b.address for b in backends]
    sets = [addresses[:1], addresses, addresses[2:], addresses[:2], addresses[1:2], addresses[1:], addresses[:3]]
    failures: list[grpc.RpcError] = []
    over = threading.Event()

    def call_on(channel: grpc.Channel) -> None:
        call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(METHOD)
        for key in itertools.cycle(KEYS):
            if over.is_set():
                return
            try:
                call(b"", timeout=10, metadata=(("key", key),))
            except grpc.RpcError as error:
                failures.append(error)

    with ManualRegistry(addresses) as registry, hashing(registry) as channel:
        who(channel)
        threads = [threading.Thread(target=call_on, args=(channel,)) for _ in range(3)]
        for thread in threads:
            thread.start()
        try:
            for endpoints in sets:
                registry.set(endpoints)
                names = {b.name for b in backends if b.address in endpoints}
                eventually(lambda names=names: assert_used(channel, names), within_s=20)  # type: ignore[misc]
        finally:
            over.set()
            for thread in threads:
                thread.join()
    assert failures == []


def test_a_long_stream_lives_through_changes_around_it_and_without_its_endpoint(backends: list[Backend]) -> None:
    addresses = [b.address for b in backends]
    by_name = {b.name: b for b in backends}
    with ManualRegistry(addresses) as registry, hashing(registry) as channel:
        eventually(lambda: assert_used(channel, set(by_name)))
        home = by_name[homes(channel)[KEYS[0]]]
        stream = watch(channel, KEYS[0])
        assert next(stream).status == _Status.SERVING
        others = [b for b in backends if b is not home]
        for number in range(10):
            left = others[: 1 + number % 3]
            registry.set(b.address for b in left)
            eventually(lambda left=left: assert_used(channel, {b.name for b in left}))  # type: ignore[misc]
        home.set_serving(False)
        assert next(stream).status == _Status.NOT_SERVING
        stream.cancel()


def test_a_call_that_waits_while_there_is_nobody_goes_to_who_comes(backends: list[Backend]) -> None:
    with ManualRegistry([backends[0].address]) as registry, hashing(registry) as channel:
        assert who(channel) == ["b0"]
        registry.set([])
        eventually(lambda: _assert_unavailable(channel))
        call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(METHOD)
        waiting = call.future(b"", timeout=10, wait_for_ready=True, metadata=(("key", "x"),))
        registry.add(backends[1].address)
        assert waiting.result() == b"b1"


def test_round_robin_goes_round_beside_a_ring_on_one_target(backends: list[Backend]) -> None:
    with (
        ManualRegistry([b.address for b in backends[:3]]) as registry,
        hashing(registry) as ring,
        lb_client.insecure_channel(registry.target) as rounds,
    ):
        eventually(lambda: assert_used(ring, {"b0", "b1", "b2"}))
        eventually(lambda: assert_round_robin(who(rounds, 9), ["b0", "b1", "b2"]))
        registry.remove(backends[0].address)
        eventually(lambda: assert_used(ring, {"b1", "b2"}))
        eventually(lambda: assert_round_robin(who(rounds, 6), ["b1", "b2"]))


def test_a_ring_that_went_idle_is_told_everything_again(backends: list[Backend]) -> None:
    with (
        ManualRegistry([backends[0].address]) as registry,
        hashing(registry, options=[("grpc.client_idle_timeout_ms", 1000)]) as channel,
    ):
        states: list[grpc.ChannelConnectivity] = []
        channel.subscribe(states.append)
        assert who(channel) == ["b0"]
        eventually(lambda: _equal(states[-1], grpc.ChannelConnectivity.IDLE), within_s=10)
        registry.set([backends[1].address])
        eventually(lambda: _equal(who(channel), ["b1"]))


def test_a_set_that_shrinks_again_and_again_does_not_end_the_process() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.shrinking_ring", "300"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONPATH": str(Path.cwd())},
    )
    # Where a ring is changed under its policy this is -11, within the first half second.
    assert (done.returncode, done.stdout) == (0, "300 changes, 0 of the calls failed\n"), done.stderr


def _assert_unavailable(channel: grpc.Channel) -> None:
    code = None
    try:
        who(channel, timeout_s=2)
    except grpc.RpcError as error:
        code = error.code()
    assert code is grpc.StatusCode.UNAVAILABLE


def _equal(value: object, expected: object) -> None:
    assert value == expected
