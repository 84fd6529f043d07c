"""What a client is to get under zones, weights and shares, and the verdict on what it got."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lb_client.aim import LIKE_ANY, Aim, Expected, Weights
from lb_client.apart import reasons
from lb_client.membership import Event, Member, Membership, MemberState, events_between
from lb_client.tracking import MembershipTracker
from lb_client.verdict import Count, Facts, Stretch, Verdict, judge
from lb_client.warmup import WarmUp
from resolver.model import Endpoint, Health, Snapshot

WARM = WarmUp(0.01, complete=True)


def endpoint(number: int, zone: str = "", version: str = "", share: str = "", weight: int = 1) -> Endpoint:
    metadata = [pair for pair in (("share", share), ("version", version)) if pair[1]]
    return Endpoint("127.0.0.1", number, f"r{number}", weight, zone, tuple(metadata), Health.HEALTHY)


def look(aim: Aim, *endpoints: Endpoint, at_s: float = 0.0) -> Membership:
    return Membership.of_snapshot(Snapshot(endpoints, "1"), at_s, aim)


def states(membership: Membership) -> dict[str, MemberState]:
    return {member.id: member.state for member in membership.members}


A, B = endpoint(1, "a"), endpoint(2, "b")
READY, STANDBY = MemberState.READY, MemberState.STANDBY


def test_other_zones_stand_by_until_the_own_has_nobody_well() -> None:
    aim = Aim(zone="a")
    before, after = look(aim, A, B), look(aim, A.with_health(Health.UNHEALTHY), B, at_s=1.0)
    assert states(before) == {"r1": READY, "r2": STANDBY}
    assert states(after) == {"r1": MemberState.UNHEALTHY, "r2": READY}
    assert [event.text for event in events_between(before, after)] == ["r1 went unhealthy", "r2 takes calls"]
    assert [event.text for event in events_between(after, before)] == ["r1 takes calls", "r2 stands by"]
    assert {member.expected for member in before.members} == {LIKE_ANY}


def test_who_joins_to_stand_by_has_joined() -> None:
    tracker = MembershipTracker()
    tracker.accept(look(Aim(zone="a"), A))
    tracker.begin(lambda _at_s, _look: None)
    tracker.accept(look(Aim(zone="a"), A, B, at_s=1.0))
    assert [event.text for event in tracker.events] == ["r2 joined and stands by"]


V1, V1B, V2 = endpoint(1, version="v1"), endpoint(2, version="v1"), endpoint(3, version="v2", share="10")


def test_versions_get_their_shares_and_calls_that_ask_go_to_theirs() -> None:
    told = Aim().expected((V1, V1B, V2))
    assert told == {
        "127.0.0.1:1": Expected("v1", 0.45),
        "127.0.0.1:2": Expected("v1", 0.45),
        "127.0.0.1:3": Expected("v2", 0.1),
    }
    assert Aim(version="v2").expected((V1, V1B, V2)) == {"127.0.0.1:3": LIKE_ANY}
    assert Aim(version="v1").expected((V1, V1B, V2)).keys() == {"127.0.0.1:1", "127.0.0.1:2"}
    assert Aim(version="v9").expected((V1, V1B, V2)) == told


def test_a_version_that_is_ill_leaves_its_part_to_the_others_in_a_round_of_its_own() -> None:
    ill = V2.with_health(Health.UNHEALTHY)
    told = Aim().expected((V1, V1B, ill))
    assert told == dict.fromkeys(("127.0.0.1:1", "127.0.0.1:2"), Expected("v1", 0.5, rounds=2))
    counts = [Count(f"r{n}", f"a:{n}", number, Expected("v1", 0.5, rounds=2)) for n, number in ((1, 51), (2, 49))]
    assert verdict(*counts).as_expected
    uneven = [replace(counts[0], calls=60), counts[1]]
    assert verdict(*uneven).as_expected is False


def test_the_version_asked_for_is_the_one_in_the_metadata() -> None:
    assert Aim.of((("a", "b"), ("x-version", "v2"))).version == "v2"
    assert Aim.of((("x-version", "v2"), ("x-version", "v3"))).version == ""


def test_weights_are_drawn_by_core_and_kept_to_by_envoy() -> None:
    heavy, light = endpoint(1, weight=3), endpoint(2)
    drawn = {"127.0.0.1:1": Expected("", 0.75, drawn=True), "127.0.0.1:2": Expected("", 0.25, drawn=True)}
    assert Aim(weights=Weights.DRAWN).expected((heavy, light)) == drawn
    assert Aim(weights=Weights.KEPT).expected((heavy, light)) == drawn
    assert set(Aim().expected((heavy, light)).values()) == {LIKE_ANY}
    equal = (endpoint(1), endpoint(2))
    assert {each.share for each in Aim(weights=Weights.DRAWN).expected(equal).values()} == {0.5}
    assert set(Aim(weights=Weights.KEPT).expected(equal).values()) == {LIKE_ANY}


def test_shares_are_weights_to_an_envoy_and_headers_nothing() -> None:
    told = Aim(version="v2", weights=Weights.KEPT).expected((V1, V1B, V2))
    assert [round(told[f"127.0.0.1:{n}"].share or 0, 3) for n in (1, 2, 3)] == [0.45, 0.45, 0.1]


def verdict(*counts: Count, lost: int = 0, unjudged: int = 0, stretches: tuple[Stretch, ...] = ()) -> Verdict:
    found = stretches or (Stretch(counts, lost),)
    return judge(
        Facts(policy="round_robin", counts=counts, lost=lost, stretches=found, unjudged=unjudged, warm_up=WARM)
    )


def weighted(*calls: int) -> list[Count]:
    shares = (0.5, 0.3, 0.2)
    return [
        Count(f"r{n}", f"a:{n}", number, Expected("", share, drawn=True))
        for n, (number, share) in enumerate(zip(calls, shares, strict=True), 1)
    ]


def versions(v1: tuple[int, ...], v2: int) -> list[Count]:
    old = [Count(f"r{n}", f"a:{n}", number, Expected("v1", 0.9 / len(v1))) for n, number in enumerate(v1, 1)]
    return [*old, Count("r9", "a:9", v2, Expected("v2", 0.1))]


def test_counts_as_the_weights_say_are_as_expected() -> None:
    found = verdict(*weighted(5030, 2970, 2000))
    assert (found.as_expected, found.even) == (True, False)
    assert found.sentence == "As the weights say: 10,000 calls, r1 5,030, r2 2,970, r3 2,000."
    assert found.expected.startswith("r1 50 % (4,7")


@pytest.mark.parametrize("calls", [(5500, 2700, 1800), (3333, 3333, 3334), (5000, 5000, 0)])
def test_counts_that_chance_does_not_allow_are_not(calls: tuple[int, int, int]) -> None:
    found = verdict(*weighted(*calls))
    assert found.as_expected is False
    assert found.sentence.startswith("Not as the shares say: r")


def test_shares_of_versions_hold_within_chance_and_calls_go_in_turn_within_each() -> None:
    found = verdict(*versions((450, 449), 101))
    assert found.as_expected
    assert found.sentence == "As the shares say: 1,000 calls, v1 899, v2 101; within each version in turn."
    off = verdict(*versions((350, 350), 300))
    assert off.as_expected is False
    assert "v2 got 300 of 1,000 calls, where 10 % is " in off.sentence
    uneven = verdict(*versions((500, 399), 101))
    assert uneven.as_expected is False
    assert uneven.sentence == "The shares hold, and within v1 calls did not go in turn."


def test_stretches_with_other_shares_are_judged_each_by_its_own() -> None:
    half = [replace(each, expected=Expected(each.expected.part, 0.5)) for each in versions((500,), 500)]
    stretches = (Stretch(tuple(versions((900,), 100))), Stretch(tuple(half)))
    found = verdict(*versions((1400,), 600), stretches=stretches, unjudged=12)
    assert found.as_expected
    assert found.sentence == (
        "As the shares say between changes: 2,000 calls in 2 stretches; 12 calls too close to a change to judge."
    )


def test_many_lost_calls_leave_it_open() -> None:
    assert verdict(*versions((450, 450), 90), lost=10).as_expected is None


def test_a_failover_and_its_end_are_reasons() -> None:
    aim = Aim(zone="a")
    own, away = look(aim, A, B), look(aim, B)
    assert list(reasons([own], "a", "")) == ["zone a comes first: r2 elsewhere stands by"]
    assert list(reasons([away, look(aim, A, B)], "a", "")) == [
        "failover: for a time nobody in zone a could take calls, and they went to zone b"
    ]
    ill = look(aim, A.with_health(Health.UNHEALTHY), B)
    assert list(reasons([ill], "a", "")) == ["failover: nobody in zone a could take them, so the calls went to zone b"]
    assert list(reasons([look(Aim(zone="x"), A)], "x", "")) == ["no endpoint is in zone x: it makes no difference"]


def test_shares_that_changed_and_versions_asked_for_are_reasons() -> None:
    half = replace(V2, metadata=(("share", "50"), ("version", "v2")))
    looks = [look(Aim(), V1, V2), look(Aim(), V1, half)]
    assert list(reasons(looks, "", "")) == ["the shares changed during the run: v1 90 %, v2 10 % and v1 50 %, v2 50 %"]
    assert list(reasons([look(Aim(version="v2"), V1, V2)], "", "v2")) == [
        "every call asked for version v2: it goes to no other"
    ]
    assert list(reasons(looks[:1], "", "v2", proxied=True)) == [
        "the proxy does not look at x-version: calls for v2 spread like all others"
    ]


def test_an_event_of_standing_by_has_words() -> None:
    assert Event(0.0, "standby", Member("a:1", "r1", STANDBY)).text == "r1 stands by"
