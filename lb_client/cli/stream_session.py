"""One `lbdemo stream` from open channel to report: warm up, talk, show, be interrupted, ask the replicas."""

from __future__ import annotations

import asyncio
import sys
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from lb_client.cli import interrupts
from lb_client.cli.call_screen import Screen
from lb_client.cli.call_target import OpenTarget, WhollyToldError, open_target, unreachable
from lb_client.cli.common import Failure
from lb_client.cli.policy_options import policy_of
from lb_client.cli.session import Interruptible, Warnings, expect_room, run_session
from lb_client.paper import BOLD, GREEN, Paper
from lb_client.phrases import counted
from lb_client.script import Kind
from lb_client.stream_page import title
from lb_client.stream_report import StreamReport
from lb_client.talks import Talks, Witnesses
from lb_client.timeline import Timeline
from lb_client.warmup import warm_up

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from lb_client.cli.call_via import Proxy
    from lb_client.script import Moment, Script
    from lb_client.warmup import WarmUp

MOST_MOMENTS = 10_000
SHOWN, LAST_SHOWN = 200, 6
PATIENCE_S, TICK_S = 1.0, 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamPlan:
    """Everything the command was told, checked.

    Attributes:
        target: Whom to talk to.
        ours: Whether the target is one for lb_client's resolvers.
        policy: Its name.
        proxied: Whether an Envoy balances instead of this client.
        cluster: Whose proxy to use; None for a target that was given.
        script: What is said on each stream.
        streams: How many.
        uneven: Whether the n-th has n times as many lines.
        warm_up_timeout_s: The longest that warm-up may take.
        timeline: Whether to print the conversation as it goes.
        requested: Every input, for the report to repeat.
    """

    target: str
    ours: bool
    policy: str
    proxied: bool
    cluster: str | None
    script: Script
    streams: int
    uneven: bool
    warm_up_timeout_s: float
    timeline: bool
    requested: dict[str, Any]


def carry_out(plan: StreamPlan) -> StreamReport:
    """Run the plan on a loop of its own, in the main thread.

    Raises:
        Failure: Nobody could be talked to.
        KeyboardInterrupt: Ctrl-C before the first stream.
    """
    warnings = Warnings.of_resolver()
    try:
        if not plan.proxied:
            return run_session(_session(plan, None))
        from lb_client import proxy as _  # noqa: F401, PLC0415 -- only who asks for a proxy pays
        from lb_client.cli.call_via import proxy_for  # noqa: PLC0415 -- the same

        interrupts.unwind()  # an Envoy has to be ended again
        with proxy_for(plan.target, plan.cluster) as proxy:
            return run_session(_session(plan, proxy))
    except WhollyToldError:
        warnings.forget()
        raise
    finally:
        warnings.print()


class _Scribe:
    """Keeps the moments of one stream and, if asked to, prints each as it comes; of a long one, not every line."""

    def __init__(self, plan: StreamPlan) -> None:
        self.moments: list[Moment] = []
        self._count = 0
        self._left_out: deque[Moment] = deque(maxlen=LAST_SHOWN)
        self._skipped = 0
        self._timeline: Timeline | None = None
        if plan.timeline:
            paper = Paper.of(sys.stdout)
            self._timeline = Timeline(paper, status=plan.script.mode.status)
            policy = f"{plan.policy} in a proxy" if plan.proxied else plan.policy
            name = title(policy, plan.target, plan.script.mode.value, paper)
            self._print("", f" {paper.paint(name, BOLD)}", "", self._timeline.head())

    def tell(self, moment: Moment) -> None:
        """One moment."""
        if len(self.moments) < MOST_MOMENTS or moment.kind not in (Kind.WROTE, Kind.READ):
            self.moments.append(moment)
        if self._timeline is None:
            return
        if moment.kind in (Kind.WROTE, Kind.READ):
            self._count += 1
            if self._count > SHOWN:
                self._skipped += 1
                self._left_out.append(moment)
                return
        elif self._skipped:
            hidden = self._skipped - len(self._left_out)
            self._print(*([f" … {counted(hidden, 'line')} more"] if hidden else []))
            self._print(*(line for late in self._left_out for line in self._timeline.lines(late)))
            self._skipped = 0
            self._left_out.clear()
        self._print(*self._timeline.lines(moment))

    @staticmethod
    def _print(*lines: str) -> None:
        for line in lines:
            click.echo(line, color=True)


def _opened(plan: StreamPlan, proxy: Proxy | None) -> AbstractAsyncContextManager[OpenTarget]:
    if proxy is None:
        return open_target(plan.target, policy_of(plan.policy), ours=plan.ours)
    from lb_client.cli.call_via import open_through  # noqa: PLC0415 -- only who asks for a proxy pays

    return open_through(proxy.address, plan.target)


async def _session(plan: StreamPlan, proxy: Proxy | None) -> StreamReport:
    with Interruptible() as interruptible:
        async with _opened(plan, proxy) as target, Witnesses() as witnesses:
            await expect_room(target, plan.warm_up_timeout_s)
            warmed = await _warm_up(plan, target)
            target.tracker.look_again()
            look = target.tracker.now
            scribe = _Scribe(plan) if plan.streams == 1 else None
            talks = Talks(
                target.channel,
                plan.script,
                streams=plan.streams,
                uneven=plan.uneven,
                tell=scribe.tell if scribe is not None else None,
                witnesses=witnesses,
            )
            interruptible.begin(stop=talks.stop, cut=talks.cut)
            await _run_and_show(talks)
            interruptible.end()
            target.tracker.look_again()
            now = target.tracker.now
            if all(talk.status == "UNIMPLEMENTED" for talk in talks.talks):
                raise Failure(
                    f"{plan.target} does not serve lbdemo.v1.Conversation: replicas do that were given no --service"
                )
            views = await witnesses.views(talks.talks)
            return StreamReport(
                target=plan.target,
                policy=plan.policy,
                via="client" if proxy is None else "proxy",
                proxy="" if proxy is None else proxy.address,
                proxy_origin="" if proxy is None else proxy.origin,
                script=plan.script,
                requested=plan.requested,
                talks=talks.talks,
                ready=look.ready if look is not None else (),
                ready_now=now.ready if now is not None else (),
                warm_up=warmed,
                elapsed_s=talks.elapsed_s,
                stopped=talks.stopped,
                views=views,
                moments=tuple(scribe.moments) if scribe is not None else (),
            )


async def _warm_up(plan: StreamPlan, target: OpenTarget) -> WarmUp:
    tracker = target.tracker
    await tracker.first(plan.warm_up_timeout_s)
    warmed = await warm_up(
        target.channel,
        timeout_s=plan.warm_up_timeout_s,
        picks_one=plan.policy == "pick_first",
        view=target.view,
        membership=(lambda: tracker.now) if tracker.knows_registry else None,
        metadata=plan.script.metadata,
    )
    if warmed.reason:
        raise unreachable(target, plan.target, ours=plan.ours, timeout_s=plan.warm_up_timeout_s, reason=warmed.reason)
    return warmed


async def _run_and_show(talks: Talks) -> None:
    showing = asyncio.create_task(_show_progress(talks)) if len(talks.talks) > 1 else None
    try:
        await talks.run()
    finally:
        if showing is not None:
            showing.cancel()
            await asyncio.gather(showing, return_exceptions=True)


async def _show_progress(talks: Talks) -> None:
    """A line on stderr, if that is a terminal and it takes more than a second."""
    if not sys.stderr.isatty():
        return
    began_s = time.monotonic()
    await asyncio.sleep(PATIENCE_S)
    with Screen(sys.stderr) as screen:
        while True:
            paper, total = screen.paper, len(talks.talks)
            ended = sum(bool(talk.status) for talk in talks.talks)
            messages = sum(talk.sent + talk.received for talk in talks.talks)
            moved = sum(len(talk.moves) for talk in talks.talks)
            line = f" {paper.paint(paper.bar(ended / total, 24), GREEN)} {total - ended:,} of {total:,} streams open"
            rate = messages / (time.monotonic() - began_s)
            line += f"  {counted(messages, 'message')}  {rate:,.0f}/s" + (f"  {moved:,} moved" if moved else "")
            screen.draw([line])
            await asyncio.sleep(TICK_S)
