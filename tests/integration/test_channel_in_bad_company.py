"""Channels among servers, registries, callbacks and habits that are not what one would wish for."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import threading
import time
from typing import TYPE_CHECKING, Any

import grpc
import pytest

import lb_client
import resolver
from resolver.target import quote_path, register, unregister
from resolver.testing import ManualRegistry
from tests.support.backend import METHOD, Backend, assert_round_robin, who
from tests.support.eventually import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence
    from pathlib import Path

    from resolver import Endpoint, Snapshot, Target


def _same(value: object, expected: object) -> None:
    assert value == expected


def test_a_stub_goes_on_when_its_channel_object_is_gone_and_ends_the_watch_with_itself() -> None:
    with Backend("b") as backend, ManualRegistry([backend.address]) as registry:
        call: Any = lb_client.insecure_channel(registry.target).unary_unary(METHOD)
        gc.collect()
        assert call(b"", timeout=5) == b"b"
        time.sleep(1.2)  # longer than the control plane takes to look for what is over
        assert call(b"", timeout=5) == b"b"
        assert registry.watchers == 1
        del call
        gc.collect()
        eventually(lambda: _same(registry.watchers, 0))


def test_a_server_that_limits_the_age_of_connections_costs_no_call() -> None:
    options = [("grpc.max_connection_age_ms", 300), ("grpc.max_connection_age_grace_ms", 200)]
    with (
        Backend("b", options=options) as backend,
        ManualRegistry([backend.address]) as registry,
        lb_client.insecure_channel(registry.target) as channel,
    ):
        end = time.monotonic() + 2
        while time.monotonic() < end:
            assert who(channel) == ["b"]
    assert len(backend.peers) > 2, "no connection was ever ended"


def test_a_server_that_dies_is_noticed_whatever_chance_its_stream_gets() -> None:
    with Backend("a") as a, Backend("b") as b, ManualRegistry([a.address, b.address]) as registry:
        seen: list[Snapshot] = []
        with resolver.watch(registry.target, seen.append):
            eventually(lambda: _same(seen[-1:] and seen[-1].addresses, {a.address, b.address}))
            b.stop()
            eventually(lambda: _same(seen[-1].addresses, {a.address}))


def test_health_of_one_service_is_what_counts_when_it_is_named(caplog: pytest.LogCaptureFixture) -> None:
    with (
        Backend("a", services=["mine"]) as a,
        Backend("b", services=["mine"]) as b,
        Backend("c") as c,
        ManualRegistry([a.address, b.address, c.address]) as registry,
        caplog.at_level(logging.WARNING),
        lb_client.insecure_channel(registry.target, health_check="mine") as channel,
    ):
        eventually(lambda: assert_round_robin(who(channel, 4), ["a", "b"]))
        b.set_serving(False, "mine")
        eventually(lambda: assert_round_robin(who(channel, 4), ["a"]))
        assert f"{c.address} is unhealthy: it has no service 'mine'" in caplog.text
        assert f"{b.address} is unhealthy: it says NOT_SERVING" in caplog.text


def test_why_an_endpoint_is_not_reached_stands_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    gone = Backend("gone")
    gone.stop()
    with (
        Backend("a") as a,
        ManualRegistry([a.address, gone.address]) as registry,
        caplog.at_level(logging.WARNING),
        lb_client.insecure_channel(registry.target) as channel,
    ):
        assert who(channel) == ["a"]
        eventually(lambda: _same("UNAVAILABLE" in caplog.text and "refused" in caplog.text, True))


def test_a_server_whose_health_answers_are_rubbish_is_taken_back_when_they_are_not(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with (
        Backend("a") as a,
        Backend("b") as b,
        ManualRegistry([a.address, b.address]) as registry,
        lb_client.insecure_channel(registry.target) as channel,
    ):
        eventually(lambda: assert_round_robin(who(channel, 4), ["a", "b"]))
        b.garbage = True
        b.set_serving(False)
        eventually(lambda: assert_round_robin(who(channel, 4), ["a"]))
        b.garbage = False
        b.set_serving(True)
        eventually(lambda: assert_round_robin(who(channel, 4), ["a", "b"]))
    caplog.clear()  # grpc.aio logs what it could not decode, and a logged traceback holds what its frames hold


@pytest.mark.parametrize(
    "name",
    [
        "x(1)",
        "!$&'*+,;=:@-._~",
        "per%cent",
        "a b",
        "hash#",
        "what?",
        "gr\u00fc\u00df",
        "\u65e5\u672c" * 30,
        "[v6]",
        '"<>^`{|}',
    ],
)
def test_a_folder_may_have_any_name(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    with Backend("b") as backend:
        (folder / "b.json").write_text(f'{{"Addr": "{backend.address}"}}')
        with lb_client.insecure_channel(f"dir://{quote_path(str(folder))}") as channel:
            assert who(channel) == ["b"]


def test_an_ipv6_endpoint_is_called() -> None:
    try:
        backend = Backend("six", host="::1")
    except RuntimeError:
        pytest.skip("this machine has no IPv6 on loopback")
    with backend, lb_client.insecure_channel(f"static:{backend.address}") as channel:
        assert who(channel) == ["six"]


def test_two_spellings_of_one_address_are_one_endpoint(caplog: pytest.LogCaptureFixture) -> None:
    try:
        backend = Backend("six", host="::1")
    except RuntimeError:
        pytest.skip("this machine has no IPv6 on loopback")
    with backend, ManualRegistry([f"[::1]:{backend.port}", f"[0:0::1]:{backend.port}"]) as registry:
        with lb_client.insecure_channel(registry.target, health_check=False) as channel, caplog.at_level(logging.ERROR):
            assert who(channel, 2) == ["six", "six"]
        assert "rejected" not in caplog.text


def test_a_watcher_that_does_not_let_itself_be_cancelled_holds_up_nobody(caplog: pytest.LogCaptureFixture) -> None:
    release = asyncio.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    async def stubborn(_: Target) -> AsyncGenerator[Sequence[Endpoint], None]:
        loops.append(asyncio.get_running_loop())
        yield ()
        while not release.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await release.wait()

    register("stubborn", stubborn)
    try:
        with lb_client.insecure_channel("stubborn:x"):
            eventually(lambda: _same(len(loops), 1))
        with Backend("b") as backend:
            time.sleep(0.7)  # the control plane has begun to end
            began = time.monotonic()
            with lb_client.insecure_channel(f"static:{backend.address}") as channel:
                assert who(channel) == ["b"]
            assert time.monotonic() - began < 5
    finally:
        unregister("stubborn")
        with contextlib.suppress(RuntimeError):
            loops[0].call_soon_threadsafe(release.set)
        eventually(lambda: _same([t.name for t in threading.enumerate() if "control plane" in t.name], []))
    caplog.clear()


@pytest.mark.parametrize("fault", [SystemExit, ValueError])
def test_a_callback_that_raises_harms_nobody(fault: type[BaseException], caplog: pytest.LogCaptureFixture) -> None:
    def raises(_: Snapshot) -> None:
        raise fault("a fault of the application's")

    with Backend("b") as backend, ManualRegistry([backend.address]) as registry:
        with resolver.watch(registry.target, raises), lb_client.insecure_channel(registry.target) as channel:
            assert who(channel) == ["b"]
            eventually(lambda: _same("a snapshot callback failed" in caplog.text, True))
        with lb_client.insecure_channel(registry.target) as channel:
            assert who(channel) == ["b"]
    caplog.clear()  # a logged traceback holds what its frames hold


def test_more_calls_in_flight_than_xds_allows_by_default_are_all_answered() -> None:
    with (
        Backend("b") as backend,
        ManualRegistry([backend.address]) as registry,
        lb_client.insecure_channel(registry.target) as channel,
    ):
        who(channel)
        backend.gate.clear()
        call: Any = channel.unary_unary(METHOD)
        calls = [call.future(b"", timeout=30) for _ in range(1500)]
        eventually(lambda: _same(backend.calls > 10, True))  # its threads hold them, the others wait
        backend.gate.set()
        assert {future.result() for future in calls} == {b"b"}


@pytest.mark.parametrize("key", ["grpc.service_config", "grpc.lb_policy_name"])
def test_options_that_core_would_ignore_are_refused(key: str) -> None:
    with pytest.raises(ValueError, match=key) as refusal:
        lb_client.insecure_channel("static:127.0.0.1:1", options=[(key, "{}")])
    assert "policy=" in str(refusal.value)


def test_a_retry_budget_is_refused_where_core_counts_no_calls() -> None:
    budgeted = lb_client.RoundRobin(retry=lb_client.Retry(budget=lb_client.RetryBudget()))
    options = [("grpc.enable_channelz", 0)]
    with pytest.raises(ValueError, match="a retry budget needs what channelz counts"):
        lb_client.insecure_channel("static:127.0.0.1:1", policy=budgeted, options=options)
    with lb_client.insecure_channel("static:127.0.0.1:1", options=options) as channel:
        lb_client.switch_policy(channel, lb_client.RoundRobin(retry=lb_client.Retry()))
        with pytest.raises(ValueError, match="a retry budget needs what channelz counts"):
            lb_client.switch_policy(channel, budgeted)


def test_interceptors_futures_and_waiting_work_as_on_any_channel() -> None:
    class Stamp(grpc.UnaryUnaryClientInterceptor):
        def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
            stamped.append(details.method)
            return continuation(details, request)

    stamped: list[str] = []
    with ManualRegistry() as registry, lb_client.insecure_channel(registry.target, options=None) as channel:
        ready = grpc.channel_ready_future(channel)
        call: Any = channel.unary_unary(METHOD)
        waiting = call.future(b"", timeout=10, wait_for_ready=True)
        with Backend("b") as backend:
            registry.add(backend.address)
            assert waiting.result() == b"b"
            ready.result(5)
            who(grpc.intercept_channel(channel, Stamp()))
            assert stamped == [METHOD]
