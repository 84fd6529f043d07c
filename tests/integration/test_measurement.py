from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import grpc.aio
import pytest

import lb_client
import lb_client.aio
from lb_client.channelz import open_viewed
from lb_client.driver import Load
from lb_client.measurement import Measurement
from lb_client.records import LEAD_S, SLICE_S
from lb_client.report import Question, Report
from lb_client.tracking import ChannelTracker, MembershipTracker, SnapshotTracker
from resolver.testing import ManualRegistry
from tests.support.eventually import aeventually
from tests.support.greeters import REQUEST, SAY_HELLO, Greeter, greeters, list_target, options
from tests.support.tcp_proxy import tcp_proxy

if TYPE_CHECKING:
    from lb_client.policy import Policy


async def begun(
    stack: AsyncExitStack, target: str, load: Load, *, ours: bool = False, policy: Policy | None = None
) -> Measurement:
    """A measurement over a channel that is warm."""
    policy = policy or lb_client.RoundRobin()
    tracker: MembershipTracker
    if ours:
        channel, view = open_viewed(lambda: lb_client.aio.insecure_channel(target, policy=policy))
        tracker = SnapshotTracker(target)
    else:
        channel, view = open_viewed(lambda: grpc.aio.insecure_channel(target, options()))
        tracker = ChannelTracker(view)
    await stack.enter_async_context(channel)
    stack.callback(tracker.close)
    question = Question(target=target, policy=policy.name)
    found = Measurement(
        channel, view=view, tracker=tracker, question=question, method=SAY_HELLO, request=REQUEST, load=load
    )
    warm = await found.warm_up(5.0)
    assert not warm.reason
    return found


async def measured(target: str, load: Load, **more: Any) -> Report:
    async with AsyncExitStack() as stack:
        measurement = await begun(stack, target, load, **more)
        await measurement.run()
        return measurement.report()


def calls_of(report: Report) -> list[int]:
    return [row.calls for row in report.rows.known]


@pytest.mark.parametrize("concurrency", [1, 64])
@pytest.mark.parametrize("number", [1, 3, 7, 16])
async def test_any_count_over_a_list_target_is_even(number: int, concurrency: int) -> None:
    async with greeters(number) as servers:
        for count in (1, 10, 100):
            report = await measured(list_target(servers), Load(count=count, concurrency=concurrency))
            assert sum(calls_of(report)) == count
            assert len(report.rows.known) == number
            assert max(calls_of(report)) - min(calls_of(report)) <= 1
            assert report.verdict.as_expected


@pytest.mark.parametrize("concurrency", [1, 64])
async def test_any_count_over_a_resolver_target_is_even(concurrency: int) -> None:
    async with greeters(3) as servers:
        with ManualRegistry([server.address for server in servers]) as registry:
            report = await measured(registry.target, Load(count=100, concurrency=concurrency), ours=True)
    assert sorted(calls_of(report)) == [33, 33, 34]
    assert [row.id for row in report.rows.known] == ["r1", "r2", "r3"]
    assert report.verdict.sentence == "Even: 100 calls over 3 endpoints, 34/33/33."


async def test_servers_that_say_nothing_are_told_by_address() -> None:
    async with greeters(3, has_identity=False, has_health=False) as servers:
        servers[1].fail_every = 1
        report = await measured(list_target(servers), Load(count=30))
    rows = {row.address: (row.id, row.calls, row.failed) for row in report.rows.known}
    assert rows == {server.address: ("", 10, 10 if server is servers[1] else 0) for server in servers}
    assert report.verdict.as_expected
    assert "these servers do not say who they are" in report.verdict.reasons[-1]
    assert report.as_dict()["backends"][0]["latency_ms"]["p50"] is None


async def test_pick_first_sends_all_to_one() -> None:
    async with greeters(3) as servers:
        with ManualRegistry([server.address for server in servers]) as registry:
            report = await measured(registry.target, Load(count=20), ours=True, policy=lb_client.PickFirst())
    assert sorted(calls_of(report)) == [0, 0, 20]
    assert report.verdict.as_expected
    assert report.verdict.even is False


async def test_connections_dealt_out_by_a_proxy_are_suspected() -> None:
    async with AsyncExitStack() as stack:
        servers = await stack.enter_async_context(greeters(2))
        front = await stack.enter_async_context(tcp_proxy([server.address for server in servers]))
        measurement = await begun(stack, f"ipv4:{front}", Load(count=None, duration_s=30))
        running = asyncio.create_task(measurement.run())
        # One channel has one connection; when that is cut, the next one is dealt to the other server.
        await aeventually(lambda: _assert_calls(servers[0], 5))
        assert servers[0].server is not None
        await servers[0].server.stop(None)
        await aeventually(lambda: _assert_calls(servers[1], 5))
        measurement.stop()
        await running
        report = measurement.report()
    assert report.rows.front == front
    assert any("a proxy or an L4 balancer" in reason for reason in report.verdict.reasons)


async def test_endpoint_that_joins_and_one_that_leaves_cut_the_run_in_even_pieces() -> None:
    async with AsyncExitStack() as stack:
        servers = await stack.enter_async_context(greeters(4))
        registry = stack.enter_context(ManualRegistry([server.address for server in servers[:3]]))
        measurement = await begun(stack, registry.target, Load(count=None, duration_s=60), ours=True)
        running = asyncio.create_task(measurement.run())

        async def judged(look: int) -> None:
            """Calls have been made for long enough under this membership to be judged."""
            await measurement.flush()
            last = measurement.recorder.segments[-1]
            assert (last.look, last.settled) == (look, True)
            assert time.monotonic() > last.begin_s + LEAD_S + 2 * SLICE_S
            assert last.counts

        await aeventually(lambda: judged(0))
        registry.add(servers[3].address)
        await aeventually(lambda: judged(2))  # the look between has it joined and not yet healthy
        registry.remove(servers[0].address)
        await aeventually(lambda: judged(3))
        measurement.stop()
        await running
        report = measurement.report()
    assert report.failed == 0
    assert report.verdict.as_expected, report.verdict
    assert "over 3, 4 and 3 endpoints in turn" in report.verdict.sentence
    assert [event.kind for event in report.events] == ["joined", "left"]


async def test_connection_lost_on_a_list_target_is_an_event() -> None:
    async with AsyncExitStack() as stack:
        servers = await stack.enter_async_context(greeters(3))
        measurement = await begun(stack, list_target(servers), Load(count=None, duration_s=60))
        running = asyncio.create_task(measurement.run())
        await aeventually(lambda: _assert_calls(servers[0], 5))
        assert servers[0].server is not None
        await servers[0].server.stop(None)

        def noticed() -> None:
            assert measurement.tracker.events

        await aeventually(noticed)
        measurement.stop()
        await running
        report = measurement.report()
    assert report.events[0].text == f"{servers[0].address} lost its connection"


async def test_report_as_json_has_the_promised_keys() -> None:
    async with greeters(2) as servers:
        found = (await measured(list_target(servers), Load(count=10))).as_dict()
    promised = {
        "target", "via", "policy", "requested", "calls", "failed", "elapsed_s", "rate_per_s", "latency_ms", "statuses",
        "backends", "spread", "verdict", "warm_up", "events",
    }  # fmt: skip
    assert promised <= found.keys()
    assert found["latency_ms"].keys() == {"min", "p50", "p90", "p99", "max"}
    told = {"id", "address", "calls", "failed", "share", "latency_ms", "zone", "version", "weight", "expected_share"}
    assert found["backends"][0].keys() == told
    assert found["spread"] == {"max_minus_min": 0, "fairness": 1.0}
    assert found["statuses"] == {"OK": 10}
    assert found["verdict"].keys() >= {"even", "expected", "sentence", "reasons"}


def _assert_calls(server: Greeter, number: int) -> None:
    assert server.calls >= number
