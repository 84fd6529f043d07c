"""The calls of a scenario and all that goes on beside them, on one loop: steps, events, membership, the screen."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lb_client import aio
from lb_client.aim import Aim, Weights
from lb_client.channelz import open_viewed
from lb_client.cli.call_request import GREETER, greeting
from lb_client.cli.call_target import OpenTarget, unreachable
from lb_client.cli.call_witnesses import ask_cluster
from lb_client.cli.run_hands import Hands
from lb_client.cli.run_link import StageLink
from lb_client.cli.session import Interruptible, run_session
from lb_client.driver import Load
from lb_client.ejections import can_be_seen
from lb_client.history.recording import NOBODY_TOLD
from lb_client.history.sightings import Rejections
from lb_client.ledger.labels import CallLabels
from lb_client.ledger.reconcile import reconcile
from lb_client.measurement import Measurement
from lb_client.policy import StaticWeights, WeightedRoundRobin
from lb_client.report import Question, Report
from lb_client.scenario.call_log import CallLog
from lb_client.scenario.director import Director
from lb_client.scenario.errors import StepError
from lb_client.scenario.played import Happened, Look, Played
from lb_client.tracking import SnapshotTracker
from lb_client.weights import WeightBook
from protos import cluster_pb2
from protos.orca import LOAD_KEY

if TYPE_CHECKING:
    import random
    from collections.abc import AsyncIterator, Coroutine, Iterator

    from lb_client.cli.run_screen import PlayScreen
    from lb_client.cli.run_stage import Stage
    from lb_client.history.recording import Told
    from lb_client.scenario.model import Calls, Scenario
    from lb_client.scenario.played import Done

Performance = tuple[Played, Report]

WARM_UP_S = 15.0
LONGEST_S = 600.0
"""How long calls go on at most whose end hangs on a step."""


def perform(scenario: Scenario, stage: Stage, rng: random.Random, screen: PlayScreen) -> Performance:
    """Play it on a cluster that serves.

    Raises:
        Failure: Nothing can be called.
        KeyboardInterrupt: Ctrl-C before the first call.
    """
    return run_session(_session(scenario, stage, rng, screen))


async def _session(scenario: Scenario, stage: Stage, rng: random.Random, screen: PlayScreen) -> Performance:
    with Interruptible() as interruptible:
        async with _open(stage, scenario.calls) as target, StageLink(stage.folder, rng) as link:
            log, labels = CallLog(), CallLabels(_metadata(scenario.calls))
            measurement = _measurement(scenario, stage, target, log, labels)
            warm_up = await measurement.warm_up(WARM_UP_S)
            if warm_up.reason:
                raise unreachable(target, stage.target, ours=True, timeout_s=WARM_UP_S, reason=warm_up.reason)
            await link.status()
            hands = Hands(link, target.channel, stage.registry)
            director = Director(scenario, choose=link.whom, do=hands.do, told=screen.told)
            interruptible.begin(stop=measurement.stop, cut=measurement.abort)
            try:
                begin_s = time.monotonic()
                screen.begin(begin_s)
                director.begin(begin_s)
                with (
                    Rejections(measurement.seen),
                    _beside(screen.follow(measurement)),
                    _beside(_finish(scenario.calls, director, measurement)),
                ):
                    run = await measurement.run()
                    done = list(director.done) if run.stopped else await director.end()
            finally:
                await director.cancel()
                hands.put_back()
            told = NOBODY_TOLD if run.stopped else await ask_cluster(stage.folder, labels.run)
            status = await link.status()
            interruptible.end()
            report = measurement.report(told=told)
            _attribute(log, measurement, told)
            played = _played(report, log, done, target, status)
            return replace(played, zones=link.zones, versions=link.versions), report


async def _finish(calls: Calls, director: Director, measurement: Measurement) -> None:
    """End the calls at the moment that they last until; at once where that never comes."""
    if calls.until is None:
        return
    with contextlib.suppress(StepError):
        await asyncio.sleep(await director.time_of(calls.until) - time.monotonic())
    measurement.finish()


def _attribute(log: CallLog, measurement: Measurement, told: Told) -> None:
    """Tell the log where calls were that nobody answered, as far as the replicas' journals say."""
    recording = measurement.recording
    if recording.book is None or recording.labels is None or told.journals is None:
        return
    deaths = [(event.at_s, event.replica) for event in told.events if event.kind == "died"]
    labels = recording.labels
    _, _, fates = reconcile(labels.run, recording.book, labels.used, told.journals, deaths=deaths)
    log.attribute({number: fate.replica for number, fate in fates.items() if fate.replica})


def _played(
    report: Report, log: CallLog, done: list[Done], target: OpenTarget, status: cluster_pb2.ClusterStatus
) -> Played:
    history = report.history
    happenings = () if history is None else history.happenings
    serving = sum(r.phase == cluster_pb2.RUNNING and r.health == "SERVING" for r in status.replicas)
    return Played(
        begin_s=report.run.begin_s,
        end_s=report.run.begin_s + report.run.elapsed_s,
        calls=log,
        done=done,
        looks=[Look(look.at_s, frozenset(m.label for m in look.ready)) for look in target.tracker.looks],
        happened=[Happened(h.at_s, h.replica or h.address, h.kind, h.detail) for h in happenings],
        totals={"serving": serving, **_ledger(report)},
    )


def _ledger(report: Report) -> dict[str, float | None]:
    ledger = None if report.history is None else report.history.ledger
    if ledger is None or not ledger.recorded:
        return {}
    return {
        "attempts": ledger.attempts,
        "lost": ledger.lost,
        "answered-twice": ledger.answered_twice,
        "unaccounted": ledger.unaccounted,
    }


@contextlib.asynccontextmanager
async def _open(stage: Stage, calls: Calls) -> AsyncIterator[OpenTarget]:
    """A channel to the stage, and who tells of its endpoints; leaving the block closes both."""
    channel, view = open_viewed(lambda: aio.insecure_channel(stage.target, policy=calls.policy, zone=calls.zone))
    weights = Weights.DRAWN if isinstance(calls.policy, StaticWeights) else Weights.IGNORED
    tracker = SnapshotTracker(stage.target, Aim.of(calls.metadata, zone=calls.zone, weights=weights))
    try:
        yield OpenTarget(channel, view, tracker)
    finally:
        tracker.close()
        await channel.close()


def _measurement(scenario: Scenario, stage: Stage, target: OpenTarget, log: CallLog, labels: CallLabels) -> Measurement:
    calls = scenario.calls
    prepared = greeting("world")
    return Measurement(
        target.channel,
        view=target.view,
        tracker=target.tracker,
        question=Question(
            target=stage.target, policy=calls.policy.name, zone=calls.zone, requested=_requested(scenario)
        ),
        method=prepared.path,
        request=prepared.request,
        load=load_of(calls),
        metadata=_metadata(calls),
        labels=labels,
        weights=_weights(calls, target),
        ejects=can_be_seen(calls.policy),
        recorder=log,
    )


def _weights(calls: Calls, target: OpenTarget) -> WeightBook | None:
    """Who follows the weights that replicas report, so that who gets less is not taken for ejected."""
    if not isinstance(calls.policy, WeightedRoundRobin):
        return None
    tracker = target.tracker
    return WeightBook(calls.policy, lambda: tracker.now.ready if tracker.now is not None else ())


def _metadata(calls: Calls) -> tuple[tuple[str, str], ...]:
    """What each call carries: that of the scenario, and the question for the load where weights are followed."""
    asks = isinstance(calls.policy, WeightedRoundRobin)
    return (*calls.metadata, (LOAD_KEY, "?")) if asks else calls.metadata


def load_of(calls: Calls) -> Load:
    """What the driver is told."""
    return Load(
        count=None,
        duration_s=calls.duration_s if calls.until is None else LONGEST_S,
        concurrency=calls.concurrency,
        rate=calls.rate,
        deadline_s=calls.deadline_s,
    )


def _requested(scenario: Scenario) -> dict[str, object]:
    calls = scenario.calls
    return {
        "method": GREETER,
        "duration_s": None if calls.until is not None else calls.duration_s,
        "until": calls.until.text if calls.until is not None else None,
        "concurrency": calls.concurrency,
        "rate_per_s": calls.rate,
        "deadline_s": calls.deadline_s,
        "policy": calls.policy.name,
        "scenario": scenario.source,
    }


@contextlib.contextmanager
def _beside(work: Coroutine[Any, Any, None]) -> Iterator[None]:
    """Have it go on beside the block, and end with it."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
