from __future__ import annotations

from lb_client.membership import Event, Member, Membership, MemberState, events_of
from lb_client.tracking import MembershipTracker
from resolver.model import Endpoint, Health, Snapshot


def look(at_s: float, *members: Member) -> Membership:
    return Membership(at_s, members)


def ready(number: int) -> Member:
    return Member(f"127.0.0.1:{number}", f"r{number}")


def unhealthy(number: int) -> Member:
    return Member(f"127.0.0.1:{number}", f"r{number}", MemberState.UNHEALTHY)


def told(events: list[Event] | tuple[Event, ...]) -> list[str]:
    return [event.text for event in events]


def begun(*looks: Membership) -> tuple[MembershipTracker, list[tuple[float, int]]]:
    """A tracker that has taken these looks, the first before the run began, and the marks it made."""
    marks: list[tuple[float, int]] = []
    tracker = MembershipTracker()
    tracker.accept(looks[0])
    tracker.begin(lambda at_s, index: marks.append((at_s, index)))
    for each in looks[1:]:
        tracker.accept(each)
    return tracker, marks


def test_snapshot_becomes_members_by_their_health() -> None:
    endpoints = tuple(Endpoint("127.0.0.1", 10 + n, id=f"r{n}", health=health) for n, health in enumerate(Health))
    found = Membership.of_snapshot(Snapshot(endpoints, "v1"), at_s=7.0)
    assert [m.state for m in found.members] == [
        MemberState.READY,
        MemberState.READY,
        MemberState.UNHEALTHY,
        MemberState.DRAINING,
    ]
    assert found.ready_addresses == Snapshot(endpoints, "v1").addresses


def test_events_name_who_came_who_went_and_who_changed() -> None:
    events = events_of([look(1, ready(1), ready(2)), look(2, ready(2), ready(3)), look(3, unhealthy(2), ready(3))])
    assert told(events) == ["r1 left", "r3 joined", "r2 went unhealthy"]
    assert [event.at_s for event in events] == [2, 2, 3]


def test_replica_that_comes_back_under_another_name_left_and_joined() -> None:
    other = Member("127.0.0.1:1", "r9")
    assert told(events_of([look(1, ready(1)), look(2, other)])) == ["r1 left", "r9 joined"]


def test_same_look_twice_is_no_event() -> None:
    tracker, marks = begun(look(1, ready(1)), look(2, ready(1)))
    assert (tracker.events, marks, len(tracker.looks)) == ([], [], 1)


def test_what_went_before_the_run_is_forgotten() -> None:
    tracker = MembershipTracker()
    tracker.accept(look(1, ready(1)))
    tracker.accept(look(2, ready(1), ready(2)))
    tracker.begin(lambda *_: None)
    assert tracker.events == []
    assert [each.at_s for each in tracker.looks] == [2]


def test_replica_joins_once_it_is_ready() -> None:
    tracker, marks = begun(look(1, ready(1)), look(2, ready(1), unhealthy(2)), look(3, ready(1), ready(2)))
    assert told(tracker.events) == ["r2 joined"]
    assert marks == [(3, 2)]  # only what changes who gets calls cuts the run


def test_replica_that_was_never_ready_is_told_of_at_the_end() -> None:
    tracker, marks = begun(look(1, ready(1)), look(2, ready(1), unhealthy(2)))
    tracker.end()
    assert told(tracker.events) == ["r2 joined and was never ready"]
    assert marks == []


def test_change_is_marked_when_it_can_have_happened() -> None:
    tracker, marks = begun(look(1, ready(1)))
    tracker.accept(look(9, ready(1), ready(2)), since_s=8.9)
    assert marks == [(8.9, 1)]


def test_what_happens_after_the_run_is_no_part_of_it() -> None:
    tracker, _ = begun(look(1, ready(1)))
    tracker.end()
    tracker.accept(look(2))
    assert tracker.events == []
