"""The weights that endpoints were given from what they report (gRFC A58), followed beside gRPC core. Pure.

Core keeps its weights to itself, and takes ORCA out of what the application sees. The lab's replicas send the same
figures as text to who asks; from these it is worked out here, as core does it, which share each was to get.
"""

from __future__ import annotations

import bisect
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from lb_client.aim import Expected
from protos.orca import LOAD_KEY, Load, read_load

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from lb_client.membership import Member, Membership
    from lb_client.records import Segment
    from resolver.policy import WeightedRoundRobin

ADDRESS_KEY = "lbdemo-address"

MOST_SLOTS = 4096
"""More are merged two by two: what is expected is a sum, and stays the same."""


def shares_of(weights: Mapping[str, float], ready: Collection[str]) -> dict[str, float]:
    """Each endpoint's part of the calls: without a weight the average one; with fewer than two weights all the same."""
    known = [weights[address] for address in ready if weights.get(address, 0.0) > 0]
    if len(known) < 2:
        return dict.fromkeys(ready, 1 / len(ready)) if ready else {}
    average = math.fsum(known) / len(known)
    own = {address: weights.get(address, 0.0) or average for address in ready}
    total = math.fsum(own.values())
    return {address: weight / total for address, weight in own.items()}


def shares_among(weights: Mapping[str, float], members: Iterable[Member]) -> dict[str, float]:
    """The same for members of several versions: each version its part, and within it by weight."""
    parts: dict[str, list[Member]] = {}
    for member in members:
        parts.setdefault(member.expected.part, []).append(member)
    found: dict[str, float] = {}
    for part in parts.values():
        share = math.fsum(member.expected.share or 0.0 for member in part) if len(parts) > 1 else 1.0
        inner = shares_of(weights, [member.address for member in part])
        found.update((address, share * own) for address, own in inner.items())
    return found


@dataclass(slots=True)
class _Slot:
    """A time within which the weights in use were the same.

    Attributes:
        begin_s: When it began.
        shares: By address.
        calls: How many calls began within it.
        expected: By address, how many of them it was to get.
    """

    begin_s: float
    shares: dict[str, float]
    calls: int
    expected: dict[str, float]


class WeightBook:
    """Follows the reports and counts the calls. Used on one loop.

    Args:
        policy: What core was told.
        ready: Who may get calls now.
    """

    def __init__(self, policy: WeightedRoundRobin, ready: Callable[[], Iterable[Member]]) -> None:
        self._policy = policy
        self._ready = ready
        self._weights: dict[str, float] = {}
        self._loads: dict[str, Load] = {}
        self._due_s = -math.inf
        self._slots: list[_Slot] = [_Slot(-math.inf, {}, 0, {})]

    @property
    def period_s(self) -> float:
        """Between two looks of core at the weights."""
        return self._policy.weight_update_period_s

    @property
    def shares(self) -> dict[str, float]:
        """By address, which part of the calls each gets by the weights in use."""
        return self._slots[-1].shares

    @property
    def loads(self) -> dict[str, Load]:
        """By address, what was reported last."""
        return dict(self._loads)

    def hear(self, trailing: Any) -> None:
        """An answer's trailing metadata, with the report in it, if there is one."""
        report, address = trailing.get(LOAD_KEY), trailing.get(ADDRESS_KEY)
        load = read_load(report) if isinstance(report, str) else None
        if load is not None and address:
            weight = load.weight(self._policy.error_utilization_penalty)
            if weight:
                self._weights[address] = weight
            self._loads[address] = load

    def add(self, start_s: float, end_s: float, trailing: Any) -> None:
        """A call that ended, and the trailing metadata of its answer."""
        self.hear(trailing)
        if end_s >= self._due_s:
            self._look(end_s)
        slot = self._slot_at(start_s)
        slot.calls += 1
        for name, share in slot.shares.items():
            slot.expected[name] = slot.expected.get(name, 0.0) + share

    def begin(self, now_s: float) -> None:
        """The calls that are judged begin; the reports so far hold."""
        self._slots = [_Slot(-math.inf, shares_among(self._weights, self._ready()), 0, {})]
        self._due_s = now_s + self._policy.weight_update_period_s

    def expected(self, begin_s: float, end_s: float) -> dict[str, float]:
        """By address, its part of the calls that began between two moments; empty where nothing was reported."""
        if not self._loads:
            return {}
        found: dict[str, float] = {}
        for slot, after in zip(self._slots, [*self._slots[1:], None], strict=True):
            if slot.begin_s < end_s and (after is None or after.begin_s > begin_s):
                for address, number in slot.expected.items():
                    found[address] = found.get(address, 0.0) + number
        total = math.fsum(found.values())
        return {address: number / total for address, number in found.items()} if total else {}

    def told(self, looks: Sequence[Membership], segments: Sequence[Segment]) -> tuple[Membership, ...]:
        """The looks, with what each member was to get while they held."""
        ends = [segment.begin_s for segment in segments[1:]] + [math.inf]
        by_look = {
            segment.look: self.expected(segment.begin_s, end_s)
            for segment, end_s in zip(segments, ends, strict=True)
            if segment.settled and segment.counts
        }
        return tuple(_with_shares(look, by_look.get(number, {})) for number, look in enumerate(looks))

    def _look(self, now_s: float) -> None:
        self._due_s = now_s + self._policy.weight_update_period_s
        shares = shares_among(self._weights, self._ready())
        if shares != self._slots[-1].shares:
            self._slots.append(_Slot(now_s, shares, 0, {}))
        if len(self._slots) > MOST_SLOTS:
            self._slots = list(_merged(self._slots))

    def _slot_at(self, at_s: float) -> _Slot:
        return self._slots[max(0, bisect.bisect_right(self._slots, at_s, key=lambda slot: slot.begin_s) - 1)]


def _merged(slots: Sequence[_Slot]) -> Iterable[_Slot]:
    for first, second in zip(slots[::2], slots[1::2], strict=False):
        expected = dict(first.expected)
        for address, number in second.expected.items():
            expected[address] = expected.get(address, 0.0) + number
        yield _Slot(first.begin_s, second.shares, first.calls + second.calls, expected)
    if len(slots) % 2:
        yield slots[-1]


def _with_shares(look: Membership, shares: Mapping[str, float]) -> Membership:
    if not shares:
        return look
    members = tuple(
        replace(member, expected=Expected(share=shares.get(member.address, 0.0), drawn=True))
        if member in look.ready
        else member
        for member in look.members
    )
    return replace(look, members=members)
