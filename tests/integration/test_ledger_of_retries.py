"""Calls and attempts apart, over real retries of gRPC core: the client's book against what the replicas wrote down."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio
import pytest

import lb_client
import lb_client.aio
from backends import journal_files
from backends.replica import Replica
from backends.spec import ReplicaSpec
from lb_client.channelz import open_viewed
from lb_client.driver import Load
from lb_client.history.recording import Told
from lb_client.ledger import words
from lb_client.ledger.journals import Journals, ProcessJournal
from lb_client.ledger.labels import CallLabels
from lb_client.measurement import Measurement
from lb_client.report import Question
from lb_client.tracking import SnapshotTracker
from tests.support.eventually import aeventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from lb_client.ledger.reconcile import Ledger

METHOD = "/test.Flaky/Act"


class Servicer:
    """Fails a call's first attempts, as many as the request says; with `slow` the first answer is too late."""

    async def act(self, request: bytes, context: Any) -> bytes:
        tried = int(dict(context.invocation_metadata()).get("grpc-previous-rpc-attempts", "0"))
        if request == b"slow":
            await asyncio.sleep(30)
        if tried < int(request):
            await context.abort(grpc.StatusCode.UNAVAILABLE, "not yet")
        return b"done"


def register(server: grpc.aio.Server) -> None:
    handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
        "Act": grpc.unary_unary_rpc_method_handler(Servicer().act)
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Flaky", handlers),))


@pytest.fixture
async def target(tmp_path: Path) -> AsyncIterator[str]:
    """Two replicas that keep journals, announced in a folder."""
    registry = tmp_path / "records"
    async with AsyncExitStack() as stack:
        for id in ("r1", "r2"):  # noqa: A001 -- the field's own word
            spec = ReplicaSpec(
                id=id,
                registry=str(registry),
                service=f"{__name__}:register",
                linger_s=0.0,
                journals=str(tmp_path / "journals"),
            )
            await stack.enter_async_context(Replica(spec))
        yield f"dir://{registry}"


async def ledger_of(target: str, tmp_path: Path, request: bytes, *, calls: int, deadline_s: float = 5.0) -> Ledger:
    policy = lb_client.RoundRobin(retry=lb_client.Retry(attempts=3, base_interval_s=0.01))
    channel, view = open_viewed(lambda: lb_client.aio.insecure_channel(target, policy=policy))
    tracker, labels = SnapshotTracker(target), CallLabels()
    try:
        measurement = Measurement(
            channel,
            view=view,
            tracker=tracker,
            question=Question(target=target, policy=policy.name),
            method=METHOD,
            request=request,
            load=Load(count=calls, concurrency=4, deadline_s=deadline_s),
            labels=labels,
        )
        await measurement.warm_up(5.0)
        await measurement.run()
        found: list[ProcessJournal] = []

        def all_ended() -> None:
            found[:] = [_journal(file) for file in journal_files.read(tmp_path / "journals", labels.run)]
            assert all(all(journal.outcomes) for journal in found)

        await aeventually(all_ended)
        report = measurement.report(told=Told((), Journals(tuple(found))))
    finally:
        tracker.close()
        await channel.close()
    assert report.history is not None
    assert report.history.ledger is not None
    return report.history.ledger


def _journal(file: journal_files.JournalFile) -> ProcessJournal:
    journal = ProcessJournal(file.replica, file.pid, alive=True)
    for entry in file.entries:
        journal.add(*entry)
    return journal


async def test_attempts_are_more_than_calls_and_none_is_lost(target: str, tmp_path: Path) -> None:
    ledger = await ledger_of(target, tmp_path, b"2", calls=30)
    assert (ledger.sent, ledger.answered, ledger.failed, ledger.retried) == (30, 30, 0, 30)
    assert ledger.attempts == 90
    assert sum(line.answered for line in ledger.replicas) == 30
    assert sum(line.errors for line in ledger.replicas) == 60
    assert (ledger.answered_twice, ledger.lost, ledger.unaccounted) == (0, 0, 0)


async def test_a_call_that_fails_each_time_was_refused_by_who_answered_last(target: str, tmp_path: Path) -> None:
    ledger = await ledger_of(target, tmp_path, b"9", calls=10)
    assert (ledger.sent, ledger.answered, ledger.failed, ledger.attempts, ledger.retried) == (10, 0, 10, 30, 10)
    assert (ledger.lost, ledger.unaccounted, ledger.never_arrived) == (0, 0, 0)
    assert {fate.kind for fate, _ in ledger.fates} == {"refused"}


async def test_a_call_past_its_deadline_was_given_up_on_the_replica_too(target: str, tmp_path: Path) -> None:
    ledger = await ledger_of(target, tmp_path, b"slow", calls=4, deadline_s=0.3)
    assert (ledger.failed, ledger.lost, ledger.attempts, ledger.retried) == (4, 4, 4, 0)
    assert {words.told(fate) for fate, _ in ledger.fates} == {
        f"given up while {name} was at work, and {name} was told" for name in ("r1", "r2")
    }
