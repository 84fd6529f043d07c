from __future__ import annotations

from lb_client.history.ejections import ejections
from lb_client.history.traffic import Traffic
from lb_client.membership import Member, Membership, MemberState
from lb_client.stats import LatencyHistogram

R1, R2 = Member("a:1", "r1"), Member("a:2", "r2")


def traffic(first: list[int], second: list[int]) -> Traffic:
    """Slices of a tenth of a second from 100 on."""
    rows = {("r1", "a:1"): first, ("r2", "a:2"): second}
    return Traffic(100.0, 0.1, rows, {}, [LatencyHistogram() for _ in first])


def told(of: Traffic, *looks: Membership) -> list[tuple[float, str, str]]:
    looks = looks or (Membership(99.0, (R1, R2)),)
    return [(round(found.at_s, 3), found.kind, found.replica) for found in ejections(of, looks)]


def test_who_gets_no_calls_while_the_others_do_was_ejected_until_it_gets_some() -> None:
    assert told(traffic([9] * 6, [9, 9, 0, 0, 9, 9])) == [(100.2, "ejected", "r2"), (100.4, "let-back", "r2")]


def test_a_silence_of_few_calls_is_chance() -> None:
    assert told(traffic([9, 9, 9, 9], [9, 0, 9, 9])) == []


def test_a_silence_of_all_is_nobodys() -> None:
    assert told(traffic([9, 0, 0, 0, 0, 9], [9, 0, 0, 0, 0, 9])) == []


def test_who_left_was_not_ejected() -> None:
    looks = (Membership(99.0, (R1, R2)), Membership(100.15, (R1,)))
    assert told(traffic([9] * 6, [9, 9, 0, 0, 0, 0]), *looks) == []


def test_who_is_unhealthy_was_not_ejected() -> None:
    ill = Member("a:2", "r2", MemberState.UNHEALTHY)
    looks = (Membership(99.0, (R1, R2)), Membership(100.15, (R1, ill)), Membership(100.45, (R1, R2)))
    assert told(traffic([9] * 6, [9, 9, 0, 0, 0, 9]), *looks) == []


def test_who_has_not_been_called_yet_is_only_connecting() -> None:
    assert told(traffic([9] * 6, [0, 0, 0, 0, 9, 9])) == []


def test_the_only_endpoint_is_never_ejected() -> None:
    of = Traffic(100.0, 0.1, {("r1", "a:1"): [9, 0, 0]}, {}, [LatencyHistogram() for _ in range(3)])
    assert told(of, Membership(99.0, (R1,))) == []
