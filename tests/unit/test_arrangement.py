"""Versions, shares and zones: which endpoints get which part of the calls."""

from __future__ import annotations

from dataclasses import replace

import pytest

from resolver.arrangement import TOTAL, Split, in_use, priorities, shared_weights, split
from resolver.model import Endpoint, Health


def endpoint(
    port: int, version: str = "", share: str | None = None, *, zone: str = "", well: bool = True, weight: int = 1
) -> Endpoint:
    metadata = [("version", version)] if version else []
    metadata += [("share", share)] if share is not None else []
    health = Health.HEALTHY if well else Health.UNHEALTHY
    return Endpoint("127.0.0.1", port, zone=zone, weight=weight, metadata=tuple(sorted(metadata)), health=health)


def shape(found: Split) -> dict[str, tuple[int, list[int]]]:
    return {part.key: (part.weight, [each.port for each in part.endpoints]) for part in found.parts}


OLD = (endpoint(1, "v1"), endpoint(2, "v1"))


def test_one_version_is_one_part_and_nobody_can_ask_for_it() -> None:
    for endpoints in ((), (endpoint(1),), OLD, (endpoint(1, "v1", "10"),)):
        found = split(endpoints)
        assert shape(found) == {"": (TOTAL, [each.port for each in endpoints])}
        assert not found.asked
        assert found.levels(found.parts[0]) == ((endpoints,) if endpoints else ())


def test_a_share_goes_to_its_version_and_what_is_left_to_all_others() -> None:
    found = split((*OLD, endpoint(3, "v2", "10")))
    assert shape(found) == {"": (9000, [1, 2]), "v2": (1000, [3])}
    assert found.asked == ("v1", "v2")
    found = split((*OLD, endpoint(3, "v2", "10"), endpoint(4, "v3", "0.25"), endpoint(5)))
    assert shape(found) == {"": (8975, [1, 2, 5]), "v2": (1000, [3]), "v3": (25, [4])}
    assert found.asked == ("v1", "v2", "v3")
    assert found.only("v1") == OLD


def test_versions_without_shares_are_called_alike_and_can_be_asked_for() -> None:
    found = split((*OLD, endpoint(3, "v2")))
    assert shape(found) == {"": (TOTAL, [1, 2, 3])}
    assert (found.asked, found.only("v2")) == (("v1", "v2"), (endpoint(3, "v2"),))


@pytest.mark.parametrize(("share", "weights"), [("0", [10000, 0]), ("50", [5000, 5000]), ("100", [0, 10000])])
def test_shares_reach_from_nothing_to_everything(share: str, weights: list[int]) -> None:
    assert [part.weight for part in split((*OLD, endpoint(3, "v2", share))).parts] == weights


def test_endpoints_that_disagree_get_the_least_share() -> None:
    found = split((*OLD, endpoint(3, "v2", "50"), endpoint(4, "v2", "10"), endpoint(5, "v2")))
    assert shape(found) == {"": (9000, [1, 2]), "v2": (1000, [3, 4, 5])}


def test_a_part_of_which_nobody_is_well_leaves_its_calls_to_the_others_of_large_shares_first() -> None:
    ill, large, small = endpoint(1, "v1", well=False), endpoint(2, "v2", "40"), endpoint(3, "v3", "10")
    found = split((ill, large, small))
    assert [part.weight for part in found.parts] == [5000, 4000, 1000]
    main, second, third = found.parts
    assert found.levels(main) == ((ill,), (large,), (small,))
    assert found.levels(third) == ((small,), (ill,), (large,))
    assert in_use(found.levels(main), "") == (large,)
    assert in_use(found.levels(second), "") == (large,)


def test_shares_of_nobody_else_or_of_too_much_still_make_a_route() -> None:
    found = split((endpoint(1, "v2", "0"), endpoint(2, "v3", "0")))
    assert [part.weight for part in found.parts] == [0, TOTAL, TOTAL]
    found = split((*OLD, endpoint(3, "v2", "80"), endpoint(4, "v3", "80")))
    assert [part.weight for part in found.parts] == [0, 8000, 8000]
    found = split((endpoint(3, "v2", "30"), endpoint(4, "v3", "20")))
    assert [part.weight for part in found.parts] == [0, 3000, 2000]


def test_a_version_is_there_once_one_of_its_endpoints_takes_calls() -> None:
    coming = (*OLD, endpoint(3, "v2", "10", well=False))
    found = split(coming, known={"v1"})
    assert shape(found) == {"": (TOTAL, [1, 2])}
    assert found.versions == ("v1",)
    assert split(coming, known={"v1", "v2"}).versions == ("v1", "v2")
    assert split((*OLD, endpoint(3, "v2", "10")), known={"v1"}).versions == ("v1", "v2")


def test_nobody_well_and_nobody_known_is_still_one_part() -> None:
    coming = (endpoint(1, "v1", well=False), endpoint(3, "v2", well=False))
    assert shape(split(coming, known=())) == {"": (TOTAL, [1, 3])}


def test_a_share_that_is_none_is_as_if_it_were_not_there() -> None:
    assert endpoint(1, "v1", "much").share is None
    assert endpoint(1, "v1", "101").share is None
    assert endpoint(1, "v1", "12.5").share == 12.5


A, B, C = (endpoint(number, zone=zone) for number, zone in ((1, "a"), (2, "b"), (3, "")))


def test_the_zone_comes_first_and_no_priority_is_empty() -> None:
    assert priorities((A, B, C), "a") == ((A,), (B, C))
    assert priorities((A, B, C), "") == ((A, B, C),)
    assert priorities((A, B, C), "x") == ((A, B, C),)
    assert priorities((A,), "a") == ((A,),)
    assert priorities((), "a") == ()


def test_a_zone_that_is_ill_keeps_its_place_and_others_get_the_calls() -> None:
    ill = replace(A, health=Health.UNHEALTHY)
    assert priorities((ill, B), "a") == ((ill,), (B,))
    assert in_use(((ill, B),), "a") == (B,)
    assert in_use(((A, B),), "a") == (A,)
    assert in_use(((ill,),), "a") == ()


def test_shares_become_weights_for_who_knows_no_versions() -> None:
    plain = (endpoint(1, "v1", weight=5), endpoint(2, "v1", weight=3))
    assert shared_weights(plain) == plain
    found = shared_weights((*plain, endpoint(3, "v2", "10"), endpoint(4, "v3", "0")))
    weights = {each.port: each.weight for each in found}
    assert weights.keys() == {1, 2, 3}  # a share of 0 is none
    total = sum(weights.values())
    assert [round(weights[port] / total, 3) for port in (1, 2, 3)] == [0.562, 0.337, 0.1]


def test_a_version_that_is_ill_weighs_nothing_for_who_knows_no_versions() -> None:
    found = shared_weights((*OLD, endpoint(3, "v2", "10", well=False)))
    assert [each.port for each in found] == [1, 2]
    assert found[0].weight == found[1].weight


def test_shares_hold_within_each_zone_for_who_knows_no_versions() -> None:
    both = [endpoint(1, "v1", zone="a"), endpoint(2, "v2", "25", zone="a"), endpoint(3, "v1", zone="b")]
    weights = {each.port: each.weight for each in shared_weights(both, "a")}
    assert round(weights[1] / (weights[1] + weights[2]), 3) == 0.75
    assert weights[3] == 1
