"""What came of a play, to be judged and reported: who took calls when, what was done when, all calls. Values only."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Protocol

    from lb_client.scenario.call_log import Call
    from lb_client.scenario.model import Moment, Step

    class Calls(Protocol):
        """All calls of a play."""

        def between(self, begin_s: float, end_s: float) -> Iterator[Call]:
            """Those that started then."""


@dataclass(frozen=True, slots=True)
class Done:
    """One doing of a step.

    Attributes:
        step: Which.
        begin_s: When it was begun (`time.monotonic`).
        end_s: When it was done.
        whom: The replicas that it was done to.
        error: Why it could not be done; "" for done.
    """

    step: Step
    begin_s: float
    end_s: float
    whom: tuple[str, ...] = ()
    error: str = ""


class Happened(NamedTuple):
    """Something that the cluster or the channel told.

    Attributes:
        at_s: When (`time.monotonic`).
        subject: The replica; "" for the cluster or the client as a whole.
        kind: What.
        detail: One line, where there is more to say.
    """

    at_s: float
    subject: str
    kind: str
    detail: str = ""

    @property
    def text(self) -> str:
        """As an expectation names it: `r2 died`."""
        return f"{self.subject} {self.kind}".strip()


class Look(NamedTuple):
    """Who may take calls from a moment on, by name."""

    at_s: float
    ready: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """A play that is over.

    Attributes:
        begin_s: When calls began (`time.monotonic`).
        end_s: When the last one had ended.
        calls: All of them.
        done: What was done, in the order of time.
        looks: Who could take calls, from the beginning on.
        happened: What was told, in the order of time.
        zones: Zone by replica, where it has one.
        versions: Version by replica, where it has one.
        totals: Figures of the whole play: `serving`, and what the ledger says.
    """

    begin_s: float
    end_s: float
    calls: Calls
    done: Sequence[Done] = ()
    looks: Sequence[Look] = ()
    happened: Sequence[Happened] = ()
    zones: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    totals: Mapping[str, float | None] = field(default_factory=dict)

    def when(self, moment: Moment) -> float | None:
        """The moment on the clock of `time.monotonic`; None where its step was never done."""
        if moment.anchor == "start":
            return self.begin_s + moment.offset_s
        if moment.anchor == "end":
            return self.end_s + moment.offset_s
        found = [done for done in self.done if done.step.name == moment.anchor and not done.error]
        if not found:
            return None
        return (found[-1].end_s if moment.done else found[0].begin_s) + moment.offset_s

    def ready_within(self, begin_s: float, end_s: float) -> tuple[frozenset[str], int]:
        """Who could take calls all the time between the two, and how often that changed."""
        now: frozenset[str] = frozenset()
        seen: list[frozenset[str]] = []
        for look in self.looks:
            if look.at_s <= begin_s:
                now = look.ready
            elif look.at_s < end_s:
                seen.append(look.ready)
        always = now
        for ready in seen:
            always = always & ready
        return always, len(seen)

    def ready_ever(self, begin_s: float, end_s: float) -> frozenset[str]:
        """Who could take calls at any time between the two."""
        return frozenset().union(self.ready_at(begin_s), *(k.ready for k in self.looks if begin_s < k.at_s < end_s))

    def ready_at(self, at_s: float) -> frozenset[str]:
        """Who could take calls then."""
        return next((look.ready for look in reversed(self.looks) if look.at_s <= at_s), frozenset())

    def ready_since(self, name: str, at_s: float) -> float:
        """Since when this one can take calls that can take some then; -inf for from the beginning."""
        since_s, was = -math.inf, False
        for look in self.looks:
            if look.at_s > at_s:
                break
            if name in look.ready and not was:
                since_s = look.at_s if look is not self.looks[0] else -math.inf
            was = name in look.ready
        return since_s

    def next_change(self, after_s: float) -> float:
        """When something is done next; inf for never."""
        return min((done.begin_s for done in self.done if done.begin_s > after_s), default=math.inf)
