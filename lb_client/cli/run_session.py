"""The calls of a scenario and all that goes on beside them, on one loop: steps, events, membership, the screen."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Any

from lb_client.cli.call_request import GREETER, greeting
from lb_client.cli.call_target import open_target, unreachable
from lb_client.cli.run_link import StageLink
from lb_client.cli.session import Interruptible, run_session
from lb_client.driver import Load
from lb_client.measurement import Measurement
from lb_client.report import Question, Report
from lb_client.scenario.call_log import CallLog
from lb_client.scenario.director import Director
from lb_client.scenario.played import Happened, Look, Played
from protos import cluster_pb2

if TYPE_CHECKING:
    import random
    from collections.abc import Coroutine, Iterator

    from lb_client.cli.call_target import OpenTarget
    from lb_client.cli.run_screen import PlayScreen
    from lb_client.cli.run_stage import Stage
    from lb_client.scenario.model import Calls, Scenario

Performance = tuple[Played, Report]

WARM_UP_S = 15.0
NEWS_S = 0.3
"""How long to listen on after the last call: what happened at the end is told a moment later."""


def perform(scenario: Scenario, stage: Stage, rng: random.Random, screen: PlayScreen) -> Performance:
    """Play it on a cluster that serves.

    Raises:
        Failure: Nothing can be called.
        KeyboardInterrupt: Ctrl-C before the first call.
    """
    return run_session(_session(scenario, stage, rng, screen))


async def _session(scenario: Scenario, stage: Stage, rng: random.Random, screen: PlayScreen) -> Performance:
    calls = scenario.calls
    with Interruptible() as interruptible:
        async with (
            open_target(stage.target, calls.policy, ours=True) as target,
            StageLink(stage.folder, rng) as link,
        ):
            log = CallLog()
            measurement = _measurement(scenario, stage, target, log)
            warm_up = await measurement.warm_up(WARM_UP_S)
            if warm_up.reason:
                raise unreachable(target, stage.target, ours=True, timeout_s=WARM_UP_S, reason=warm_up.reason)
            happened: list[Happened] = []
            director = Director(scenario, choose=link.whom, do=link.do, told=screen.told)
            interruptible.begin(stop=measurement.stop, cut=measurement.abort)
            with _beside(link.events(happened.append)), _beside(screen.follow(measurement)):
                begin_s = time.monotonic()
                screen.begin(begin_s)
                director.begin(begin_s)
                try:
                    run = await measurement.run()
                    done = [] if run.stopped else await director.end()
                    await asyncio.sleep(NEWS_S)
                    status = await link.status()
                finally:
                    await director.cancel()
            interruptible.end()
            report = measurement.report()
            looks = [Look(look.at_s, frozenset(m.label for m in look.ready)) for look in target.tracker.looks]
            happened += [Happened(e.at_s, e.member.label, e.kind) for e in target.tracker.events]
            played = Played(
                begin_s=report.run.begin_s,
                end_s=report.run.begin_s + report.run.elapsed_s,
                calls=log,
                done=done,
                looks=looks,
                happened=sorted(happened),
                zones={r.id: r.zone for r in status.replicas if r.zone},
                versions={r.id: r.version for r in status.replicas if r.version},
                serving=sum(r.phase == cluster_pb2.RUNNING and r.health == "SERVING" for r in status.replicas),
            )
            return played, report


def _measurement(scenario: Scenario, stage: Stage, target: OpenTarget, log: CallLog) -> Measurement:
    calls = scenario.calls
    prepared = greeting("world")
    return Measurement(
        target.channel,
        view=target.view,
        tracker=target.tracker,
        question=Question(target=stage.target, policy=calls.policy, requested=_requested(scenario)),
        method=prepared.path,
        request=prepared.request,
        load=load_of(calls),
        recorder=log,
    )


def load_of(calls: Calls) -> Load:
    """What the driver is told."""
    return Load(
        count=None,
        duration_s=calls.duration_s,
        concurrency=calls.concurrency,
        rate=calls.rate,
        deadline_s=calls.deadline_s,
    )


def _requested(scenario: Scenario) -> dict[str, object]:
    calls = scenario.calls
    return {
        "method": GREETER,
        "duration_s": calls.duration_s,
        "concurrency": calls.concurrency,
        "rate_per_s": calls.rate,
        "deadline_s": calls.deadline_s,
        "policy": calls.policy,
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
