"""The verdict under policies whose promise depends on what calls say or endpoints report: ring_hash, weights. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lb_client import drawn
from lb_client.membership import natural_key
from lb_client.phrases import and_more, counted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lb_client.verdict import Count, Facts, Stretch
    from protos.orca import Load

ROUND_ROBIN = "round_robin"
RING_HASH = "ring_hash"
WEIGHTED = "weighted_round_robin"

NO_WEIGHTS = "The spread cannot be judged: no answer told a load that we can read."


def promise(facts: Facts, stretches: Sequence[Stretch]) -> str:
    """What is to be expected where calls do not simply go in turn; "" where they do."""
    is_drawn = drawn.is_drawn(stretches)
    if facts.policy == RING_HASH:
        if facts.hash_key:
            return f"by key: all calls with {facts.hash_key!r} on one endpoint"
        return "by key: calls without the header go to endpoints at random"
    if facts.policy == WEIGHTED:
        how = "by the weights that endpoints report"
        return drawn.promise(stretches, how) if is_drawn else f"{how}: requests a second by utilization"
    return drawn.promise(stretches) if is_drawn else ""


def judge_ring(facts: Facts, seen: Sequence[Count]) -> tuple[bool | None, str]:
    """Calls of one key are all on one endpoint, while nothing changes."""
    if not facts.hash_key:
        return None, f"Calls without the header are hashed at random: {_figures(facts.counts)}."
    if len(seen) == 1 and not facts.lost:
        return True, f"By key: {counted(facts.calls, 'call')} with {facts.hash_key!r}, all on {seen[0].label}."
    parts = [count.expected.part for count in seen]
    if len(set(parts)) == len(parts) and not facts.lost:
        told = _figures(seen)
        return True, f"By key within each version: {counted(facts.calls, 'call')} with {facts.hash_key!r}, {told}."
    names = and_more([count.label for count in seen])
    if facts.events or facts.failed or facts.retried or facts.lost:
        return None, f"The key moved, or calls failed, during the run: calls went to {names}."
    return False, f"Not by key: calls with {facts.hash_key!r} went to {names}."


def judge_weighted(stretches: Sequence[Stretch], *, unjudged: int) -> tuple[bool | None, str]:
    """As weights said at the time, within what chance allows."""
    if not drawn.is_drawn(stretches):
        return None, NO_WEIGHTS
    return drawn.judge(stretches, unjudged=unjudged)


def judge_attempts(facts: Facts) -> tuple[bool | None, str]:
    """Where calls were tried again, turns show in what was sent, and shares in neither."""
    again = f"{counted(facts.retried, 'call')} {'was' if facts.retried == 1 else 'were'} tried again"
    sent = facts.attempts.values()
    if facts.policy != ROUND_ROBIN or any(count.expected.share is not None for count in facts.counts):
        return None, f"The shares cannot be judged: {again}, on other endpoints."
    if not sent or facts.events or max(sent) - min(sent) > 1:
        return None, f"The turns cannot be judged: {again}, on other endpoints."
    told = "/".join(f"{number:,}" for number in sorted(sent, reverse=True))
    spelled = told if len(sent) <= 6 else f"{min(sent):,} or {max(sent):,} each"
    return True, f"Even: {counted(sum(sent), 'attempt')} over {counted(len(sent), 'endpoint')}, {spelled}; {again}."


def told_loads(loads: Mapping[str, Load]) -> str:
    """What endpoints reported last: `r1 0.1 at 1,000/s`."""
    names = sorted(loads, key=lambda name: natural_key(name, ""))
    return and_more([f"{name} {loads[name].utilization:.2g} at {loads[name].rps:,.0f}/s" for name in names], 8)


def _figures(counts: Sequence[Count]) -> str:
    return and_more([f"{count.label} {count.calls:,}" for count in counts], 8)
