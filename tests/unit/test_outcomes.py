"""What a replica remembers of its conversations: by name, the latest, no more than so many."""

from __future__ import annotations

from backends.outcomes import Ending, Outcomes, Sighting


def test_open_conversation_grows_older_and_an_ended_one_does_not() -> None:
    now = [10.0]
    seen = Sighting(clock=lambda: now[0])
    now[0] = 12.0
    assert (seen.ending, seen.open_s) == (Ending.OPEN, 2.0)
    seen.end(Ending.CANCELLED)
    now[0] = 20.0
    assert (seen.ending, seen.open_s) == (Ending.CANCELLED, 2.0)


def test_oldest_is_forgotten_first() -> None:
    outcomes = Outcomes(most=2)
    sightings = {name: Sighting() for name in "abc"}
    for name, seen in sightings.items():
        outcomes.add(name, seen)
    assert outcomes.find("a") is None
    assert outcomes.find("b") is sightings["b"]
    assert outcomes.find("c") is sightings["c"]


def test_name_used_again_means_the_later_one_and_counts_as_young() -> None:
    outcomes = Outcomes(most=2)
    first, other, again, last = (Sighting() for _ in range(4))
    outcomes.add("a", first)
    outcomes.add("b", other)
    outcomes.add("a", again)
    outcomes.add("c", last)
    assert outcomes.find("a") is again
    assert outcomes.find("b") is None
