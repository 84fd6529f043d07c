"""A scenario as values: what was written, with its places, before anything is done. No YAML and no clock here."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from lb_client.policy import RoundRobin

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from lb_client.policy import Policy
    from lb_client.scenario.quantity import Comparison

REPLICA = re.compile(r"r[1-9]\d{0,3}")


class Place(NamedTuple):
    """Where something stands in the file, both counted from 1."""

    line: int
    column: int


FILE = Place(1, 1)
"""The file as a whole."""


@dataclass(frozen=True, slots=True)
class Moment:
    """A moment of the play: so long after, or before, something.

    Attributes:
        anchor: The name of a step, `start` (of the calls) or `end` (of the calls).
        done: Whether it counts from when the step was done, instead of when it was begun.
        offset_s: Seconds after it; below zero for before.
        place: Where it is written; None where it is not. It makes no difference between two moments.
    """

    anchor: str = "start"
    done: bool = False
    offset_s: float = 0.0
    place: Place | None = field(default=None, compare=False)

    @property
    def text(self) -> str:
        """As one writes it."""
        anchor = f"{self.anchor} done" if self.done else self.anchor
        if self.anchor == "start":
            return f"{self.offset_s:g}s"
        if not self.offset_s:
            return anchor
        return f"{abs(self.offset_s):g}s {'after' if self.offset_s > 0 else 'before'} {anchor}"


START = Moment()
END = Moment("end")


@dataclass(frozen=True, slots=True)
class Whom:
    """Whom a step is done to.

    Attributes:
        replicas: By name.
        group: `all`, `any` (one that serves, by the seed), `zone` or `version`; "" for those named.
        name: The zone's or the version's.
    """

    replicas: tuple[str, ...] = ()
    group: str = ""
    name: str = ""

    @property
    def text(self) -> str:
        """As one writes it."""
        return ", ".join(self.replicas) or f"{self.group} {self.name}".strip()


NOBODY = Whom()


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The cluster that a scenario is played on.

    Attributes:
        replicas: How many at first.
        zones: Taken in turn by r1, r2, …; () for none.
        weights: Of r1, r2, …; () for the same for all.
        version: Of those that there are at first.
    """

    replicas: int = 3
    zones: tuple[str, ...] = ()
    weights: tuple[int, ...] = ()
    version: str = "v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Calls:
    """The calls that are made meanwhile.

    Attributes:
        duration_s: For how long, from the end of warm-up on; inf where `until` says.
        until: The moment of the play at which they end; None where `duration_s` says.
        place: Where that is written.
        concurrency: Calls in flight: exactly so many, or at most so many with a rate.
        rate: Calls per second, on schedule; None for as fast as answers come.
        deadline_s: Of each call.
        policy: How the channel spreads them, with retries and outlier detection.
        zone: Where they come from; "" for nowhere.
        metadata: Sent with each.
    """

    duration_s: float
    until: Moment | None = None
    place: Place = FILE
    concurrency: int = 8
    rate: float | None = None
    deadline_s: float = 5.0
    policy: Policy = field(default_factory=RoundRobin)
    zone: str = ""
    metadata: tuple[tuple[str, str], ...] = ()

    @property
    def length(self) -> str:
        """How long they go on, in words."""
        return f"{self.duration_s:g} s" if self.until is None else f"until {self.until.text}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Something that is done at a moment.

    Attributes:
        place: Where it is written.
        name: What other moments call it: its own name, else its words, `kill r2`.
        at: When.
        action: The word for it.
        whom: To whom; NOBODY where it is about the whole.
        value: The action's own value where that is nobody: `5` of `scale: 5`.
        options: Its other words, checked.
        policy: What the channel is to do from then on; None where the step is about something else.
        every_s: Again and again after so many seconds; None for once.
        until: When that ends.
    """

    place: Place
    name: str
    at: Moment
    action: str
    whom: Whom = NOBODY
    value: str = ""
    options: Mapping[str, str] = field(default_factory=dict)
    policy: Policy | None = None
    every_s: float | None = None
    until: Moment = END

    @property
    def text(self) -> str:
        """What is done, in one line: `fault r2, latency 50ms, for 4s`."""
        first = f"{self.action} {self.whom.text or self.value}".strip()
        return ", ".join([first, *(f"{word} {value}" for word, value in self.options.items())])


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """Something that must have been so for the scenario to pass.

    Attributes:
        place: Where it is written.
        metric: What is looked at.
        expected: How much of it; None where `words` or `order` say what.
        words: `even` or `only in flight`, where no number is expected.
        order: The names of events that must have come in this order.
        shares: What should get how much, by name, in any unit.
        replicas: Whose; () for all together, `("each",)` for each by itself.
        zone: Only of this zone; "" for all.
        version: Only of this version; "" for all.
        status: Only calls that ended with this status; "" for all.
        begin: From when on.
        end: Until when.
    """

    place: Place
    metric: str
    expected: Comparison | None = None
    words: str = ""
    order: tuple[str, ...] = ()
    shares: Mapping[str, float] = field(default_factory=dict)
    replicas: tuple[str, ...] = ()
    zone: str = ""
    version: str = ""
    status: str = ""
    begin: Moment = START
    end: Moment = END

    @property
    def whose(self) -> str:
        """Of whom, as one says it; "" for all."""
        replicas = "each replica" if self.replicas == ("each",) else ", ".join(self.replicas)
        zone = f"zone {self.zone}" if self.zone else ""
        version = f"version {self.version}" if self.version else ""
        return " in ".join(part for part in (replicas, zone or version) if part)

    @property
    def text(self) -> str:
        """What is expected, in one line: `calls of r3: 0, from 2s after pause r3`."""
        if self.order:
            what = f"{self.metric}: {', '.join(self.order)}"
        else:
            subject = " ".join(part for part in (self.metric, self.status) if part)
            whose = f" of {self.whose}" if self.whose else ""
            shares = ", ".join(f"{name} {number:g}" for name, number in self.shares.items())
            what = f"{subject}{whose}: {shares or self.words or (self.expected.text if self.expected else '')}"
        begin = f", from {self.begin.text}" if self.begin != START else ""
        end = f", until {self.end.text}" if self.end != END else ""
        return what + begin + end


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """All of it.

    Attributes:
        name: Its title.
        about: One or a few sentences: what it shows.
        source: The file, as it was named.
        plan: The cluster.
        calls: The calls.
        steps: In the order in which they are written.
        expectations: Likewise.
    """

    name: str
    about: str
    source: str
    plan: Plan
    calls: Calls
    steps: tuple[Step, ...]
    expectations: tuple[Expectation, ...]

    def moments(self) -> Iterator[tuple[Place, Moment]]:
        """All that steps, calls and expectations refer to, with its place."""
        if self.calls.until is not None:
            yield self.calls.until.place or self.calls.place, self.calls.until
        for step in self.steps:
            yield step.at.place or step.place, step.at
            yield step.until.place or step.place, step.until
        for expectation in self.expectations:
            yield expectation.begin.place or expectation.place, expectation.begin
            yield expectation.end.place or expectation.place, expectation.end
