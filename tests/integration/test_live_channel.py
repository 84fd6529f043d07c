"""The reason this project exists: a registry change reaches a living, stock channel."""

from __future__ import annotations

import logging
import socket
import threading
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

import grpc
import grpc.aio
import pytest

import lb_client
import resolver
from resolver.testing import ManualRegistry
from tests.support.backend import METHOD, Backend, assert_round_robin, awho, who
from tests.support.eventually import aeventually, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from resolver import Snapshot


@pytest.fixture
def backends() -> Iterator[list[Backend]]:
    with ExitStack() as stack:
        yield [stack.enter_context(Backend(f"b{n}")) for n in range(4)]


def test_a_registry_change_reaches_a_live_channel(backends: list[Backend]) -> None:
    b0, b1, b2, b3 = backends
    with (
        ManualRegistry([b0.address, b1.address, b2.address]) as registry,
        lb_client.insecure_channel(registry.target) as channel,
    ):
        assert type(channel).__module__ == "grpc._channel", "a stock channel, not one of ours"
        eventually(lambda: assert_round_robin(who(channel, 9), ["b0", "b1", "b2"]))
        registry.add(b3.address)
        eventually(lambda: assert_round_robin(who(channel, 12), ["b0", "b1", "b2", "b3"]))
        registry.remove(b0.address, b1.address)
        eventually(lambda: assert_round_robin(who(channel, 6), ["b2", "b3"]))
        registry.set([b1.address, b3.address])
        eventually(lambda: assert_round_robin(who(channel, 6), ["b1", "b3"]))
    # Whatever came and went, an endpoint that stayed kept its one connection.
    assert len(b3.peers) == 1
    assert len(b2.peers) == 1


async def test_a_registry_change_reaches_a_live_asyncio_channel(backends: list[Backend]) -> None:
    b0, b1, b2, b3 = backends

    async def rounds(names: list[str]) -> None:
        assert_round_robin(await awho(channel, 3 * len(names)), names)

    with ManualRegistry([b0.address, b1.address]) as registry:
        async with lb_client.aio.insecure_channel(registry.target) as channel:
            assert type(channel).__module__ == "grpc.aio._channel", "a stock channel, not one of ours"
            await aeventually(lambda: rounds(["b0", "b1"]))
            registry.add(b2.address, b3.address)
            await aeventually(lambda: rounds(["b0", "b1", "b2", "b3"]))
            registry.remove(b0.address)
            await aeventually(lambda: rounds(["b1", "b2", "b3"]))
    assert len(b1.peers) == 1


def test_an_endpoint_that_stops_serving_gets_no_calls_until_it_serves_again(backends: list[Backend]) -> None:
    b0, b1, b2, _ = backends
    with (
        ManualRegistry([b0.address, b1.address, b2.address]) as registry,
        lb_client.insecure_channel(registry.target) as channel,
    ):
        eventually(lambda: assert_round_robin(who(channel, 9), ["b0", "b1", "b2"]))
        b1.set_serving(False)
        eventually(lambda: assert_round_robin(who(channel, 6), ["b0", "b2"]))
        b1.set_serving(True)
        eventually(lambda: assert_round_robin(who(channel, 9), ["b0", "b1", "b2"]))


def test_an_endpoint_that_dies_and_returns_on_its_port_gets_calls_again(backends: list[Backend]) -> None:
    b0, b1, _, _ = backends
    with (
        ManualRegistry([b0.address, b1.address]) as registry,
        lb_client.insecure_channel(registry.target) as channel,
    ):
        eventually(lambda: assert_round_robin(who(channel, 4), ["b0", "b1"]))
        b1.stop()
        eventually(lambda: assert_round_robin(who(channel, 4), ["b0"]))
        with Backend("back again", port=b1.port):
            eventually(lambda: assert_round_robin(who(channel, 4), ["b0", "back again"]))


def test_an_empty_set_fails_calls_at_once_and_a_full_one_mends_the_channel(backends: list[Backend]) -> None:
    with (
        ManualRegistry([backends[0].address]) as registry,
        lb_client.insecure_channel(registry.target) as channel,
    ):
        assert who(channel) == ["b0"]
        registry.set([])

        def code() -> grpc.StatusCode | None:
            try:
                who(channel, timeout_s=2)
            except grpc.RpcError as error:
                return error.code()
            return None

        eventually(lambda: _assert_code(code(), grpc.StatusCode.UNAVAILABLE))
        registry.add(backends[1].address)
        assert who(channel, wait_for_ready=True) == ["b1"]


def test_a_channel_on_a_registry_that_was_empty_from_the_start_fails_fast() -> None:
    with ManualRegistry() as registry, lb_client.insecure_channel(registry.target) as channel:
        began = time.monotonic()
        with pytest.raises(grpc.RpcError) as failure:
            who(channel, timeout_s=10)
        assert failure.value.code() is grpc.StatusCode.UNAVAILABLE
        assert time.monotonic() - began < 5, "it waited for its deadline"


def test_pick_first_sends_every_call_to_one_endpoint_and_moves_when_it_leaves(backends: list[Backend]) -> None:
    addresses = {b.address: b.name for b in backends}
    with (
        ManualRegistry(addresses) as registry,
        lb_client.insecure_channel(registry.target, policy=lb_client.PickFirst()) as channel,
    ):
        (chosen,) = set(who(channel, 12))
        registry.remove(next(address for address, name in addresses.items() if name == chosen))

        def moved() -> None:
            answers = set(who(channel, 6))
            assert len(answers) == 1
            assert chosen not in answers

        eventually(moved)


def test_two_targets_and_two_policies_live_side_by_side(backends: list[Backend]) -> None:
    b0, b1, b2, b3 = backends
    with (
        ManualRegistry([b0.address, b1.address]) as left,
        ManualRegistry([b2.address, b3.address]) as right,
        lb_client.insecure_channel(left.target) as on_left,
        lb_client.insecure_channel(right.target) as on_right,
        lb_client.insecure_channel(left.target, policy=lb_client.PickFirst()) as first_of_left,
    ):
        eventually(lambda: assert_round_robin(who(on_left, 4), ["b0", "b1"]))
        eventually(lambda: assert_round_robin(who(on_right, 4), ["b2", "b3"]))
        assert len(set(who(first_of_left, 6))) == 1
        assert left.watchers == right.watchers == 1, "channels on one target share its watch"
        left.remove(b0.address)
        eventually(lambda: assert_round_robin(who(on_left, 4), ["b1"]))
        eventually(lambda: assert_round_robin(who(first_of_left, 4), ["b1"]))
        assert_round_robin(who(on_right, 4), ["b2", "b3"])


def test_closing_the_last_channel_ends_the_watch_the_health_streams_and_the_thread(backends: list[Backend]) -> None:
    with ManualRegistry([backends[0].address]) as registry:
        first = lb_client.insecure_channel(registry.target)
        second = lb_client.insecure_channel(registry.target)
        assert who(first) == who(second) == ["b0"]
        first.close()
        assert who(second) == ["b0"]
        assert registry.watchers == 1
        second.close()
        eventually(lambda: _assert_over(registry))


def test_a_channel_that_never_connected_and_one_that_was_dropped_end_their_watch_too() -> None:
    with ManualRegistry() as registry:
        lb_client.insecure_channel(registry.target).close()
        eventually(lambda: _assert_over(registry))
        channel = lb_client.insecure_channel(registry.target)
        eventually(lambda: _assert_watchers(registry, 1))
        del channel
        eventually(lambda: _assert_over(registry))


def test_a_channel_opened_right_after_the_last_one_was_closed_works(backends: list[Backend]) -> None:
    with ManualRegistry([b.address for b in backends]) as registry:
        for _ in range(20):
            with lb_client.insecure_channel(registry.target) as channel:
                assert len(who(channel, 2)) == 2


def test_a_channel_that_went_idle_is_told_everything_again(backends: list[Backend]) -> None:
    with (
        ManualRegistry([backends[0].address]) as registry,
        lb_client.insecure_channel(registry.target, options=[("grpc.client_idle_timeout_ms", 1000)]) as channel,
    ):
        states: list[grpc.ChannelConnectivity] = []
        channel.subscribe(states.append)
        assert who(channel) == ["b0"]
        eventually(lambda: _assert_last(states, grpc.ChannelConnectivity.IDLE), within_s=10)
        registry.set([backends[1].address])
        eventually(lambda: assert_round_robin(who(channel, 2), ["b1"]))


def test_a_server_without_a_health_service_is_healthy() -> None:
    with (
        Backend("plain", with_health=False) as plain,
        Backend("ill", serving=False) as ill,
        ManualRegistry([plain.address, ill.address]) as registry,
        lb_client.insecure_channel(registry.target) as channel,
    ):
        assert who(channel, 6) == ["plain"] * 6


def test_without_health_checks_every_endpoint_is_taken_as_announced() -> None:
    with (
        Backend("ill", serving=False) as ill,
        ManualRegistry([ill.address]) as registry,
        lb_client.insecure_channel(registry.target, health_check=False) as channel,
    ):
        assert who(channel) == ["ill"]


def test_a_listener_that_accepts_and_never_answers_gets_no_calls(silent_listener: str) -> None:
    with (
        Backend("well") as well,
        ManualRegistry([well.address, silent_listener]) as registry,
        lb_client.insecure_channel(registry.target) as channel,
    ):
        assert who(channel, 6) == ["well"] * 6


def test_a_watcher_that_fails_is_made_again_and_the_last_set_stays(
    backends: list[Backend], caplog: pytest.LogCaptureFixture
) -> None:
    with (
        ManualRegistry([backends[0].address]) as registry,
        lb_client.insecure_channel(registry.target) as channel,
    ):
        assert who(channel) == ["b0"]
        with caplog.at_level(logging.ERROR):
            registry.fail(ConnectionError("registry out of reach"))
            eventually(lambda: _assert_logged(caplog, "the last endpoints stay in force"))
            caplog.clear()  # a logged traceback holds what its frames hold
        assert who(channel) == ["b0"]
        registry.add(backends[1].address)
        eventually(lambda: assert_round_robin(who(channel, 4), ["b0", "b1"]))


def test_watch_tells_the_present_snapshot_then_every_change(backends: list[Backend]) -> None:
    b0, b1, _, _ = backends
    seen: list[Snapshot] = []
    with ManualRegistry([b0.address]) as registry, resolver.watch(registry.target, seen.append):
        eventually(lambda: _assert_addresses(seen, {b0.address}))
        registry.add(b1.address)
        eventually(lambda: _assert_addresses(seen, {b0.address, b1.address}))
        b0.set_serving(False)
        eventually(lambda: _assert_addresses(seen, {b1.address}))
        late: list[Snapshot] = []
        with resolver.watch(registry.target, late.append):
            eventually(lambda: _assert_addresses(late, {b1.address}))
        assert registry.watchers == 1
    assert len({snapshot.version for snapshot in seen}) == len(seen), "a version is never used again"


def test_threads_may_open_and_close_channels_at_once(backends: list[Backend]) -> None:
    with ManualRegistry([b.address for b in backends]) as registry:
        failures: list[BaseException] = []

        def work() -> None:
            try:
                for _ in range(5):
                    with lb_client.insecure_channel(registry.target) as channel:
                        who(channel, 3)
            except BaseException as error:  # noqa: BLE001 -- shown below, in the test's own thread
                failures.append(error)

        threads = [threading.Thread(target=work) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        eventually(lambda: _assert_over(registry))


def test_many_changes_arrive_as_the_last_one(backends: list[Backend]) -> None:
    addresses = [b.address for b in backends]
    with ManualRegistry(addresses) as registry, lb_client.insecure_channel(registry.target) as channel:
        who(channel)
        for n in range(200):
            registry.set(addresses[: 1 + n % 4])
        registry.set(addresses[2:])
        eventually(lambda: assert_round_robin(who(channel, 6), ["b2", "b3"]))


def test_an_http_proxy_variable_does_not_take_our_calls(
    backends: list[Backend], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy", "grpc_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    with ManualRegistry([backends[0].address]) as registry, lb_client.insecure_channel(registry.target) as channel:
        assert who(channel) == ["b0"]


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("greeter", "has no scheme"),
        ("nacos:///greeter", "no resolver for scheme 'nacos'"),
        ("static:", "names nothing"),
        ("static:localhost:1", "not an IPv4 or IPv6 address"),
        ("dir:records", "must be an absolute path"),
    ],
)
def test_a_target_that_cannot_be_meant_is_refused_before_anything_starts(target: str, says: str) -> None:
    with pytest.raises(resolver.TargetError, match=says) as refusal:
        lb_client.insecure_channel(target)
    assert "\n" not in str(refusal.value)


def test_a_policy_that_is_none_is_refused() -> None:
    with pytest.raises(TypeError, match="RoundRobin"):
        lb_client.insecure_channel("static:127.0.0.1:1", policy="round_robin")  # type: ignore[arg-type]


def test_a_set_that_is_replaced_as_a_whole_fails_no_call(backends: list[Backend]) -> None:
    b0, b1, b2, b3 = backends
    old, new = [b0.address, b1.address], [b2.address, b3.address]
    with ManualRegistry(old) as registry, lb_client.insecure_channel(registry.target) as channel:
        for n in range(20):
            registry.set(old if n % 2 else new)
            names = ["b0", "b1"] if n % 2 else ["b2", "b3"]
            eventually(lambda names=names: assert_round_robin(who(channel, 4), names))  # type: ignore[misc]


def test_calls_in_flight_survive_changes_around_them(backends: list[Backend]) -> None:
    b0, b1, b2, _ = backends
    with (
        ManualRegistry([b0.address, b1.address]) as registry,
        lb_client.insecure_channel(registry.target) as channel,
    ):
        call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(METHOD)
        calls = []
        for n in range(300):
            calls.append(call.future(b"", timeout=10))
            registry.set([b0.address, (b1 if n % 2 else b2).address])
        assert {c.result() for c in calls} <= {b"b0", b"b1", b"b2"}


def _assert_watchers(registry: ManualRegistry, number: int) -> None:
    assert registry.watchers == number


def _assert_over(registry: ManualRegistry) -> None:
    _assert_watchers(registry, 0)
    assert not [t.name for t in threading.enumerate() if "lbdemo" in t.name]


def _assert_code(code: grpc.StatusCode | None, expected: grpc.StatusCode) -> None:
    assert code is expected


def _assert_last(states: list[grpc.ChannelConnectivity], state: grpc.ChannelConnectivity) -> None:
    assert states
    assert states[-1] is state


def _assert_logged(caplog: pytest.LogCaptureFixture, text: str) -> None:
    assert text in caplog.text


def _assert_addresses(seen: list[Snapshot], addresses: set[str]) -> None:
    assert seen
    assert seen[-1].addresses == addresses


@pytest.fixture
def silent_listener() -> Iterator[str]:
    """The address of a socket that accepts connections (the kernel does) and never says a word."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
