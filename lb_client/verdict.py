"""The verdict: what the policy promises, what was seen, and why they differ as far as it can be known. Pure.

round_robin promises that consecutive calls over n endpoints differ by at most one; pick_first that one endpoint gets
all. When the endpoints changed during a run, the stretches between changes are judged one by one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lb_client import by_policy, drawn
from lb_client.aim import LIKE_ANY
from lb_client.membership import natural_key
from lb_client.phrases import and_more, counted, listed
from lb_client.stats import even_share, spread

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from lb_client.aim import Expected
    from lb_client.membership import Event
    from lb_client.warmup import WarmUp
    from protos.orca import Load

PICK_FIRST = "pick_first"


@dataclass(frozen=True, slots=True)
class Count:
    """Calls that one endpoint got.

    Attributes:
        label: Its name in a sentence: the replica's id, else its address.
        address: `host:port`; "" where nobody told.
        calls: How many, failed ones included.
        expected: What it was to get, where that is not the same for all.
    """

    label: str
    address: str
    calls: int
    expected: Expected = LIKE_ANY


@dataclass(frozen=True, slots=True)
class Stretch:
    """A part of the run within which the endpoints stayed the same, long enough after a change to be judged.

    Attributes:
        counts: Calls by endpoint, with a zero for each that should take calls and got none.
        lost: Calls that nobody is known to have answered.
    """

    counts: tuple[Count, ...]
    lost: int = 0

    @property
    def calls(self) -> int:
        """All its calls."""
        return sum(count.calls for count in self.counts) + self.lost

    @property
    def is_even(self) -> bool | None:
        """Whether the counts differ by at most one, or would with the lost calls where they should have gone.

        None when more calls are lost than there are endpoints: they can hide anything.
        """
        top = max((count.calls for count in self.counts), default=0)
        missing = sum(max(0, top - 1 - count.calls) for count in self.counts)
        if missing > self.lost:
            return False
        return None if self.lost > len(self.counts) else True


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known of a run.

    Attributes:
        policy: Its name.
        counts: Calls by endpoint over the whole run, with a zero for each that should take calls and got none.
        lost: Calls that nobody is known to have answered.
        failed: Calls that ended with another status than OK.
        retried: Calls that took more than one attempt.
        stretches: The judged parts, in the order of time; one when nothing changed.
        unjudged: Calls too close to a change of the endpoints to be judged.
        events: What happened to the endpoints, in the order of time.
        aside: Endpoints that are announced and took no calls all along, each with the reason.
        warm_up: How it ended.
        late: Calls of an open loop that waited for a place in flight, and `bound` how many places there are.
        unsent: Calls of an open loop that were due and never started.
        unknown: Whether servers did not say who they are, so that counts are by connection.
        apart: Why endpoints that could take calls got none, or only for a time: zones and versions.
        front: Address behind which several replicas answered; "" when there is none.
        failures: The most frequent failures: (status, details, count).
        hash_key: Under ring_hash, the value that every call was hashed by; "" for none.
        loads: What endpoints reported last, by name.
        attempts: What was sent to each endpoint, by name, calls that were tried again included; empty where not known.
    """

    policy: str
    counts: tuple[Count, ...]
    lost: int = 0
    failed: int = 0
    retried: int = 0
    stretches: tuple[Stretch, ...] = ()
    unjudged: int = 0
    events: tuple[Event, ...] = ()
    aside: tuple[str, ...] = ()
    warm_up: WarmUp
    late: int = 0
    unsent: int = 0
    bound: int = 0
    unknown: bool = False
    apart: tuple[str, ...] = ()
    front: str = ""
    failures: tuple[tuple[str, str, int], ...] = ()
    hash_key: str = ""
    loads: Mapping[str, Load] = field(default_factory=dict)
    attempts: Mapping[str, int] = field(default_factory=dict)

    @property
    def calls(self) -> int:
        """All calls."""
        return sum(count.calls for count in self.counts) + self.lost


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to think of the distribution.

    Attributes:
        even: Whether the counts over the whole run differ by at most one; None when nothing was called, or when lost
            calls leave it open.
        as_expected: Whether the calls spread as the policy promises, between changes; None when that is unknown.
        expected: The promise, with its numbers.
        sentence: The verdict in one plain sentence.
        reasons: What explains it or limits it, most important first.
    """

    even: bool | None
    as_expected: bool | None
    expected: str
    sentence: str
    reasons: tuple[str, ...] = ()


def judge(facts: Facts) -> Verdict:
    """Compare what was seen with what the policy promises."""
    seen = tuple(count for count in facts.counts if count.calls)
    if not facts.calls:
        return Verdict(None, None, _promise(facts), "No call was made.", _reasons(facts))
    if not seen:
        sentence = f"None of {counted(facts.calls, 'call')} is known to have reached an endpoint."
        return Verdict(None, None, _promise(facts), sentence, _reasons(facts))
    even = Stretch(facts.counts, facts.lost).is_even and (None if facts.lost else True)
    if facts.policy == PICK_FIRST:
        as_expected, sentence = _judge_pick_first(facts, seen)
    elif facts.policy == by_policy.RING_HASH:
        as_expected, sentence = by_policy.judge_ring(facts, seen)
    elif facts.policy == by_policy.WEIGHTED:
        as_expected, sentence = by_policy.judge_weighted(_stretches(facts), unjudged=facts.unjudged)
    elif drawn.is_drawn(_stretches(facts)):
        as_expected, sentence = drawn.judge(_stretches(facts), unjudged=facts.unjudged)
    else:
        as_expected, sentence = _judge_round_robin(facts)
    if as_expected is False and facts.retried and facts.policy != PICK_FIRST:
        as_expected, sentence = by_policy.judge_attempts(facts)
    return Verdict(even, as_expected, _promise(facts), sentence, _reasons(facts))


def _stretches(facts: Facts) -> tuple[Stretch, ...]:
    return facts.stretches or (() if facts.unjudged else (Stretch(facts.counts, facts.lost),))


def _promise(facts: Facts) -> str:
    if facts.policy == PICK_FIRST:
        return f"{_all(facts.calls)} on one endpoint"
    if told := by_policy.promise(facts, _stretches(facts)):
        return told
    if len(facts.stretches) > 1:
        return "between changes, each endpoint gets as many calls as any other, ±1"
    if not facts.counts:
        return "calls in turn"
    if len(facts.counts) == 1:
        return f"{_all(facts.calls)} on the one endpoint"
    low, high = even_share(facts.calls, len(facts.counts))
    each = f"{low:,} or {high:,} calls" if 0 < low < high else "at most 1 call" if not low else counted(low, "call")
    return f"{each} on each of {counted(len(facts.counts), 'endpoint')}"


def _judge_pick_first(facts: Facts, seen: tuple[Count, ...]) -> tuple[bool | None, str]:
    if len(seen) == 1 and facts.lost > len(facts.counts):
        return None, _unsaid_sentence(facts.calls, facts.lost)
    if len(seen) == 1:
        return True, f"As pick_first promises, {_all(seen[0].calls)} went to {seen[0].label}."
    names = and_more([count.label for count in seen])
    if facts.events or facts.failed:
        return None, f"pick_first moved on during the run: calls went to {names}, one after the other."
    return False, f"Not as pick_first promises: calls went to {names}."


def _judge_round_robin(facts: Facts) -> tuple[bool | None, str]:
    judged = tuple(stretch for stretch in facts.stretches if stretch.calls and stretch.counts)
    if len(judged) > 1 or (judged and facts.unjudged):
        return _judge_pieces(facts, judged)
    whole = Stretch(facts.counts, facts.lost)
    if not judged and facts.unjudged:
        return None, "The endpoints changed all the time: there is no stretch of the run that can be judged."
    if whole.is_even is None:
        return None, _unsaid_sentence(facts.calls, facts.lost)
    if whole.is_even:
        return True, _even_sentence(whole, facts.failed)
    if facts.unknown and facts.events:
        return None, f"{_uneven_sentence(whole)[:-1]}; the endpoints changed, and calls before and after look alike."
    return False, _uneven_sentence(whole)


def _judge_pieces(facts: Facts, judged: tuple[Stretch, ...]) -> tuple[bool | None, str]:
    uneven = [stretch for stretch in judged if stretch.is_even is False]
    if uneven:
        worst = max(uneven, key=lambda stretch: spread(count.calls for count in stretch.counts))
        where = f"in {len(uneven)} of {len(judged)} stretches between changes" if len(judged) > 1 else "between changes"
        return False, f"Not even {where}; at worst {_extremes(worst)} of {counted(worst.calls, 'call')}."
    if any(stretch.is_even is None for stretch in judged):
        return None, _unsaid_sentence(sum(stretch.calls for stretch in judged), sum(stretch.lost for stretch in judged))
    sizes = [len(stretch.counts) for stretch in judged]
    over = listed(str(size) for size in sizes[:6]) + (" …" if len(sizes) > 6 else "") + " endpoints in turn"
    if len(set(sizes)) == 1:
        over = counted(sizes[0], "endpoint")
    total = sum(stretch.calls for stretch in judged)
    return True, (
        f"Even between changes: {counted(total, 'call')} over {over}, at most one apart each time; "
        f"{counted(facts.unjudged, 'call')} too close to a change to judge."
    )


def _unsaid_sentence(calls: int, lost: int) -> str:
    return (
        f"The spread cannot be said: of {counted(calls, 'call')}, "
        f"{lost:,} {'is' if lost == 1 else 'are'} not known to have reached an endpoint."
    )


def _even_sentence(whole: Stretch, failed: int) -> str:
    but = f", {whole.lost:,} lost" if whole.lost else ""
    but += f", {failed:,} failed" if failed > whole.lost else ""
    if len(whole.counts) == 1:
        return f"{_all(whole.counts[0].calls).capitalize()} went to the only endpoint, {whole.counts[0].label}{but}."
    figures = [count.calls for count in whole.counts]
    spelled = "/".join(f"{figure:,}" for figure in sorted(figures, reverse=True))
    if len(figures) > 6:
        low, high = min(figures), max(figures)
        spelled = f"{low:,} each" if low == high else f"{low:,} or {high:,} each"
    return f"Even: {counted(whole.calls, 'call')} over {counted(len(figures), 'endpoint')}, {spelled}{but}."


def _uneven_sentence(whole: Stretch) -> str:
    low, high = even_share(whole.calls, len(whole.counts))
    each = f"{low:,} or {high:,} each were" if low < high else f"{low:,} each {'was' if low == 1 else 'were'}"
    return f"Not even: {_extremes(whole)} of {counted(whole.calls, 'call')}, where {each} expected."


def _extremes(stretch: Stretch) -> str:
    most = max(stretch.counts, key=lambda count: count.calls)
    least = min(stretch.counts, key=lambda count: count.calls)
    return f"{most.label} got {most.calls:,} and {least.label} {least.calls:,}"


def _all(calls: int) -> str:
    return "the one call" if calls == 1 else f"all {calls:,} calls"


def _reasons(facts: Facts) -> tuple[str, ...]:
    """Everything that explains or limits the verdict, also when it is a good one."""
    return (*_endpoint_reasons(facts), *_call_reasons(facts))


def _endpoint_reasons(facts: Facts) -> Iterator[str]:
    if facts.warm_up.missing:
        yield f"warm-up incomplete: {and_more(facts.warm_up.missing)} never connected"
    elif not facts.warm_up.complete:
        yield "warm-up incomplete: endpoints were still connecting when the count began"
    if facts.aside:
        yield f"announced, and not to be called: {and_more(facts.aside)}"
    yield from facts.apart
    if facts.loads:
        yield f"reported at the end: {by_policy.told_loads(facts.loads)}"
    if facts.front:
        yield (
            f"{facts.front} is one address, and {len(facts.counts)} replicas answered behind it: "
            "a proxy or an L4 balancer chooses among them, not this client's policy"
        )
    if facts.events:
        who: dict[str, dict[str, None]] = {}
        for event in facts.events:
            who.setdefault(event.verb, {})[event.member.label] = None
        told = (
            f"{and_more(sorted(names, key=lambda name: natural_key(name, '')))} {verb}" for verb, names in who.items()
        )
        yield f"during the run {'; '.join(told)}"


def _call_reasons(facts: Facts) -> Iterator[str]:
    if facts.failed:
        kinds = [
            f"{number:,} {status}{f' ({_shortened(details)})' if details else ''}"
            for status, details, number in facts.failures
        ]
        yield f"{counted(facts.failed, 'call')} failed: {and_more(kinds, 3)}"
    if facts.lost:
        yield f"{counted(facts.lost, 'call')} with nobody known to have answered"
    if facts.retried:
        yield f"{counted(facts.retried, 'call')} took more than one attempt, each a pick of its own"
    if facts.late:
        yield (
            f"{counted(facts.late, 'call')} started late, because the bound of {facts.bound:,} in flight was reached "
            f"({'its' if facts.late == 1 else 'their'} latency includes the wait)"
        )
    if facts.unsent:
        due = f"that {'was' if facts.unsent == 1 else 'were'} due"
        yield f"{counted(facts.unsent, 'call')} {due} could not be sent in time"
    if facts.unknown:
        yield "these servers do not say who they are: calls and failures are counted by connection"


def _shortened(details: str, width: int = 100) -> str:
    line = " ".join(details.split())
    return line if len(line) <= width else line[: width - 1] + "…"
