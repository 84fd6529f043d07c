"""The report of a run as a value and as JSON; report_table.py draws it.

The JSON's keys are a contract: they are added to, never renamed.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from lb_client.aim import LIKE_ANY
from lb_client.apart import reasons
from lb_client.membership import MemberState
from lb_client.rows import NOBODY, Row, Rows, join_rows
from lb_client.stats import LatencyHistogram, fairness, spread
from lb_client.verdict import Count, Facts, Stretch, Verdict, judge

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lb_client.aim import Expected
    from lb_client.channelz import Traffic
    from lb_client.driver import Run
    from lb_client.history.history import History
    from lb_client.membership import Event, Member, Membership
    from lb_client.records import CallRecorder, Segment
    from lb_client.warmup import WarmUp
    from protos.orca import Load

PERCENTILES = (50, 90, 99)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What was asked for.

    Attributes:
        target: As given, or the running cluster's.
        via: `client` when this process balances, `proxy` when an Envoy does.
        proxy: Its address; "" without one.
        proxy_origin: Where that came from, for the page.
        policy: The policy's name.
        zone: Whose endpoints come first; "" for no preference.
        version: Which version every call asks for; "" for none.
        hash_key: Under ring_hash, the value that every call is hashed by; "" for none.
        requested: Every input, for the report to repeat.
    """

    target: str
    via: str = "client"
    policy: str
    zone: str = ""
    version: str = ""
    hash_key: str = ""
    proxy: str = ""
    proxy_origin: str = ""
    requested: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A finished run.

    Attributes:
        question: What was asked for.
        run: How it ended.
        rows: Who got how many calls.
        calls: All calls that ended.
        failed: Those with another status than OK.
        retried: Those that took more than one attempt.
        latency: Of the OK calls.
        statuses: Count by status code's name, the most frequent first.
        failures: (status, details, count), the most frequent first; the first few distinct ones.
        events: What happened to the endpoints while calls were made.
        warm_up: How it ended.
        verdict: What to think of it.
        answer: The first answer, decoded, where the caller decoded it.
        history: The run over time; None where nobody kept it.
        members: By address, what the registry last told of it.
    """

    question: Question
    run: Run
    rows: Rows
    calls: int
    failed: int
    retried: int
    latency: LatencyHistogram
    statuses: Mapping[str, int]
    failures: tuple[tuple[str, str, int], ...]
    events: tuple[Event, ...]
    warm_up: WarmUp
    verdict: Verdict
    answer: Any = None
    history: History | None = None
    members: Mapping[str, Member] = field(default_factory=dict)

    @property
    def rate_per_s(self) -> float:
        """Calls per second of the run."""
        return self.calls / self.run.elapsed_s if self.run.elapsed_s > 0 else 0.0

    def share(self, row: Row) -> float:
        """The row's share of all calls, 0 to 1."""
        return row.calls / self.calls if self.calls else 0.0

    def as_dict(self) -> dict[str, Any]:
        """What `lbdemo call --json` prints."""
        from lb_client.history import history_json  # noqa: PLC0415 -- a table needs none of it

        rows = [*self.rows.known, *([self.rows.lost] if self.rows.lost else [])]
        counts = [row.calls for row in self.rows.known]
        index = fairness(counts)
        return {
            "target": self.question.target,
            "via": self.question.via,
            "policy": self.question.policy,
            "requested": dict(self.question.requested),
            "calls": self.calls,
            "failed": self.failed,
            "elapsed_s": round(self.run.elapsed_s, 6),
            "rate_per_s": round(self.rate_per_s, 3),
            "latency_ms": latency_ms(self.latency),
            "statuses": dict(self.statuses),
            "backends": [self._row(row) for row in rows],
            "spread": {"max_minus_min": spread(counts), "fairness": None if index is None else round(index, 6)},
            "verdict": {
                "even": self.verdict.even,
                "as_expected": self.verdict.as_expected,
                "expected": self.verdict.expected,
                "sentence": self.verdict.sentence,
                "reasons": list(self.verdict.reasons),
            },
            "warm_up": {
                "elapsed_s": round(self.warm_up.elapsed_s, 6),
                "complete": self.warm_up.complete,
                "connected": list(self.warm_up.connected),
                "missing": list(self.warm_up.missing),
            },
            **history_json.as_dict(self.history, self.events, self.run.begin_s),
            "failures": [{"status": s, "details": details, "count": number} for s, details, number in self.failures],
            "retried": self.retried,
            "late": self.run.late,
            "unsent": self.run.unsent,
            "abandoned": self.run.abandoned,
            "interrupted": self.run.stopped,
            "proxy": self.question.proxy or None,
            "answer": self.answer,
        }

    def _row(self, row: Row) -> dict[str, Any]:
        member = self.members.get(row.address)
        return {
            "id": row.id or None,
            "address": row.address or None,
            "calls": row.calls,
            "failed": row.failed,
            "share": round(self.share(row), 6),
            "latency_ms": latency_ms(row.latency),
            "zone": (member.zone or None) if member else None,
            "version": (member.version or None) if member else None,
            "weight": member.weight if member else None,
            "expected_share": _rounded(member.expected.share) if member else None,
        }


def _rounded(share: float | None) -> float | None:
    return None if share is None else round(share, 6)


def latency_ms(histogram: LatencyHistogram | None) -> dict[str, float | None]:
    """min, p50, p90, p99 and max in milliseconds; null where there is nothing to tell."""
    if histogram is None or not histogram.count:
        return dict.fromkeys(("min", "p50", "p90", "p99", "max"))
    percentiles = {f"p{p}": _ms(histogram.percentile(p)) for p in PERCENTILES}
    return {"min": _ms(histogram.min_s), **percentiles, "max": _ms(histogram.max_s)}


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 4)


def build_report(
    question: Question,
    *,
    run: Run,
    recorder: CallRecorder,
    warm_up: WarmUp,
    looks: Sequence[Membership],
    events: Sequence[Event],
    traffic: Mapping[str, Traffic],
    bound: int,
    answer: Any = None,
    history: History | None = None,
    loads: Mapping[str, Load] | None = None,
) -> Report:
    """Draw up the report of a run.

    Args:
        question: What was asked for.
        run: How the driver's run ended.
        recorder: What it recorded.
        warm_up: How warm-up ended.
        looks: The membership when the run began, and after each change; the recorder's segments point into it.
        events: What happened from look to look.
        traffic: By address, what channelz saw sent during the run; empty where there is no view.
        bound: How many calls of an open loop may be in flight.
        answer: The first answer, decoded; None where nobody wants to see it.
        history: The run over time.
        loads: By address, what was last reported; None where that makes no difference.
    """
    ever_ready = {(member.address, member.id): member for look in looks for member in look.ready}
    rows = join_rows(recorder.backends, traffic, ever_ready.values())
    failures = tuple(
        (status, details, number)
        for (status, details), number in sorted(recorder.failures.items(), key=lambda item: -item[1])
    )
    stretches = () if rows.anonymous else tuple(_stretches(recorder.segments, looks))
    facts = Facts(
        policy=question.policy,
        counts=tuple(Count(row.label, row.address, row.calls, _expected(looks, row.address)) for row in rows.known),
        lost=rows.lost.calls if rows.lost else 0,
        failed=recorder.failed,
        retried=recorder.retried,
        stretches=stretches,
        unjudged=0 if rows.anonymous else sum(sum(s.counts.values()) for s in recorder.segments if not s.settled),
        events=tuple(events),
        aside=_aside(looks, events),
        apart=tuple(
            reasons(looks, question.zone, question.version, policy=question.policy, proxied=bool(question.proxy))
        ),
        warm_up=warm_up,
        late=run.late,
        unsent=run.unsent,
        bound=bound,
        unknown=rows.anonymous,
        front=rows.front,
        failures=failures,
        hash_key=question.hash_key,
        attempts={row.label: traffic[row.address].started for row in rows.known if row.address in traffic},
        loads={row.label: loads[row.address] for row in rows.known if row.address in loads} if loads else {},
    )
    return Report(
        question=question,
        run=run,
        rows=rows,
        calls=recorder.calls,
        failed=recorder.failed,
        retried=recorder.retried,
        latency=recorder.latency,
        statuses=dict(sorted(recorder.statuses.items(), key=lambda item: (-item[1], item[0]))),
        failures=failures,
        events=tuple(events),
        warm_up=warm_up,
        verdict=judge(facts),
        answer=answer,
        history=history,
        members={member.address: member for look in looks for member in look.members},
    )


def _expected(looks: Sequence[Membership], address: str) -> Expected:
    """What an address was to get over the whole run, where that was always the same."""
    told = {member.expected for look in looks for member in look.ready if member.address == address}
    return told.pop() if len(told) == 1 else LIKE_ANY


def _aside(looks: Sequence[Membership], events: Sequence[Event]) -> tuple[str, ...]:
    """Who was there all the time and never to be called, by the registry's or its own word; `r2 unhealthy`."""
    if not looks:
        return ()
    ill = (MemberState.UNHEALTHY, MemberState.DRAINING)
    first = {member.address for member in looks[0].members if member.state in ill}
    told = {event.member.address for event in events}
    return tuple(
        f"{member.label} {member.state.value}"
        for member in looks[-1].members
        if member.state in ill and member.address in first - told
    )


def _stretches(segments: Sequence[Segment], looks: Sequence[Membership]) -> list[Stretch]:
    """The judged parts of the run, each with a zero for whoever should have got calls and did not."""
    found = []
    for segment in segments:
        if not segment.settled or not segment.counts:
            continue
        by_address = {
            address: Count(replica or address, address, number)
            for (replica, address), number in segment.counts.items()
            if (replica, address) != NOBODY
        }
        ready = looks[segment.look].ready if looks else ()
        # Announced addresses that are none of the channel's: something stands between, and picks for itself.
        if any(member.address in by_address for member in ready):
            for member in ready:
                count = by_address.get(member.address, Count(member.label, member.address, 0))
                by_address[member.address] = replace(count, expected=member.expected)
        counts = tuple(by_address[address] for address in sorted(by_address))
        found.append(Stretch(counts, segment.counts.get(NOBODY, 0)))
    return found
