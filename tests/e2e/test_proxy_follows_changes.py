"""What changes behind a proxy reaches it at once: who joins, leaves and falls ill, without a failed call."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import grpc
import pytest

import lb_client
from lb_client.proxy import EnvoyProxy
from resolver.testing import ManualRegistry
from tests.support.backend import Backend, assert_round_robin, who
from tests.support.eventually import eventually
from tests.support.peers import require_envoy

if TYPE_CHECKING:
    from collections.abc import Iterator

OPTIONS = [("grpc.enable_http_proxy", 0)]


@pytest.fixture
def backends() -> Iterator[list[Backend]]:
    require_envoy()
    with Backend("a") as a, Backend("b") as b, Backend("c") as c:
        yield [a, b, c]


@contextmanager
def proxied(registry: ManualRegistry) -> Iterator[grpc.Channel]:
    """A bare channel to a proxy in front of the registry's endpoints."""
    with EnvoyProxy(registry.target) as proxy, grpc.insecure_channel(proxy.address, OPTIONS) as channel:
        yield channel


@contextmanager
def calling(channel: grpc.Channel) -> Iterator[list[str]]:
    """Somebody who never stops calling: whom each call reached. The first call that fails ends it, and raises."""
    answers: list[str] = []
    errors: list[grpc.RpcError] = []
    over = threading.Event()

    def call() -> None:
        try:
            while not over.is_set():
                answers.extend(who(channel))
        except grpc.RpcError as error:
            errors.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    try:
        yield answers
    finally:
        over.set()
        thread.join()
    assert not errors, errors


def assert_only(answers: list[str], names: set[str]) -> None:
    """The last calls reached these, and all of these."""
    assert set(answers[-6:]) == names, answers[-20:]


def test_an_endpoint_that_joins_and_leaves_is_followed_without_a_failed_call(backends: list[Backend]) -> None:
    a, b, c = backends
    with ManualRegistry([a.address, b.address]) as registry, proxied(registry) as channel, calling(channel) as answers:
        eventually(lambda: assert_only(answers, {"a", "b"}))
        registry.add(c.address)
        eventually(lambda: assert_only(answers, {"a", "b", "c"}))
        registry.remove(a.address)
        eventually(lambda: assert_only(answers, {"b", "c"}))
        registry.set([a.address])
        eventually(lambda: assert_only(answers, {"a"}))


def test_who_says_not_serving_gets_no_call_until_it_serves_again(backends: list[Backend]) -> None:
    a, b, _ = backends
    with ManualRegistry([a.address, b.address]) as registry, proxied(registry) as channel, calling(channel) as answers:
        eventually(lambda: assert_only(answers, {"a", "b"}))
        a.set_serving(False)
        eventually(lambda: assert_only(answers, {"b"}))
        a.set_serving(True)
        eventually(lambda: assert_only(answers, {"a", "b"}))


def test_with_all_but_one_ill_the_ill_get_nothing(backends: list[Backend]) -> None:
    """Envoy's own rule would be to call everybody once fewer than half are healthy."""
    for backend in backends[1:]:
        backend.set_serving(False)
    with ManualRegistry([each.address for each in backends]) as registry, proxied(registry) as channel:
        assert who(channel, 12) == ["a"] * 12


def test_calls_go_round_exactly(backends: list[Backend]) -> None:
    with ManualRegistry([each.address for each in backends]) as registry, proxied(registry) as channel:
        assert_round_robin(who(channel, 30), ["a", "b", "c"])


def test_what_is_hashed_by_a_header_meets_those_who_hash_in_their_channel(backends: list[Backend]) -> None:
    hashed = {"/test.Backend/": "room"}
    rooms = [f"room {number}" for number in range(200)]
    with (
        ManualRegistry([each.address for each in backends]) as registry,
        EnvoyProxy(registry.target, hashed=hashed) as proxy,
        grpc.insecure_channel(proxy.address, OPTIONS) as through,
        lb_client.insecure_channel(registry.target, policy=lb_client.RingHash("room")) as direct,
    ):
        assert [_in_room(through, room) for room in rooms] == [_in_room(direct, room) for room in rooms]
        assert {_in_room(direct, room) for room in rooms} == {"a", "b", "c"}


def _in_room(channel: grpc.Channel, room: str) -> str:
    call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary("/test.Backend/WhoAreYou")
    return call(b"", metadata=(("room", room),), timeout=5).decode()


def test_with_nobody_left_calls_end_unavailable_at_once_and_the_next_one_is_used(backends: list[Backend]) -> None:
    with ManualRegistry() as registry, proxied(registry) as channel:
        with pytest.raises(grpc.RpcError, match="UNAVAILABLE"):
            who(channel)
        registry.add(backends[0].address)

        def answered() -> None:
            with_error: grpc.RpcError | None = None
            try:
                assert who(channel) == ["a"]
            except grpc.RpcError as error:
                with_error = error
            assert with_error is None

        eventually(answered)


def test_a_call_in_flight_ends_well_when_its_endpoint_leaves(backends: list[Backend]) -> None:
    a, b, _ = backends
    with (
        ManualRegistry([a.address]) as registry,
        EnvoyProxy(registry.target) as proxy,
        grpc.insecure_channel(proxy.address, OPTIONS) as channel,
    ):
        a.gate.clear()
        call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary("/test.Backend/WhoAreYou")
        waiting = call.future(b"", timeout=10)
        eventually(lambda: _equal(a.calls, 1))
        registry.set([b.address])
        eventually(lambda: _equal([host.address for host in proxy.admin.hosts("l7")], [b.address]))
        assert who(channel) == ["b"]
        a.gate.set()
        assert waiting.result() == b"a"


def _equal(value: object, expected: object) -> None:
    assert value == expected
