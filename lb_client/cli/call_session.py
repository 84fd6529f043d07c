"""One `lbdemo call` from open channel to report: prepare, warm up, call, show, be interrupted."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import selectors
import signal
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import click

from lb_client.cli.call_request import GREETER, Prepared, advice, look_up
from lb_client.cli.call_target import OpenTarget, open_target, unreachable
from lb_client.cli.common import Failure
from lb_client.phrases import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lb_client.cli.call_via import Proxy
    from lb_client.driver import Load
    from lb_client.measurement import Measurement
    from lb_client.report import Question, Report

GRACE_S = 1.0
"""How long calls in flight may still take after Ctrl-C."""

MAX_WARNINGS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything the command was told, checked.

    Attributes:
        target: Whom to call.
        ours: Whether the target is one for lb_client's resolvers.
        policy: Its name.
        proxied: Whether an Envoy balances instead of this client.
        cluster: Whose proxy to use; None for a target that was given.
        load: How many, how fast.
        prepared: Method and request; None when they are to be looked up by `method` and `data`.
        method: `package.Service/Method`.
        data: JSON for it.
        metadata: Sent with each call.
        warm_up_timeout_s: The longest that warm-up may take.
        watch: Whether to show the spread live.
        requested: Every input, for the report to repeat.
    """

    target: str
    ours: bool
    policy: str
    proxied: bool
    cluster: str | None
    load: Load
    prepared: Prepared | None
    method: str
    data: str
    metadata: tuple[tuple[str, str], ...]
    warm_up_timeout_s: float
    watch: bool
    requested: dict[str, Any]


def carry_out(plan: Plan) -> Report:
    """Run the plan on a loop of its own, in the main thread.

    Raises:
        Failure: Nothing could be called.
        click.UsageError: The data does not fit the method.
    """
    warnings = Warnings.of_resolver()
    try:
        return _run(plan)
    finally:
        gc.enable()
        warnings.print()


def _run(plan: Plan) -> Report:
    if not plan.proxied:
        return _run_through(plan, None)
    from lb_client.cli.call_via import proxy_for  # noqa: PLC0415 -- only who asks for a proxy pays

    with proxy_for(plan.target, plan.cluster) as proxy:
        return _run_through(plan, proxy)


def _run_through(plan: Plan, proxy: Proxy | None) -> Report:
    # Not epoll, whose timeouts are rounded up to whole milliseconds: an open loop would send each call half a
    # millisecond late. gRPC core polls its connections itself; the loop has two descriptors.
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selectors.SelectSelector())) as runner:
        return runner.run(_session(plan, proxy))


class Warnings(logging.Handler):
    """Keeps what the resolver warns of until the screen is free. Health and membership are the report's to tell."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._lines: list[str] = []

    @classmethod
    def of_resolver(cls) -> Self:
        """A handler that takes all that the resolver warns of from now on."""
        handler = cls()
        logging.getLogger("resolver").addHandler(handler)
        logging.getLogger("resolver.snapshots").setLevel(logging.ERROR)
        return handler

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line, once, and no more than a screen can take."""
        line = record.getMessage()
        if len(self._lines) < MAX_WARNINGS and line not in self._lines:
            self._lines.append(line)

    def print(self) -> None:
        """Write the lines to stderr, and stop listening."""
        logging.getLogger("resolver").removeHandler(self)
        for line in self._lines:
            click.echo(f"lbdemo: {printable(line)}", err=True)


async def _session(plan: Plan, proxy: Proxy | None) -> Report:
    from lb_client.report import Question  # noqa: PLC0415 -- brings gRPC: help needs none of it

    question = Question(target=plan.target, policy=plan.policy, requested=plan.requested)
    if proxy is None:
        async with open_target(plan.target, plan.policy, ours=plan.ours) as target:
            return await _measure(plan, target, question)
    from lb_client.cli.call_via import open_through  # noqa: PLC0415 -- only who asks for a proxy pays

    question = replace(question, via="proxy", proxy=proxy.address, proxy_origin=proxy.origin)
    async with open_through(proxy.address, plan.target) as target:
        return await _measure(plan, target, question)


async def _measure(plan: Plan, target: OpenTarget, question: Question) -> Report:
    from lb_client.measurement import Measurement  # noqa: PLC0415 -- brings gRPC: help needs none of it

    prepared = plan.prepared
    if prepared is None:
        await _expect_endpoints(plan, target)
        prepared = await look_up(
            target.channel, plan.method, plan.data, metadata=plan.metadata, timeout_s=plan.warm_up_timeout_s
        )
    measurement = Measurement(
        target.channel,
        view=target.view,
        tracker=target.tracker,
        question=question,
        method=prepared.path,
        request=prepared.request,
        load=plan.load,
        metadata=plan.metadata,
    )
    warm_up = await measurement.warm_up(plan.warm_up_timeout_s)
    if warm_up.reason:
        raise Failure(_unreachable(plan, target, warm_up.reason))
    # What is there now stays: no collection goes through it while calls are measured.
    gc.freeze()
    gc.enable()
    with _interruptible(measurement):
        await _run_and_show(plan, measurement)
    answer = None
    if prepared.decode is not None and measurement.first_answer is not None:
        answer = prepared.decode(measurement.first_answer)
    recorder = measurement.recorder
    if prepared.path == f"/{GREETER}" and recorder.calls and recorder.statuses.get("UNIMPLEMENTED") == recorder.calls:
        what = await advice(target.channel, metadata=plan.metadata)
        raise Failure(f"{plan.target} does not serve {GREETER}" + (f": {what}" if what else ""))
    return measurement.report(answer)


async def _run_and_show(plan: Plan, measurement: Measurement) -> None:
    from lb_client.cli.call_live import show_progress, watch_spread  # noqa: PLC0415 -- needs what Measurement brings

    show = watch_spread(measurement, f"{plan.policy} over {plan.target}") if plan.watch else show_progress(measurement)
    showing = asyncio.create_task(show)
    try:
        await measurement.run()
    finally:
        showing.cancel()
        await asyncio.gather(showing, return_exceptions=True)


@contextlib.contextmanager
def _interruptible(measurement: Measurement) -> Iterator[None]:
    """Ctrl-C ends the run and still reports; again, or GRACE_S later, it cuts off what is in flight."""
    loop = asyncio.get_running_loop()
    pressed = 0

    def interrupt() -> None:
        nonlocal pressed
        pressed += 1
        if pressed == 1:
            measurement.stop()
            loop.call_later(GRACE_S, measurement.abort)
        else:
            measurement.abort()

    loop.add_signal_handler(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGINT)


async def _expect_endpoints(plan: Plan, target: OpenTarget) -> None:
    """Questions to a target of ours fail at once while it has no endpoint: say so in the words of the registry."""
    look = await target.tracker.first(plan.warm_up_timeout_s)
    if target.tracker.knows_registry and (look is None or not look.ready):
        raise Failure(_unreachable(plan, target, "no answer"))


def _unreachable(plan: Plan, target: OpenTarget, reason: str) -> str:
    return unreachable(target, plan.target, ours=plan.ours, timeout_s=plan.warm_up_timeout_s, reason=reason)
