"""One `lbdemo call` from open channel to report: prepare, warm up, call, show, be interrupted."""

from __future__ import annotations

import asyncio
import gc
import logging
import selectors
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import click

from backends import file_limit
from lb_client.cli import interrupts
from lb_client.cli.call_request import GREETER, Prepared, advice, look_up
from lb_client.cli.call_target import OpenTarget, WhollyToldError, open_target, unreachable
from lb_client.cli.common import Failure
from lb_client.phrases import printable

if TYPE_CHECKING:
    from lb_client.driver import Load
    from lb_client.measurement import Measurement
    from lb_client.report import Report

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
    # Not epoll, whose timeouts are rounded up to whole milliseconds: an open loop would send each call half a
    # millisecond late. gRPC core polls its connections itself; the loop has two descriptors.
    runner = asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selectors.SelectSelector()))
    try:
        with runner:
            return runner.run(_session(plan))
    except asyncio.CancelledError:  # nobody but Ctrl-C cancels it
        raise KeyboardInterrupt from None
    finally:
        interrupts.pass_over()


def _import_all() -> None:
    """Import what the session needs as long as Ctrl-C may leave at once."""
    from lb_client import aio, channelz, measurement, tracking  # noqa: F401, PLC0415 -- help needs none of it
    from lb_client.cli import call_live  # noqa: F401, PLC0415 -- the same


class Warnings(logging.Handler):
    """Keeps what the resolver warns of until the screen is free. Health and membership are the report's to tell."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._lines: list[str] = []
        self._more = 0

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
        if line in self._lines:
            return
        if len(self._lines) < MAX_WARNINGS:
            self._lines.append(line)
        else:
            self._more += 1

    def forget(self) -> None:
        """Drop what was kept."""
        self._lines.clear()

    def print(self) -> None:
        """Write the lines to stderr, and stop listening."""
        logging.getLogger("resolver").removeHandler(self)
        for line in self._lines:
            click.echo(f"lbdemo: {printable(line)}", err=True)
        if self._more:
            click.echo(f"lbdemo: and {self._more} more warnings of this kind", err=True)


async def _session(plan: Plan) -> Report:
    with _Interruptible() as interruptible:
        try:
            async with open_target(plan.target, plan.policy, ours=plan.ours) as target:
                return await _measure(plan, target, interruptible)
        finally:
            # What core has still to tell of calls that were cut off finds this loop closed, and the control plane's
            # loop logs that: "Exception in callback PollerCompletionQueue._handle_events".
            logging.getLogger("asyncio").disabled = True


async def _measure(plan: Plan, target: OpenTarget, interruptible: _Interruptible) -> Report:
    from lb_client.measurement import Measurement  # noqa: PLC0415 -- brings gRPC: help needs none of it
    from lb_client.report import Question  # noqa: PLC0415 -- the same

    await _expect_room(plan, target)
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
        question=Question(target=plan.target, policy=plan.policy, requested=plan.requested),
        method=prepared.path,
        request=prepared.request,
        load=plan.load,
        metadata=plan.metadata,
    )
    warm_up = await measurement.warm_up(plan.warm_up_timeout_s)
    if warm_up.reason:
        raise _unreachable(plan, target, warm_up.reason)
    # What is there now stays: no collection goes through it while calls are measured.
    gc.freeze()
    gc.enable()
    interruptible.begin(measurement)
    await _run_and_show(plan, measurement)
    interruptible.end()
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


class _Interruptible:
    """What Ctrl-C does to a session, from its first step to its last. Needs the main thread and a running loop.

    Before the first call it cancels the session. While calls are made it ends the run, and the report comes; again, or
    GRACE_S later, it cuts off what is in flight. After the last call it changes nothing: the report is under way.
    """

    def __init__(self) -> None:
        self._session = asyncio.current_task()
        self._loop = asyncio.get_running_loop()
        self._measurement: Measurement | None = None
        self._pressed = 0
        self._over = False

    def __enter__(self) -> Self:
        # Not by the loop: when it closes, it first closes the pipe that signals are told on, then brings
        # KeyboardInterrupt back.
        interrupts.tell(lambda: self._loop.call_soon_threadsafe(self._interrupt))
        return self

    def __exit__(self, *_: object) -> None:
        interrupts.pass_over()

    def begin(self, measurement: Measurement) -> None:
        """The first call is about to be sent."""
        self._measurement = measurement

    def end(self) -> None:
        """The last call has ended."""
        self._over = True

    def _interrupt(self) -> None:
        self._pressed += 1
        if self._over:
            return
        if self._measurement is None:
            if self._pressed == 1 and self._session is not None:
                self._session.cancel()
        elif self._pressed == 1:
            self._measurement.stop()
            self._loop.call_later(GRACE_S, self._measurement.abort)
        else:
            self._measurement.abort()


async def _expect_room(plan: Plan, target: OpenTarget) -> None:
    """Two connections for each endpoint, calls on one and health on the other, before core runs out of descriptors."""
    if target.tracker.knows_registry:
        look = await target.tracker.first(plan.warm_up_timeout_s)
        count = len(look.members) if look is not None else 0
        needed = file_limit.LEAST + 2 * count
        if line := file_limit.shortage(f"calls to {count} endpoints", needed, limit=file_limit.allowed()):
            raise WhollyToldError(line)


async def _expect_endpoints(plan: Plan, target: OpenTarget) -> None:
    """Questions to a target of ours fail at once while it has no endpoint: say so in the words of the registry."""
    look = await target.tracker.first(plan.warm_up_timeout_s)
    if target.tracker.knows_registry and (look is None or not look.ready):
        raise _unreachable(plan, target, "no answer")


def _unreachable(plan: Plan, target: OpenTarget, reason: str) -> Failure:
    return unreachable(target, plan.target, ours=plan.ours, timeout_s=plan.warm_up_timeout_s, reason=reason)
