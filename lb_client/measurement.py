"""One measurement from warm-up to report: a channel, what is known of its endpoints, the calls, what came of them."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from lb_client.by_policy import RING_HASH
from lb_client.driver import CallDriver, Load, Run
from lb_client.ejections import HEARD_WITHIN_S, even_shares, follow_ejections
from lb_client.history.recording import NOBODY_TOLD, RunRecording, Told
from lb_client.records import CallRecorder
from lb_client.report import Question, Report, build_report
from lb_client.verdict import PICK_FIRST
from lb_client.warmup import WarmUp, warm_up

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import grpc.aio

    from lb_client.channelz import ChannelView, Traffic
    from lb_client.history.happenings import Happening
    from lb_client.history.history import History
    from lb_client.ledger.labels import CallLabels
    from lb_client.tracking import MembershipTracker
    from lb_client.weights import WeightBook


class Measurement:
    """Warm-up, then one run. The channel and the tracker stay the caller's, and nothing else may use the channel.

    Args:
        channel: A stock channel.
        view: Its channelz view; None where core offers none.
        tracker: Who may get calls.
        question: What was asked for.
        method: `/package.Service/Method`, unary.
        request: The serialized request.
        load: How many, how fast.
        metadata: Sent with each call.
        labels: Names for the calls, with the same metadata, so that there is a ledger; None for none.
        with_latency: Whether to keep latencies over time too.
        recorder: Takes the calls' records; None for one of the usual kind.
        weights: Follows what endpoints report of their load; None where that makes no difference.
        ejects: Whether the policy ejects endpoints in a way that shows in the traffic.

    Attributes:
        recorder: What was recorded so far; `flush` first.
        recording: The same in slices of time, and by call where calls have names.
        seen: What else was seen or heard than members that come and go; to be added to while calls are made.
        tracker: As given.
        load: As given.
    """

    def __init__(
        self,
        channel: grpc.aio.Channel,
        *,
        view: ChannelView | None,
        tracker: MembershipTracker,
        question: Question,
        method: str,
        request: bytes,
        load: Load,
        metadata: Sequence[tuple[str, str]] = (),
        labels: CallLabels | None = None,
        with_latency: bool = False,
        recorder: CallRecorder | None = None,
        weights: WeightBook | None = None,
        ejects: bool = False,
    ) -> None:
        self._channel = channel
        self._view = view
        self._question = question
        self._metadata = tuple(metadata)
        self.load = load
        self.tracker = tracker
        self.recorder = CallRecorder() if recorder is None else recorder
        self.recording = RunRecording(self.recorder, labels, with_latency=with_latency)
        self.seen: list[Happening] = []
        self._weights = weights
        self._ejects = ejects
        if ejects:
            self.recorder.hold_s = HEARD_WITHIN_S
        self._driver = CallDriver(
            channel, method, request, self.recording, load, metadata=metadata, labels=labels, weights=weights
        )
        self._warm_up: WarmUp | None = None
        self._run: Run | None = None

    @property
    def first_answer(self) -> bytes | None:
        """The first answer's bytes, None while there is none."""
        return self._driver.first_answer

    def traffic(self) -> dict[str, Traffic]:
        """By address, what channelz saw sent since the run began; empty without a view. Looks at each subchannel."""
        if self._view is None:
            return {}
        self._view.look()
        return self._view.traffic()

    async def warm_up(self, timeout_s: float) -> WarmUp:
        """Connect every endpoint, without sending the method."""
        await self.tracker.first(timeout_s)
        self._warm_up = await warm_up(
            self._channel,
            timeout_s=timeout_s,
            # Under ring_hash an endpoint is connected when a call is hashed to it, not before.
            picks_one=self._question.policy in (PICK_FIRST, RING_HASH),
            drawn=self._weights is not None,
            heard=None if self._weights is None else self._weights.hear,
            view=self._view,
            membership=(lambda: self.tracker.now) if self.tracker.knows_registry else None,
            metadata=self._metadata,
        )
        if self._weights is not None:
            # The checks' answers brought reports: core looks at them within two periods.
            await asyncio.sleep(2 * self._weights.period_s)
        return self._warm_up

    async def run(self) -> Run:
        """Send the calls. Cancelling it, or `abort`, cuts off those in flight."""
        self.tracker.look_again()
        if self._view is not None:
            self._view.reset()
        self.tracker.begin(self.recorder.mark)
        following = [asyncio.create_task(self.tracker.follow())]
        if self._ejects and self._view is not None:
            following.append(asyncio.create_task(follow_ejections(self._view, self.tracker, self._shares)))
        self.recording.traffic.begin_s = time.monotonic()
        if self._weights is not None:
            self._weights.begin(time.monotonic())
        try:
            self._run = await self._driver.run()
        finally:
            for task in following:
                task.cancel()
            await asyncio.gather(*following, return_exceptions=True)
        self.tracker.look_again()
        self.tracker.end()
        return self._run

    def _shares(self) -> Mapping[str, float]:
        """Who should get which part of the calls now."""
        shares = even_shares(self.tracker.now)
        return {**shares, **self._weights.shares} if self._weights is not None else shares

    async def flush(self) -> None:
        """Bring the recorder up to date."""
        await self._driver.flush()

    def stop(self) -> None:
        """Start no further call; those in flight end by themselves."""
        self._driver.stop()

    def finish(self) -> None:
        """Start no further call: the time is up, and nobody ended it before."""
        self._driver.finish()

    def abort(self) -> None:
        """Cut off what is in flight; it is not counted."""
        self._driver.abort()

    def report(self, answer: Any = None, told: Told = NOBODY_TOLD) -> Report:
        """The report of the run.

        Args:
            answer: The first answer, decoded, where somebody wants to see it.
            told: What the cluster and its replicas say of the run.
        """
        if self._run is None or self._warm_up is None:
            raise RuntimeError("nothing was measured: warm_up() and run() go first")
        looks = self.tracker.looks
        return build_report(
            self._question,
            run=self._run,
            recorder=self.recorder,
            warm_up=self._warm_up,
            looks=looks if self._weights is None else self._weights.told(looks, self.recorder.segments),
            loads=None if self._weights is None else self._weights.loads,
            events=self.tracker.events,
            traffic=self.traffic(),
            bound=self.load.concurrency,
            answer=answer,
            history=self._history(self._run, told),
        )

    def _history(self, run: Run, told: Told) -> History | None:
        """The run over time; None where nothing happened and nobody wants to see it all the same."""
        asked = self.recording.with_latency or self.recording.labels is not None
        if not (asked or self.tracker.events or told.events or self.seen):
            return None
        from lb_client.history.history import history_of  # noqa: PLC0415 -- most runs have no history

        return history_of(run, self.recording, self.tracker.events, told, seen=self.seen)
