"""One `lbdemo call` from open channel to report: prepare, warm up, call, show, be interrupted."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from lb_client.cli import interrupts
from lb_client.cli.call_request import GREETER, Prepared, advice, look_up
from lb_client.cli.call_target import OpenTarget, WhollyToldError, expect_known, open_target, unreachable
from lb_client.cli.common import Failure
from lb_client.cli.session import Interruptible, Warnings, expect_room, run_session
from protos.orca import LOAD_KEY

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from lb_client.aim import Aim
    from lb_client.cli.call_via import Proxy
    from lb_client.driver import Load
    from lb_client.history.recording import Told
    from lb_client.measurement import Measurement
    from lb_client.policy import Policy
    from lb_client.report import Question, Report
    from lb_client.weights import WeightBook


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything the command was told, checked.

    Attributes:
        target: Whom to call.
        ours: Whether the target is one for lb_client's resolvers.
        policy: How calls spread, are tried again, and whom not to trust.
        aim: What the calls ask for: a zone, a version.
        proxied: Whether an Envoy balances instead of this client.
        cluster: Whose proxy to use; None for a target that was given.
        load: How many, how fast.
        prepared: Method and request; None when they are to be looked up by `method` and `data`.
        method: `package.Service/Method`.
        data: JSON for it.
        metadata: Sent with each call.
        warm_up_timeout_s: The longest that warm-up may take.
        watch: Whether to show the spread live.
        ledger: Whether to account for every call.
        detailed: Whether somebody wants to see latencies over time.
        requested: Every input, for the report to repeat.
    """

    target: str
    ours: bool
    policy: Policy
    aim: Aim
    proxied: bool
    cluster: str | None
    load: Load
    prepared: Prepared | None
    method: str
    data: str
    metadata: tuple[tuple[str, str], ...]
    warm_up_timeout_s: float
    watch: bool
    ledger: bool
    detailed: bool
    requested: dict[str, Any]


def carry_out(plan: Plan) -> Report:
    """Run the plan on a loop of its own, in the main thread.

    Raises:
        Failure: Nothing could be called.
        click.UsageError: The data does not fit the method.
        KeyboardInterrupt: Ctrl-C before the first call.
    """
    warnings = Warnings.of_resolver()
    try:
        return _run(plan)
    except WhollyToldError:
        warnings.forget()
        raise
    finally:
        gc.enable()
        warnings.print()


def _run(plan: Plan) -> Report:
    _import_all()
    from lb_client.cli.client_loop import loop_for  # noqa: PLC0415 -- brings gRPC: help needs none of it

    with contextlib.closing(loop_for(plan.load)) as loop:
        if not plan.proxied:
            return run_session(_session(plan, None), loop)
        from lb_client import proxy as _  # noqa: F401, PLC0415 -- only who asks for a proxy pays
        from lb_client.cli.call_via import proxy_for  # noqa: PLC0415 -- the same

        interrupts.unwind()  # an Envoy has to be ended again
        with proxy_for(plan.target, plan.cluster, plan.aim.zone) as proxy:
            return run_session(_session(plan, proxy), loop)


def _import_all() -> None:
    """Import what the session needs as long as Ctrl-C may leave at once."""
    from lb_client import aio, channelz, measurement, tracking  # noqa: F401, PLC0415 -- help needs none of it
    from lb_client.cli import call_live  # noqa: F401, PLC0415 -- the same


async def _session(plan: Plan, proxy: Proxy | None) -> Report:
    from lb_client.report import Question  # noqa: PLC0415 -- brings gRPC: help needs none of it

    question = Question(
        target=plan.target,
        policy=plan.policy.name,
        hash_key=_hash_key(plan),
        zone=plan.aim.zone,
        version=plan.aim.version,
        requested=plan.requested,
    )
    with Interruptible() as interruptible:
        if proxy is None:
            async with open_target(plan.target, plan.policy, ours=plan.ours, aim=plan.aim) as target:
                return await _measure(plan, target, question, interruptible)
        from lb_client.cli.call_via import open_through  # noqa: PLC0415 -- only who asks for a proxy pays

        question = replace(question, via="proxy", proxy=proxy.address, proxy_origin=proxy.origin)
        async with open_through(proxy.address, plan.target, plan.aim) as target:
            return await _measure(plan, target, question, interruptible)


async def _measure(plan: Plan, target: OpenTarget, question: Question, interruptible: Interruptible) -> Report:
    from lb_client.cli.client_loop import give_way  # noqa: PLC0415 -- brings gRPC: help needs none of it
    from lb_client.ejections import can_be_seen  # noqa: PLC0415 -- help needs none of it
    from lb_client.history.sightings import Rejections  # noqa: PLC0415 -- help needs none of it
    from lb_client.measurement import Measurement  # noqa: PLC0415 -- brings gRPC: help needs none of it

    await expect_room(target, plan.warm_up_timeout_s)
    if plan.ours:
        await expect_known(target, plan.aim, plan.target, plan.warm_up_timeout_s)
    prepared = plan.prepared
    if prepared is None:
        await _expect_endpoints(plan, target)
        prepared = await look_up(
            target.channel, plan.method, plan.data, metadata=plan.metadata, timeout_s=plan.warm_up_timeout_s
        )
    weights = _weights(plan, target)
    metadata = plan.metadata if weights is None else (*plan.metadata, (LOAD_KEY, "?"))
    labels = None
    if plan.ledger:
        from lb_client.ledger.labels import CallLabels  # noqa: PLC0415 -- only who asks for it pays

        labels = CallLabels(metadata)
    measurement = Measurement(
        target.channel,
        view=target.view,
        tracker=target.tracker,
        question=question,
        method=prepared.path,
        request=prepared.request,
        load=plan.load,
        metadata=metadata,
        labels=labels,
        with_latency=plan.detailed,
        weights=weights,
        ejects=not plan.proxied and can_be_seen(plan.policy),
    )
    warm_up = await measurement.warm_up(plan.warm_up_timeout_s)
    if warm_up.reason:
        raise _unreachable(plan, target, warm_up.reason)
    # What is there now stays: no collection goes through it while calls are measured.
    gc.freeze()
    gc.enable()
    give_way(plan.load)
    interruptible.begin(stop=measurement.stop, cut=measurement.abort)
    with Rejections(measurement.seen):
        await _run_and_show(plan, measurement, target)
    interruptible.end()
    answer = None
    if prepared.decode is not None and measurement.first_answer is not None:
        answer = prepared.decode(measurement.first_answer)
    recorder = measurement.recorder
    if prepared.path == f"/{GREETER}" and recorder.calls and recorder.statuses.get("UNIMPLEMENTED") == recorder.calls:
        what = await advice(target.channel, metadata=plan.metadata)
        raise Failure(f"{plan.target} does not serve {GREETER}" + (f": {what}" if what else ""))
    return measurement.report(answer, await _told(plan, measurement))


def _hash_key(plan: Plan) -> str:
    """The calls' value of the header by which they are hashed; "" where they have none."""
    header = getattr(plan.policy, "header", None)
    return ",".join(value for key, value in plan.metadata if key == header)


def _weights(plan: Plan, target: OpenTarget) -> WeightBook | None:
    from lb_client.policy import WeightedRoundRobin  # noqa: PLC0415 -- help needs none of it
    from lb_client.weights import WeightBook  # noqa: PLC0415 -- the same

    if plan.proxied or not isinstance(plan.policy, WeightedRoundRobin):
        return None
    tracker = target.tracker
    return WeightBook(plan.policy, lambda: tracker.now.ready if tracker.now is not None else ())


async def _run_and_show(plan: Plan, measurement: Measurement, target: OpenTarget) -> None:
    from lb_client.cli.call_live import show_progress, watch_spread  # noqa: PLC0415 -- needs what Measurement brings
    from lb_client.history.sightings import follow_connections  # noqa: PLC0415 -- the same

    beside: list[Coroutine[Any, Any, None]] = []
    if plan.detailed and target.view is not None and target.tracker.knows_registry:
        beside.append(follow_connections(target.view, target.tracker, measurement.seen))
    if not plan.watch:
        await _run_beside(measurement, *beside, show_progress(measurement))
        return
    from lb_client.cli.call_witnesses import cluster_behind, hearing  # noqa: PLC0415 -- the same

    async with hearing(cluster_behind(plan.target, plan.cluster), measurement.seen):
        title = f"{plan.policy.name} over {plan.target}"
        await _run_beside(measurement, *beside, watch_spread(measurement, title, measurement.seen))


async def _run_beside(measurement: Measurement, *beside: Coroutine[Any, Any, None]) -> None:
    from lb_client.cli.client_loop import where_answers_come  # noqa: PLC0415 -- brings gRPC: help needs none of it

    tasks = [asyncio.create_task(one) for one in beside]
    try:
        await where_answers_come(measurement.run())
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _told(plan: Plan, measurement: Measurement) -> Told:
    """What the cluster says of the run, where there is more to tell than that all went well."""
    from lb_client.history.recording import NOBODY_TOLD  # noqa: PLC0415 -- as above

    labels = measurement.recording.labels
    if labels is None and not measurement.recorder.failed and not measurement.tracker.events:
        return NOBODY_TOLD
    from lb_client.cli.call_witnesses import ask_cluster, cluster_behind, nobody_to_ask  # noqa: PLC0415 -- as above

    run = None if labels is None else labels.run
    folder = cluster_behind(plan.target, plan.cluster)
    return nobody_to_ask(run) if folder is None else await ask_cluster(folder, run)


async def _expect_endpoints(plan: Plan, target: OpenTarget) -> None:
    """Questions to a target of ours fail at once while it has no endpoint: say so in the words of the registry."""
    look = await target.tracker.first(plan.warm_up_timeout_s)
    if target.tracker.knows_registry and (look is None or not look.ready):
        raise _unreachable(plan, target, "no answer")


def _unreachable(plan: Plan, target: OpenTarget, reason: str) -> Failure:
    return unreachable(target, plan.target, ours=plan.ours, timeout_s=plan.warm_up_timeout_s, reason=reason)
