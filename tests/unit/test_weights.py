"""Weights followed beside core: shares from reports, and what was to be expected while they changed."""

from __future__ import annotations

import math

import pytest

from lb_client.aim import Expected
from lb_client.membership import Member, Membership
from lb_client.policy import WeightedRoundRobin
from lb_client.records import Segment
from lb_client.weights import MOST_SLOTS, WeightBook, shares_among, shares_of
from protos.orca import LOAD_KEY, Load

POLICY = WeightedRoundRobin(blackout_period_s=0, weight_update_period_s=0.1)
READY = ("a:1", "b:1", "c:1")
MEMBERS = tuple(Member(address) for address in READY)


def answer(address: str, utilization: float, rps: float = 1000.0, eps: float = 0.0) -> dict[str, str]:
    return {"lbdemo-address": address, LOAD_KEY: Load(utilization, rps, eps).as_text()}


def book_of(*reports: tuple[str, float]) -> WeightBook:
    book = WeightBook(POLICY, lambda: MEMBERS)
    for address, utilization in reports:
        book.hear(answer(address, utilization))
    book.begin(10.0)
    return book


def test_shares_are_weights_and_who_has_none_gets_the_average() -> None:
    assert shares_of({"a": 4, "b": 2, "c": 1}, {"a", "b", "c"}) == pytest.approx({"a": 4 / 7, "b": 2 / 7, "c": 1 / 7})
    assert shares_of({"a": 4, "b": 2}, {"a", "b", "c"}) == pytest.approx({"a": 4 / 9, "b": 2 / 9, "c": 3 / 9})
    assert shares_of({"a": 4, "gone": 2}, {"a", "b"}) == {"a": 0.5, "b": 0.5}
    assert shares_of({}, ()) == {}


def test_each_version_has_its_part_and_weights_hold_within_it() -> None:
    old = [Member(address, expected=Expected("v1", 0.45)) for address in ("a", "b")]
    members = [*old, Member("c", expected=Expected("v2", 0.1))]
    assert shares_among({"a": 4, "b": 2, "c": 9}, members) == pytest.approx({"a": 0.6, "b": 0.3, "c": 0.1})


def test_reports_of_warm_up_hold_from_the_first_call_on() -> None:
    book = book_of(("a:1", 0.1), ("b:1", 0.2), ("c:1", 0.4))
    book.add(10.01, 10.02, answer("a:1", 0.1))
    assert book.expected(-math.inf, math.inf) == pytest.approx({"a:1": 4 / 7, "b:1": 2 / 7, "c:1": 1 / 7})


def test_what_is_expected_changes_with_the_reports_and_not_before_core_looks() -> None:
    book = book_of(("a:1", 0.1), ("b:1", 0.1), ("c:1", 0.1))
    book.add(10.00, 10.01, answer("a:1", 0.2))
    book.add(10.02, 10.03, answer("b:1", 0.1))
    book.add(10.10, 10.11, answer("c:1", 0.1))  # core looks
    for number in range(7):
        book.add(10.2 + number / 1000, 10.3, answer("b:1", 0.1))
    assert book.expected(-math.inf, 10.11) == pytest.approx(dict.fromkeys(READY, 1 / 3))
    assert book.expected(10.11, math.inf) == pytest.approx({"a:1": 0.2, "b:1": 0.4, "c:1": 0.4})
    both = book.expected(-math.inf, math.inf)
    assert both["a:1"] == pytest.approx((3 / 3 + 7 * 0.2) / 10)


def test_a_call_that_ends_late_counts_where_it_began() -> None:
    book = book_of(("a:1", 0.1), ("b:1", 0.1), ("c:1", 0.1))
    book.hear(answer("a:1", 0.2))
    book.add(10.15, 10.16, answer("b:1", 0.1))
    book.add(10.05, 10.50, answer("a:1", 0.2))
    assert book.expected(-math.inf, 10.16) == pytest.approx(dict.fromkeys(READY, 1 / 3))


def test_nobody_who_reports_nothing_is_expected_anything_of() -> None:
    book = WeightBook(POLICY, lambda: MEMBERS)
    book.begin(10.0)
    book.add(10.0, 10.1, {"lbdemo-address": "a:1"})
    assert book.expected(-math.inf, math.inf) == {}
    book.add(10.0, 10.1, {})
    assert book.loads == {}


def test_an_hour_of_changes_takes_bounded_room_and_expects_the_same() -> None:
    book = book_of(("a:1", 0.1), ("b:1", 0.1), ("c:1", 0.1))
    for number in range(3 * MOST_SLOTS):
        at_s = 10.2 + number * 0.11
        book.add(at_s, at_s + 0.001, answer("a:1", 0.1 if number % 2 else 0.2))
    assert len(book._slots) <= MOST_SLOTS + 1
    assert book.expected(-math.inf, math.inf)["a:1"] == pytest.approx((0.2 + 1 / 3) / 2, rel=0.01)


def test_looks_are_told_what_was_expected_while_they_held() -> None:
    book = book_of(("a:1", 0.1), ("b:1", 0.2))
    book.add(10.01, 10.02, answer("a:1", 0.1))
    look = Membership(9.0, (Member("a:1", "r1"), Member("b:1", "r2"), Member("c:1", "r3")))
    (told,) = book.told((look,), (Segment(-math.inf, settled=True, look=0, counts={("r1", "a:1"): 1}),))
    shares = [member.expected.share for member in told.members]
    assert shares == pytest.approx([10 / 22.5, 5 / 22.5, 7.5 / 22.5])
    assert all(member.expected.drawn for member in told.members)
