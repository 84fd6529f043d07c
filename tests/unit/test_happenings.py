"""What the cluster says and what the client sees, on one clock, and what became of calls meanwhile."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lb_client.history.happenings import Happening, Impact, noticed, one_axis, told
from lb_client.history.impact import with_impact
from lb_client.membership import Event, Member, MemberState


def seen(at_s: float, kind: str, replica: str = "r2", address: str = "a:2") -> Happening:
    return noticed(Event(at_s, kind, Member(address, replica, MemberState.READY)))


def noticed_ms(*happenings: Happening) -> dict[str, float | None]:
    """By kind of the cluster's events, when the client noticed."""
    mine = [h for h in happenings if h.source == "client"]
    theirs = [h for h in happenings if h.source == "cluster"]
    return {
        h.kind: None if h.noticed_s is None else round(h.noticed_s * 1000)
        for h in one_axis(mine, theirs)
        if h.source == "cluster"
    }


def test_all_stand_on_one_axis() -> None:
    axis = one_axis([seen(1.5, "left"), seen(1.2, "unhealthy")], [told(1.1, "died", "r2"), told(1.9, "serving", "r2")])
    assert [(h.at_s, h.kind) for h in axis] == [(1.1, "died"), (1.2, "unhealthy"), (1.5, "left"), (1.9, "serving")]
    assert axis[0].text == "r2 died"
    assert told(1.0, "rolling-begun").text == "a rolling restart begins"
    assert told(1.0, "a-new-kind", "r1").text == "r1 a-new-kind"


def test_the_first_that_the_client_sees_is_when_it_noticed() -> None:
    found = noticed_ms(told(1.0, "died", "r2"), seen(1.003, "unhealthy"), seen(1.02, "left"))
    assert found == {"died": 3}


def test_what_happens_to_another_replica_is_no_notice() -> None:
    assert noticed_ms(told(1.0, "died", "r2"), seen(1.003, "left", "r1", "a:1")) == {"died": None}


def test_the_client_may_hear_first() -> None:
    assert noticed_ms(told(1.0, "drain-begun", "r2"), seen(0.998, "left")) == {"drain-begun": -2}


def test_a_return_ends_the_time_for_noticing_and_is_noticed_itself() -> None:
    died, serves = told(1.0, "died", "r2"), told(1.2, "serving", "r2")
    found = noticed_ms(died, serves, seen(1.25, "joined"), seen(1.3, "left"))
    assert found == {"died": None, "serving": 50}


def test_who_has_no_name_is_known_by_the_address() -> None:
    died = told(1.0, "died", "r2", "a:2")
    assert noticed_ms(died, seen(1.01, "left", "", "a:2")) == {"died": 10}
    assert noticed_ms(told(1.0, "died", "r2"), seen(1.01, "left", "", "")) == {"died": None}


@pytest.mark.parametrize(("detail", "kind", "found"), [("NOT_SERVING", "unhealthy", 5), ("SERVING", "ready", 5)])
def test_told_health_is_noticed_as_what_it_comes_to(detail: str, kind: str, found: int) -> None:
    assert noticed_ms(told(1.0, "health", "r2", detail=detail), seen(1.005, kind)) == {"health": found}


def test_what_stops_nobody_is_not_waited_for() -> None:
    assert noticed_ms(told(1.0, "fault", "r2"), seen(1.1, "left")) == {"fault": None}


SENT = {"r2": [(0.9, False), (0.99, True), (1.001, True), (1.002, False), (1.6, False)]}
FALLEN = {"r2": [(0.98, 1.001, True), (0.99, 1.0, False), (0.5, 0.6, True), (1.001, 1.002, True)]}


def rounded(happening: Happening) -> Impact:
    impact = happening.impact
    assert impact is not None
    assert impact.last_s is not None
    return replace(impact, last_s=round(impact.last_s, 6))


def test_a_death_tells_what_was_in_flight_and_what_still_went_there() -> None:
    died, serves = told(1.0, "died", "r2"), told(1.5, "serving", "r2")
    first, second = with_impact([died, serves], SENT, FALLEN)
    assert rounded(first) == Impact(in_flight=2, in_flight_failed=1, after=2, failed_after=1, last_s=0.002)
    assert second.impact is None


def test_a_drain_that_nobody_saw_until_the_end_is_told_by_its_calls() -> None:
    (drain,) = with_impact([told(0.95, "drain-begun", "r2")], SENT, {})
    assert rounded(drain) == Impact(after=4, failed_after=2, last_s=0.65)
    (nothing,) = with_impact([told(2.0, "paused", "r2")], SENT, FALLEN)
    assert nothing.impact == Impact()
