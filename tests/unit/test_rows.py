from __future__ import annotations

import pytest

from lb_client.channelz import Traffic
from lb_client.membership import Member, natural_key
from lb_client.records import BackendTally
from lb_client.rows import NOBODY, Rows, join_rows


def tally(calls: int, failed: int = 0) -> BackendTally:
    found = BackendTally(calls, failed)
    for _ in range(calls - failed):
        found.latency.add(0.001)
    return found


def table(rows: Rows) -> list[tuple[str, str, int, int]]:
    return [(row.id, row.address, row.calls, row.failed) for row in rows.known]


def test_answers_that_say_who_they_are_need_nothing_else() -> None:
    rows = join_rows({("r1", "a:1"): tally(3), ("r2", "a:2"): tally(2, 1)}, {}, ())
    assert table(rows) == [("r1", "a:1", 3, 0), ("r2", "a:2", 2, 1)]
    assert (rows.lost, rows.anonymous, rows.front) == (None, False, "")


def test_servers_that_say_nothing_are_counted_by_connection() -> None:
    rows = join_rows({NOBODY: tally(10, 3)}, {"a:1": Traffic(5, 2), "a:2": Traffic(5, 1), "a:3": Traffic(0, 0)}, ())
    assert table(rows) == [("", "a:1", 5, 2), ("", "a:2", 5, 1)]
    assert rows.anonymous
    assert all(row.latency is None for row in rows.known)
    assert rows.lost is None


def test_only_server_that_says_nothing_still_has_latencies() -> None:
    (row,) = join_rows({NOBODY: tally(10)}, {"a:1": Traffic(10, 0)}, ()).known
    assert row.latency is not None
    assert row.latency.count == 10


def test_endpoint_that_got_nothing_has_a_row() -> None:
    rows = join_rows({("r1", "a:1"): tally(3)}, {}, (Member("a:1", "r1"), Member("a:2", "r2")))
    assert table(rows) == [("r1", "a:1", 3, 0), ("r2", "a:2", 0, 0)]


def test_failures_without_a_name_go_where_channelz_saw_them_go() -> None:
    tallies = {("r1", "a:1"): tally(5), ("r2", "a:2"): tally(3), NOBODY: tally(2, 2)}
    rows = join_rows(tallies, {"a:1": Traffic(5, 0), "a:2": Traffic(5, 2)}, ())
    assert table(rows) == [("r1", "a:1", 5, 0), ("r2", "a:2", 5, 2)]
    assert rows.lost is None


def test_what_channelz_cannot_account_for_stays_without_an_owner() -> None:
    tallies = {("r1", "a:1"): tally(5), NOBODY: tally(2, 2)}
    rows = join_rows(tallies, {"a:1": Traffic(6, 1)}, ())
    assert table(rows) == [("r1", "a:1", 5, 0)]
    assert rows.lost is not None
    assert (rows.lost.calls, rows.lost.failed) == (2, 2)


def test_endpoint_that_answered_none_of_its_calls_has_a_row_all_the_same() -> None:
    tallies = {("r1", "a:1"): tally(5), NOBODY: tally(20, 20)}
    members = (Member("a:1", "r1"), Member("a:2", "r2"))
    rows = join_rows(tallies, {"a:1": Traffic(9, 4), "a:2": Traffic(9, 9)}, members)
    assert table(rows) == [("r1", "a:1", 5, 0), ("r2", "a:2", 0, 0)]
    assert rows.lost is not None
    assert rows.lost.calls == 20


def test_calls_that_never_reached_a_server_are_lost() -> None:
    rows = join_rows({NOBODY: tally(4, 4)}, {"a:1": Traffic(0, 0)}, ())
    assert table(rows) == []
    assert rows.lost is not None
    assert rows.lost.calls == 4


def test_several_replicas_behind_one_address_are_seen() -> None:
    rows = join_rows({("r1", "b:1"): tally(3), ("r2", "b:2"): tally(3)}, {"a:1": Traffic(6, 0)}, (Member("a:1"),))
    assert rows.front == "a:1"
    assert table(rows) == [("r1", "b:1", 3, 0), ("r2", "b:2", 3, 0)]


def test_one_of_several_announced_addresses_left_in_the_traffic_is_no_front() -> None:
    """The connections to the others have ended, and their counters went with them."""
    tallies = {(f"r{n}", f"a:{n}"): tally(3) for n in (1, 2, 3)}
    assert join_rows(tallies, {"a:2": Traffic(3, 0)}, (Member("a:2", "r2"),)).front == ""


def test_replica_that_announces_another_address_than_it_is_called_at_is_no_front() -> None:
    rows = join_rows({("r1", "b:1"): tally(3)}, {"a:1": Traffic(3, 0)}, (Member("a:1"),))
    assert (rows.front, table(rows)) == ("", [("r1", "b:1", 3, 0)])


def test_rows_are_in_the_order_of_their_numbers() -> None:
    tallies = {(name, f"a:{n}"): tally(1) for n, name in enumerate(("r10", "r2", "", "r1", "x"), 1)}
    assert [row.id for row in join_rows(tallies, {}, ()).known] == ["r1", "r2", "r10", "x", ""]


@pytest.mark.parametrize("name", ["r٣", "r²", "9", "", "r007", "r" + "9" * 5000])
def test_any_name_can_be_sorted(name: str) -> None:
    assert sorted([natural_key(name, "a"), natural_key("r1", "a")])
