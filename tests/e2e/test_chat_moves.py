"""Rooms move as a whole: while people talk the fleet grows, shrinks, drains and loses a member, and nothing is lost."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from lb_client.chat_memory import Moved
from tests.support.chatters import Party, Person, talking
from tests.support.command import lbdemo, status
from tests.support.eventually import aeventually

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.timeout(90)

EACH = 3
ROOMS = 12


@pytest.fixture
def target() -> Iterator[str]:
    lbdemo("up", "--replicas", "3", ok=True)
    yield lbdemo("status", "--target", ok=True).out.strip()
    lbdemo("down", ok=True)


async def run(*args: str) -> None:
    """The command, while the people here go on."""
    await asyncio.to_thread(lbdemo, *args, ok=True)


def pid_of(replica: str) -> int:
    return int(next(r["pid"] for r in status()["replicas"] if r["id"] == replica))


async def expect_whole(party: Party, said: dict[str, set[str]]) -> None:
    """Everybody is together, knows all that was said, and has noticed nothing but that the room moved."""
    await aeventually(party.expect_together, within_s=20)
    assert said
    await aeventually(lambda: party.expect_heard(said), within_s=20)
    for person in party.people:
        person.expect_no_commotion()


async def test_rooms_move_to_new_replicas_as_a_whole(target: str) -> None:
    async with Party(target) as party:
        await party.join_all(ROOMS, EACH)
        async with talking(party) as said:
            await run("scale", "6")
            await aeventually(lambda: _expect(party.moved(), "nothing has moved"), within_s=20)
            await aeventually(party.expect_together, within_s=20)
        await expect_whole(party, said)
        for people in party.rooms().values():
            # All who have moved are in one place; on the way there somebody may have seen a ring that others have not.
            moves = [person.of_kind(Moved) for person in people]
            assert len({move[-1].to for move in moves if move and isinstance(move[-1], Moved)}) <= 1
            assert all(len(move) <= 3 for move in moves)
        assert {move.to for move in party.moved()} & {"r4", "r5", "r6"}


async def test_rooms_leave_replicas_that_drain(target: str) -> None:
    async with Party(target) as party:
        await party.join_all(ROOMS, EACH)
        async with talking(party) as said:
            await run("scale", "1")
            await aeventually(lambda: _expect(all(person.replica == "r1" for person in party.people), "not all on r1"))
        await expect_whole(party, said)
        # Whichever of the two is heard of first: a room may go by the other, but to none from which it has come.
        for person in party.people:
            left = [event.came_from for event in person.of_kind(Moved) if isinstance(event, Moved)]
            assert "r1" not in left
            assert len(left) == len(set(left)), f"{person!r}"


async def test_rooms_survive_the_kill_of_their_replica_and_nothing_acknowledged_is_lost(target: str) -> None:
    async with Party(target) as party:
        await party.join_all(ROOMS, EACH)
        victim = Counter(person.replica for person in party.people).most_common(1)[0][0]
        hit = [person for person in party.people if person.replica == victim]
        async with talking(party) as said:
            os.kill(await asyncio.to_thread(pid_of, victim), signal.SIGKILL)
            killed_s = time.monotonic()
            await aeventually(lambda: _expect_back(hit, killed_s), within_s=20)
            await aeventually(party.expect_together, within_s=20)
            await asyncio.sleep(0.5)  # the replica comes back elsewhere, and takes rooms
        await expect_whole(party, said)
        for person in hit:
            # Within a second: measured by the benchmark, not on a machine that does much else.
            assert _back_after_s(person, killed_s) <= 5, f"{person!r}"


async def test_all_of_it_at_once(target: str) -> None:
    async with Party(target, channels=5) as party:
        await party.join_all(ROOMS, EACH)
        async with talking(party) as said:
            await asyncio.gather(run("scale", "5"), _kill("r1"))
            await _kill("r2")
            await run("scale", "2")
            await run("scale", "4")
        await expect_whole(party, said)


async def test_who_comes_while_the_room_moves_meets_the_others(target: str) -> None:
    async with Party(target) as party:
        first = await party.join("kitchen", "ann")
        growing = asyncio.create_task(run("scale", "5"))
        for number in range(30):
            await party.join("kitchen", f"p{number}")
        await growing
        await aeventually(party.expect_together)
        await party.say_all("hello")
        await aeventually(lambda: party.expect_all_heard("hello"))
        first.expect_no_repetition()


async def test_two_hundred_rooms_spread_over_the_replicas_and_move_together(target: str) -> None:
    async with Party(target) as party:
        await party.join_all(200, 2)
        rooms = Counter(people[0].replica for people in party.rooms().values())
        assert set(rooms) == {"r1", "r2", "r3"}
        # 66.7 expected each; less than 40 happens once in 100,000 runs.
        assert min(rooms.values()) >= 40, rooms
        listed = lbdemo("chat", "--rooms", "--json", ok=True).json
        assert Counter(room["replica"] for room in listed["rooms"]) == rooms
        await run("scale", "4")
        await aeventually(lambda: _expect("r4" in {p.replica for p in party.people}, "r4 has no room"))
        await aeventually(party.expect_together, within_s=20)
        await party.say_all("hello")
        await aeventually(lambda: party.expect_all_heard("hello"))
        moved = len({person.session.room for person in party.people if person.of_kind(Moved)})
        # A fourth goes to r4; some more move because the ring has a fixed size: fewer places for each of the old ones.
        assert 20 <= moved <= 120, moved


async def _kill(replica: str) -> None:
    os.kill(await asyncio.to_thread(pid_of, replica), signal.SIGKILL)


def _back_after_s(person: Person, killed_s: float) -> float:
    """When it heard the first line after the kill, in a stream that began after it."""
    move_s = next(at_s for at_s, event in person.events if isinstance(event, Moved))
    return max(min(at_s for at_s in person.heard_at.values() if at_s >= move_s), move_s) - killed_s


def _expect_back(people: list[Person], killed_s: float) -> None:
    for person in people:
        assert person.of_kind(Moved), person.name
        assert max(person.heard_at.values()) > killed_s + 0.3


def _expect(truth: object, words: str) -> None:
    assert truth, words
