"""Warm-up: connect every endpoint before the count starts, without ever sending the user's method.

A new channel sends its first calls to whoever connects first (30 of 30 in a cold burst), and round_robin is exact only
between two pickers. So health checks go first, on the same channel, until one round of them has reached every endpoint
that can be connected: then the picker in use holds them all.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import grpc.aio

    from lb_client.channelz import ChannelView
    from lb_client.membership import Membership

METHOD = "/grpc.health.v1.Health/Check"
_EMPTY_REQUEST = b""  # a HealthCheckRequest for the server as a whole

# Core gives out a channel to a target that it cannot read, on which every call fails so, with UNKNOWN.
_LAME = "Failed to create channel"

_PAUSE_S = 0.002
_PROBE_TIMEOUT_S = 1.0
_ROUND_WAIT_S = 0.05
_RETRY_S = 0.05
# Without a view of the channel: so many probes in a round, and so many rounds that find nobody new.
_BLIND_PROBES, _BLIND_ROUNDS = 16, 3


@dataclass(frozen=True, slots=True)
class WarmUp:
    """How warm-up ended.

    Attributes:
        elapsed_s: What it took.
        complete: Whether every endpoint that should take calls was connected and picked.
        connected: Addresses that were, sorted.
        missing: Addresses that were not, sorted.
        reason: Why not a single call can be sent, in gRPC's words; "" when one can.
    """

    elapsed_s: float
    complete: bool
    connected: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    reason: str = ""


async def warm_up(
    channel: grpc.aio.Channel,
    *,
    timeout_s: float = 5.0,
    picks_one: bool = False,
    drawn: bool = False,
    heard: Callable[[Any], None] | None = None,
    view: ChannelView | None = None,
    membership: Callable[[], Membership | None] | None = None,
    metadata: Sequence[tuple[str, str]] = (),
) -> WarmUp:
    """Connect the channel's endpoints by health checks; an error in answer is as good as an answer.

    An address that refuses is not waited for, one that does not answer is, for `timeout_s`.

    Args:
        channel: Where the calls will go.
        timeout_s: The longest it may take.
        picks_one: The policy sends everything to one endpoint: one answer is enough.
        drawn: Nobody can be reached on purpose, as under weights.
        heard: Told the trailing metadata of each answer.
        view: The channel's channelz view; without one the answers' identity metadata has to do.
        membership: What the resolver knows now: the endpoints to wait for. None: those that the channel itself has.
        metadata: Sent with each check, as with the calls.
    """
    warming = _WarmingUp(
        channel,
        timeout_s=timeout_s,
        picks_one=picks_one,
        drawn=drawn,
        heard=heard,
        view=view,
        membership=membership,
        metadata=metadata,
    )
    return await warming.run()


@dataclass(frozen=True, slots=True)
class _Answer:
    """How one check ended: whether a server was reached, or none could be; why; which address the answer names."""

    reached: bool
    refused: bool = False
    reason: str = ""
    address: str = ""


class _WarmingUp:
    def __init__(
        self,
        channel: grpc.aio.Channel,
        *,
        timeout_s: float,
        picks_one: bool,
        drawn: bool,
        heard: Callable[[Any], None] | None,
        view: ChannelView | None,
        membership: Callable[[], Membership | None] | None,
        metadata: Sequence[tuple[str, str]],
    ) -> None:
        self._probe: Any = channel.unary_unary(METHOD)
        self._begin_s = time.monotonic()
        self._end_s = self._begin_s + timeout_s
        self._picks_one = picks_one
        self._drawn = drawn
        self._heard = heard
        self._view = view
        self._membership = membership
        self._metadata = tuple(metadata)
        self._failed: set[str] = set()  # addresses that could not be connected at least once
        self._pending: set[asyncio.Task[Any]] = set()

    async def run(self) -> WarmUp:
        try:
            reason = await self._first_answer()
            if reason:
                return WarmUp(time.monotonic() - self._begin_s, complete=False, missing=self._missing(), reason=reason)
            if self._view is None:
                return await self._blind()
            return await self._until_all_picked(self._view)
        finally:
            for task in self._pending:
                task.cancel()
            await asyncio.gather(*self._pending, return_exceptions=True)

    async def _first_answer(self) -> str:
        """Send checks until one reaches a server; the reason when none does."""
        while True:
            left_s = self._end_s - time.monotonic()
            answer = await self._check(max(0.001, min(_PROBE_TIMEOUT_S, left_s)))
            if answer.reached or self._connected():
                return ""
            # Refused by everybody is an answer too. But a target of ours is behind its registry by a moment.
            worth_waiting = not answer.refused or self._expected_by_registry()
            now_s = time.monotonic()
            if not worth_waiting or now_s + _RETRY_S >= self._end_s:
                return answer.reason or f"no answer within {now_s - self._begin_s:.2g} s"
            await asyncio.sleep(_RETRY_S if answer.refused else 0)

    async def _until_all_picked(self, view: ChannelView) -> WarmUp:
        while True:
            connected, waited_for = self._state(view)
            if connected and (self._picks_one or waited_for <= connected):
                picked = connected if self._picks_one else await self._round(view, connected)
                # Where chance picks, a round that misses somebody tells nothing: to be connected is all there is to be.
                if connected <= picked or self._is_drawn():
                    picked = connected
                    return self._result(picked, set() if self._picks_one else self._expected(view) - picked)
            if time.monotonic() >= self._end_s:
                return self._result(connected, self._expected(view) - connected)
            await asyncio.sleep(_PAUSE_S)

    def _is_drawn(self) -> bool:
        now = self._membership() if self._membership is not None else None
        return self._drawn or (now is not None and now.is_drawn)

    def _state(self, view: ChannelView) -> tuple[set[str], set[str]]:
        """Addresses that are connected, and those worth waiting for."""
        subchannels = view.look()
        self._failed |= {s.address for s in subchannels if s.state == "TRANSIENT_FAILURE"}
        connected = {s.address for s in subchannels if s.state == "READY"}
        self._failed -= connected
        expected = self._expected_by_registry()
        if expected is None:
            expected = {s.address for s in subchannels}
        else:
            # Behind the resolver by a moment: an endpoint that left is no endpoint to reach.
            connected &= expected
        return connected, expected - self._failed

    def _expected(self, view: ChannelView) -> set[str]:
        expected = self._expected_by_registry()
        return {s.address for s in view.look()} if expected is None else expected

    def _expected_by_registry(self) -> set[str] | None:
        now = self._membership() if self._membership is not None else None
        return None if now is None else set(now.ready_addresses)

    async def _round(self, view: ChannelView, connected: set[str]) -> set[str]:
        """One round of checks, as many as endpoints; the addresses that it reached."""
        view.reset()
        tasks = [asyncio.ensure_future(self._check(_PROBE_TIMEOUT_S)) for _ in connected]
        self._pending.update(tasks)
        # A server that connects and never answers was picked all the same: it is not waited for.
        done, _ = await asyncio.wait(tasks, timeout=min(_ROUND_WAIT_S, max(0.001, self._end_s - time.monotonic())))
        self._pending -= done
        view.look()
        return {address for address, traffic in view.traffic().items() if traffic.started} & connected

    async def _blind(self) -> WarmUp:
        """Without channelz: rounds of checks until the answers name nobody new."""
        seen: set[str] = set()
        quiet = 0
        while quiet < _BLIND_ROUNDS and time.monotonic() < self._end_s:
            answers = await asyncio.gather(*(self._check(_PROBE_TIMEOUT_S) for _ in range(_BLIND_PROBES)))
            found = {answer.address for answer in answers if answer.address}
            quiet = quiet + 1 if found <= seen else 0
            seen |= found
            if self._picks_one:
                break
        # Where nobody says who he is, nobody can be missed.
        expected = (self._expected_by_registry() or set()) if seen else set()
        return self._result(seen, expected - seen)

    async def _check(self, timeout_s: float) -> _Answer:
        import grpc  # noqa: PLC0415 -- for its types; the caller has a channel, so it is loaded already

        call = self._probe(_EMPTY_REQUEST, timeout=timeout_s, metadata=self._metadata)
        try:
            await call
            trailing = await call.trailing_metadata()
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.UNAVAILABLE:
                return _Answer(reached=False, refused=True, reason=error.details() or "UNAVAILABLE")
            if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                return _Answer(reached=False)
            if (error.details() or "").startswith(_LAME):
                return _Answer(reached=False, refused=True, reason=error.details() or "")
            trailing = error.trailing_metadata()
        if self._heard is not None:
            self._heard(trailing or {})
        return _Answer(reached=True, address=str((trailing and trailing.get("lbdemo-address")) or ""))

    def _connected(self) -> bool:
        return self._view is not None and any(s.state == "READY" for s in self._view.look())

    def _missing(self) -> tuple[str, ...]:
        expected = self._expected_by_registry()
        return tuple(sorted(expected or ()))

    def _result(self, connected: set[str], missing: set[str]) -> WarmUp:
        elapsed_s = time.monotonic() - self._begin_s
        return WarmUp(elapsed_s, not missing, tuple(sorted(connected)), tuple(sorted(missing)))
