from __future__ import annotations

from typing import Any

import pytest

from lb_client.aim import Expected
from lb_client.membership import Event, Member, MemberState
from lb_client.verdict import Count, Facts, Stretch, Verdict, judge
from lb_client.warmup import WarmUp
from protos.orca import Load

WARM = WarmUp(0.01, complete=True)


def counts(*calls: int) -> tuple[Count, ...]:
    return tuple(Count(f"r{n}", f"a:{n}", number) for n, number in enumerate(calls, 1))


def verdict(*calls: int, policy: str = "round_robin", **facts: Any) -> Verdict:
    return judge(Facts(policy=policy, counts=counts(*calls), **{"warm_up": WARM, **facts}))


def event(kind: str, number: int, state: MemberState = MemberState.READY) -> Event:
    return Event(1.0, kind, Member(f"a:{number}", f"r{number}", state))


@pytest.mark.parametrize("calls", [(34, 33, 33), (1, 0, 0), (5, 5), (1,), (7, 7, 7, 8), (3,) * 16])
def test_round_robin_within_one_is_even(calls: tuple[int, ...]) -> None:
    found = verdict(*calls)
    assert (found.even, found.as_expected, found.reasons) == (True, True, ())


@pytest.mark.parametrize("calls", [(34, 32, 34), (2, 0), (100, 0, 0), (50, 50, 48)])
def test_round_robin_two_apart_is_not_even(calls: tuple[int, ...]) -> None:
    found = verdict(*calls)
    assert (found.even, found.as_expected) == (False, False)


def test_sentences_carry_the_figures() -> None:
    assert verdict(34, 33, 33).sentence == "Even: 100 calls over 3 endpoints, 34/33/33."
    assert verdict(34, 33, 33).expected == "33 or 34 calls on each of 3 endpoints"
    assert verdict(33, 33, 33).expected == "33 calls on each of 3 endpoints"
    assert (
        verdict(60, 30, 10).sentence == "Not even: r1 got 60 and r3 10 of 100 calls, where 33 or 34 each were expected."
    )
    assert verdict(9).sentence == "All 9 calls went to the only endpoint, r1."
    assert verdict(*[1000] * 9).sentence == "Even: 9,000 calls over 9 endpoints, 1,000 each."


def test_even_spread_of_failures_says_that_they_failed() -> None:
    assert verdict(4, 4, 4, failed=9).sentence == "Even: 12 calls over 3 endpoints, 4/4/4, 9 failed."
    assert verdict(4, 4, lost=1, failed=1).sentence == "Even: 9 calls over 2 endpoints, 4/4, 1 lost."
    assert verdict(4, 4, lost=1, failed=5).sentence == "Even: 9 calls over 2 endpoints, 4/4, 1 lost, 5 failed."
    assert verdict(9, failed=9).sentence == "All 9 calls went to the only endpoint, r1, 9 failed."


def test_nothing_called_is_no_verdict() -> None:
    found = verdict(0, 0, 0)
    assert (found.even, found.as_expected, found.sentence) == (None, None, "No call was made.")


def test_calls_that_reached_nobody_are_no_verdict() -> None:
    found = verdict(0, 0, lost=5, failed=5, failures=(("UNAVAILABLE", "refused", 5),))
    assert (found.even, found.as_expected) == (None, None)
    assert "5 calls failed: 5 UNAVAILABLE (refused)" in found.reasons


def test_lost_calls_are_allowed_for() -> None:
    assert verdict(10, 10, 9, lost=1).as_expected
    assert verdict(10, 10, 8, lost=1).as_expected  # the lost one may have been for the third
    assert not verdict(10, 10, 7, lost=1).as_expected


@pytest.mark.parametrize("policy", ["round_robin", "pick_first"])
def test_calls_lost_beyond_the_endpoints_leave_the_spread_open(policy: str) -> None:
    seen = (91, 91, 90) if policy == "round_robin" else (0, 272, 0)
    found = verdict(*seen, lost=728, failed=728, policy=policy)
    assert found.as_expected is None
    assert found.sentence == (
        "The spread cannot be said: of 1,000 calls, 728 are not known to have reached an endpoint."
    )
    assert "728 calls with nobody known to have answered" in found.reasons


def test_only_what_lost_calls_cannot_explain_is_uneven() -> None:
    assert verdict(10, 10, 10, lost=4).as_expected is None
    assert verdict(100, 10, 10, lost=100).as_expected is False
    assert verdict(100, 10, 10, lost=178).as_expected is None  # 89 and 89 may have been for the other two
    assert verdict(100, 10, 10, lost=177).as_expected is False
    assert verdict(10, 8, 8, lost=1).as_expected is False  # it cannot have been for both


@pytest.mark.parametrize(
    ("calls", "lost", "even"),
    [((5, 5), 0, True), ((5, 3), 0, False), ((5, 5), 1, None), ((5, 3), 1, None), ((50, 3), 1, False), ((5,), 9, None)],
)
def test_even_is_said_of_the_counts_only_where_no_call_is_lost(
    calls: tuple[int, ...], lost: int, *, even: bool | None
) -> None:
    assert verdict(*calls, lost=lost).even is even


def test_one_stretch_with_lost_calls_leaves_the_whole_open() -> None:
    stretches = (Stretch(counts(30, 30)), Stretch(counts(3, 3), lost=20))
    found = verdict(33, 33, lost=20, stretches=stretches, events=(event("unhealthy", 2),))
    assert found.as_expected is None
    assert found.sentence == ("The spread cannot be said: of 86 calls, 20 are not known to have reached an endpoint.")


@pytest.mark.parametrize(
    ("calls", "policy", "expected"),
    [
        ((1, 1, 1), "round_robin", "1 call on each of 3 endpoints"),
        ((1, 0, 0), "round_robin", "at most 1 call on each of 3 endpoints"),
        ((2, 1), "round_robin", "1 or 2 calls on each of 2 endpoints"),
        ((2, 2), "round_robin", "2 calls on each of 2 endpoints"),
        ((100,), "round_robin", "all 100 calls on the one endpoint"),
        ((1,), "round_robin", "the one call on the one endpoint"),
        ((1, 0), "pick_first", "the one call on one endpoint"),
    ],
)
def test_expectation_is_grammatical(calls: tuple[int, ...], policy: str, expected: str) -> None:
    assert verdict(*calls, policy=policy).expected == expected


def test_one_of_a_kind_is_told_in_the_singular() -> None:
    assert verdict(2, 0).sentence == "Not even: r1 got 2 and r2 0 of 2 calls, where 1 each was expected."
    late, unsent = verdict(5, 5, late=1, bound=1, unsent=1).reasons
    assert late.endswith("(its latency includes the wait)")
    assert unsent == "1 call that was due could not be sent in time"


def test_names_in_reasons_are_in_their_order_however_they_left() -> None:
    events = tuple(
        Event(1.0 + n / 50, "left", Member(f"a:{number}", f"r{number}")) for n, number in enumerate((10, 3, 4))
    )
    assert verdict(5, 5, events=events).reasons == ("during the run r3, r4 and r10 left",)


def test_pick_first_wants_all_on_one() -> None:
    found = verdict(0, 100, 0, policy="pick_first")
    assert (found.even, found.as_expected) == (False, True)
    assert found.sentence == "As pick_first promises, all 100 calls went to r2."
    assert verdict(50, 50, policy="pick_first").as_expected is False


def test_pick_first_may_move_on_when_something_happened() -> None:
    found = verdict(60, 40, policy="pick_first", events=(event("left", 1),))
    assert found.as_expected is None
    assert "moved on" in found.sentence


def test_changes_are_judged_piece_by_piece() -> None:
    stretches = (Stretch(counts(30, 30, 30)), Stretch(counts(10, 10, 10, 10, 11)))
    found = verdict(
        44, 43, 42, 11, 11, stretches=stretches, unjudged=10, events=(event("joined", 4), event("joined", 5))
    )
    assert (found.even, found.as_expected) == (False, True)
    assert found.sentence == (
        "Even between changes: 141 calls over 3 and 5 endpoints in turn, at most one apart each time; "
        "10 calls too close to a change to judge."
    )
    assert found.reasons == ("during the run r4 and r5 joined",)


def test_one_uneven_piece_is_told() -> None:
    stretches = (Stretch(counts(30, 30)), Stretch(counts(30, 10)))
    found = verdict(60, 40, stretches=stretches, events=(event("unhealthy", 2),))
    assert found.as_expected is False
    assert found.sentence == "Not even in 1 of 2 stretches between changes; at worst r1 got 30 and r2 10 of 40 calls."


def test_run_that_never_settled_is_no_verdict() -> None:
    found = verdict(60, 40, stretches=(), unjudged=100, events=(event("joined", 2),))
    assert found.as_expected is None


def test_anonymous_counts_before_and_after_a_change_cannot_be_told_apart() -> None:
    found = verdict(60, 40, unknown=True, events=(event("disconnected", 2),))
    assert found.as_expected is None
    assert "look alike" in found.sentence


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({"warm_up": WarmUp(5.0, complete=False, missing=("a:9",))}, "warm-up incomplete: a:9 never connected"),
        (
            {"warm_up": WarmUp(5.0, complete=False)},
            "warm-up incomplete: endpoints were still connecting when the count began",
        ),
        ({"aside": ("r2 unhealthy",)}, "announced, and not to be called: r2 unhealthy"),
        ({"retried": 2}, "2 calls took more than one attempt, each a pick of its own"),
        ({"unsent": 3}, "3 calls that were due could not be sent in time"),
        ({"unknown": True}, "these servers do not say who they are: calls and failures are counted by connection"),
    ],
)
def test_reasons_are_given_even_when_all_is_well(facts: dict[str, Any], reason: str) -> None:
    found = verdict(5, 5, **facts)
    assert found.as_expected
    assert found.reasons == (reason,)


def test_proxy_in_front_is_suspected() -> None:
    (reason,) = verdict(9, 1, front="a:1").reasons
    assert "a:1 is one address, and 2 replicas answered behind it" in reason


def test_bound_of_the_open_loop_is_told() -> None:
    (reason,) = verdict(5, 5, late=4, bound=64).reasons
    assert "4 calls started late, because the bound of 64 in flight was reached" in reason


def test_each_verb_names_its_replicas_once() -> None:
    events = (event("joined", 4), event("left", 4), event("joined", 4), event("unhealthy", 1), event("joined", 5))
    found = verdict(5, 5, events=events, stretches=(Stretch(counts(5, 5)),))
    assert found.reasons == ("during the run r4 and r5 joined; r4 left; r1 went unhealthy",)


def test_ring_hash_promises_one_endpoint_for_one_key() -> None:
    found = verdict(0, 60, 0, policy="ring_hash", hash_key="alice")
    assert (found.as_expected, found.sentence) == (True, "By key: 60 calls with 'alice', all on r2.")
    assert found.expected == "by key: all calls with 'alice' on one endpoint"
    assert verdict(1, 60, 0, policy="ring_hash", hash_key="alice").as_expected is False
    moved = verdict(1, 60, 0, policy="ring_hash", hash_key="alice", events=(event("left", 1),))
    assert (moved.as_expected, moved.sentence.split(":")[0]) == (
        None,
        "The key moved, or calls failed, during the run",
    )
    assert verdict(20, 20, 20, policy="ring_hash").as_expected is None


def weighted(calls: tuple[int, ...], shares: tuple[float, ...], **facts: Any) -> Verdict:
    told = tuple(
        Count(f"r{n}", f"a:{n}", number, Expected(share=share, drawn=True))
        for n, (number, share) in enumerate(zip(calls, shares, strict=True), 1)
    )
    return judge(
        Facts(policy="weighted_round_robin", counts=told, stretches=(Stretch(told),), **{"warm_up": WARM, **facts})
    )


def test_weights_are_judged_by_what_chance_allows() -> None:
    shares = (4 / 7, 2 / 7, 1 / 7)
    good = weighted((28_600, 14_290, 7_110), shares, loads={"r1": Load(0.1, 1000.0), "r2": Load(0.2, 1000.0)})
    assert good.as_expected is True
    assert good.sentence == "As the weights say: 50,000 calls, r1 28,600, r2 14,290, r3 7,110."
    assert good.expected.endswith("by the weights that endpoints report")
    assert good.reasons == ("reported at the end: r1 0.1 at 1,000/s and r2 0.2 at 1,000/s",)
    assert weighted((16_667, 16_667, 16_666), shares).as_expected is False


def test_weights_that_nobody_tells_are_not_judged() -> None:
    found = verdict(40, 20, 10, policy="weighted_round_robin")
    assert (found.as_expected, found.sentence) == (
        None,
        "The spread cannot be judged: no answer told a load that we can read.",
    )
    assert found.expected == "by the weights that endpoints report: requests a second by utilization"


def test_of_calls_that_were_tried_again_the_attempts_are_judged() -> None:
    sent = {"r1": 150, "r2": 149, "r3": 150}
    found = verdict(147, 6, 147, retried=149, attempts=sent)
    assert found.as_expected is True
    assert found.sentence == "Even: 449 attempts over 3 endpoints, 150/150/149; 149 calls were tried again."
    assert verdict(147, 6, 147, retried=1, attempts={**sent, "r2": 90}).as_expected is None
    unknown = verdict(147, 6, 147, retried=1, events=(event("left", 2),), attempts=sent)
    assert (unknown.as_expected, unknown.sentence) == (
        None,
        "The turns cannot be judged: 1 call was tried again, on other endpoints.",
    )
    assert verdict(100, 100, 100, retried=3, attempts=sent).sentence.startswith("Even: 300 calls")


def test_shares_of_calls_that_were_tried_again_are_not_judged() -> None:
    found = weighted((30_000, 0, 20_000), (4 / 7, 2 / 7, 1 / 7), retried=9)
    assert (found.as_expected, found.sentence) == (
        None,
        "The shares cannot be judged: 9 calls were tried again, on other endpoints.",
    )


def test_a_key_has_one_endpoint_in_each_version() -> None:
    told = (
        Count("r1", "a:1", 50, Expected("v1", 0.45)),
        Count("r2", "a:2", 0, Expected("v1", 0.45)),
        Count("r3", "a:3", 10, Expected("v2", 0.1)),
    )
    found = judge(Facts(policy="ring_hash", counts=told, warm_up=WARM, hash_key="ada"))
    assert (found.as_expected, found.sentence) == (
        True,
        "By key within each version: 60 calls with 'ada', r1 50 and r3 10.",
    )
