"""The rounds of a way, and what they come to together. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lb_client.compare.result import Phase
from lb_client.compare.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from lb_client.compare.ways import Way

MAX_ROUNDS = 6
_LEAST = 50
"""Fewer calls than this are no round of their own, nor fewer than some for each that is in flight."""

_LEAST_EACH = 8
_MAX_FAILURES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One round.

    Attributes:
        answer: What the walker said came of it.
        replicas: What each replica counted of it, by address.
        messages: Messages that they sent.
        envoy: What Envoy sent to each.
        proxy_cpu_s: CPU of Envoy meanwhile.
    """

    answer: Mapping[str, Any]
    replicas: Mapping[str, int]
    messages: Mapping[str, int]
    envoy: Mapping[str, int]
    proxy_cpu_s: float


def shares(count: int, concurrency: int) -> tuple[int, ...]:
    """How many calls to send in each round: as equal as can be, and never so few that it is all start and end."""
    rounds = max(1, min(MAX_ROUNDS, count // max(_LEAST, _LEAST_EACH * concurrency)))
    low, rest = divmod(count, rounds)
    return tuple(low + (number < rest) for number in range(rounds))


def summed(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """The sums by key."""
    total: dict[str, int] = {}
    for each in counts:
        for key, number in each.items():
            total[key] = total.get(key, 0) + number
    return total


def phase_of(parts: Sequence[Part], way: Way, noun: str, tallies: tuple[tuple[Tally, ...], ...] = ()) -> Phase:
    """All rounds of a way as one.

    Args:
        parts: At least one.
        way: Whose.
        noun: What is counted: `call` or `stream`.
        tallies: What was counted beside.
    """
    answers = [part.answer for part in parts]
    by_address = summed(answer["by_address"] for answer in answers)
    lost = sum(answer["lost"] for answer in answers)
    group = [
        Tally("the client", noun, by_address | ({"": lost} if lost else {})),
        Tally("the replicas", noun, summed(part.replicas for part in parts)),
    ]
    if way.through == "l7":
        group.append(Tally("Envoy", noun, summed(part.envoy for part in parts)))
    groups = [tuple(group)]
    if noun == "stream":
        answered = Tally("the client", "message", summed(answer["messages"] for answer in answers))
        groups.append((answered, Tally("the replicas", "message", summed(part.messages for part in parts))))
    return Phase(
        by_address=by_address,
        failed=sum(answer["failed"] for answer in answers),
        failures=tuple(dict.fromkeys(line for answer in answers for line in answer["failures"]))[:_MAX_FAILURES],
        done=sum(answer["done"] for answer in answers),
        elapsed_s=sum(answer["elapsed_s"] for answer in answers),
        latency_ms=answers[-1]["latency_ms"],  # the walker's are of all its rounds so far
        client_cpu_s=sum(answer["cpu_s"] for answer in answers),
        proxy_cpu_s=None if way.through == "direct" else sum(part.proxy_cpu_s for part in parts),
        tallies=(*groups, *tallies),
    )
