"""The last lines of a room: order, bounds, and the merge that makes a room whole again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from protos.chat_history import History
from protos.chat_pb2 import ChatLine

if TYPE_CHECKING:
    import random


def line(stamp: int, id: str = "", text: str = "x") -> ChatLine:
    return ChatLine(id=id or f"l-{stamp}", name="ann", text=text, stamp_us=stamp)


def ids(history: History) -> list[str]:
    return [line.id for line in history.newest(1000)]


def test_lines_are_in_the_order_of_their_stamps_whatever_order_they_come_in() -> None:
    history = History()
    assert history.merge([line(3), line(1)]) == [line(1), line(3)]
    assert history.merge([line(2), line(1)]) == [line(2)]
    assert ids(history) == ["l-1", "l-2", "l-3"]
    assert [line.id for line in history.newest(2)] == ["l-2", "l-3"]
    assert history.newest(0) == []


def test_a_line_is_there_once_whatever_stamp_it_comes_with() -> None:
    history = History()
    assert history.add(line(1, "same"))
    assert not history.add(line(2, "same"))
    assert history.get("same") == line(1, "same")
    assert history.get("other") is None


def test_the_oldest_are_forgotten_and_do_not_come_back() -> None:
    history = History(limit=3)
    history.merge(line(n) for n in range(1, 6))
    assert ids(history) == ["l-3", "l-4", "l-5"]
    assert not history.add(line(2))
    assert ids(history) == ["l-3", "l-4", "l-5"]


def test_large_lines_are_bounded_by_their_bytes() -> None:
    history = History(limit=100, limit_bytes=10_000)
    history.merge(line(n, text="x" * 3000) for n in range(1, 10))
    assert ids(history) == ["l-7", "l-8", "l-9"]


def test_the_rooms_time_never_goes_back() -> None:
    history = History()
    assert history.next_stamp(1000) == 1000
    history.add(line(5000))
    assert history.next_stamp(1000) == 5001
    assert history.next_stamp(9000) == 9000


@given(st.lists(st.sets(st.integers(1, 60)), max_size=5), st.randoms(use_true_random=False))
def test_a_room_is_the_same_whoever_comes_back_first(known: list[set[int]], rng: random.Random) -> None:
    rooms = []
    for _ in range(2):
        room = History(limit=100)
        for stamps in rng.sample(known, len(known)):
            room.merge(line(stamp) for stamp in stamps)
        rooms.append(ids(room))
    assert rooms[0] == rooms[1] == [f"l-{stamp}" for stamp in sorted(set().union(*known))]
