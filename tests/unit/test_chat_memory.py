"""What a member knows, from the server's messages: news once, acknowledgements, and who came along with the room."""

from __future__ import annotations

from lb_client.chat_memory import (
    COME_ALONG_S,
    Back,
    Came,
    Entered,
    Event,
    Lost,
    Memory,
    Moved,
    Renamed,
    Spoke,
    Went,
)
from protos.chat_pb2 import ChatLine, Joined, Left, ToMember, Welcome
from protos.chat_rules import HISTORY


def line(stamp: int, id: str = "", name: str = "bob") -> ChatLine:
    return ChatLine(id=id or f"l-{stamp}", name=name, text="x", stamp_us=stamp)


def welcome(
    memory: Memory, replica: str, *members: str, name: str = "ann", at: float = 0.0, **more: object
) -> list[Event]:
    message = Welcome(replica=replica, name=name, members=sorted(members), **more)  # type: ignore[arg-type]
    return memory.take(ToMember(welcome=message), at)


def entered(*members: str) -> Memory:
    memory = Memory("ann")
    welcome(memory, "r1", "ann", *members)
    return memory


def test_entering_tells_all_at_once() -> None:
    memory = Memory("ann")
    assert memory.hello(20).comes_from == ""
    assert welcome(memory, "r1", "ann", "bob", lines=[line(1)]) == [Entered("r1", "ann", ("ann", "bob"), (line(1),))]
    assert memory.replica == "r1"


def test_a_line_is_news_once_and_ones_own_is_the_acknowledgement() -> None:
    memory = entered("bob")
    mine = memory.say("hello")
    assert list(memory.pending) == [mine]
    assert memory.take(ToMember(line=line(1)), 0) == [Spoke(line(1), mine=False)]
    own = line(2, mine, "ann")
    assert memory.take(ToMember(line=own), 0) == [Spoke(own, mine=True)]
    assert memory.take(ToMember(line=own), 0) == []
    assert not memory.pending


def test_what_is_known_is_brought_along_and_what_was_missed_is_told() -> None:
    memory = entered("bob")
    memory.take(ToMember(line=line(1)), 0)
    hello = memory.hello(20)
    assert (hello.comes_from, [known.id for known in hello.known]) == ("r1", ["l-1"])
    assert welcome(memory, "r2", "ann", "bob", lines=[line(1), line(2)]) == [
        Moved("r1", "r2"),
        Spoke(line(2), mine=False),
    ]


def test_a_line_acknowledged_by_the_welcome_is_not_sent_again() -> None:
    memory = entered("bob")
    mine = memory.say("hello")
    welcome(memory, "r2", "ann", lines=[line(5, mine, "ann")])
    assert not memory.pending


def test_no_more_is_brought_along_than_a_room_takes() -> None:
    memory = entered()
    for stamp in range(1, 3 * HISTORY):
        memory.take(ToMember(line=line(stamp)), 0)
    assert len(memory.hello(20).known) == HISTORY


def test_those_who_come_along_are_no_news_and_those_who_do_not_are_told_in_time() -> None:
    memory = entered("bob", "zoe")
    assert welcome(memory, "r2", "ann", "eve", at=10.0) == [Moved("r1", "r2"), Came("eve")]
    assert memory.take(ToMember(joined=Joined(name="bob", came_along=True)), 10.1) == []
    assert memory.overdue(10 + COME_ALONG_S / 2) == []
    assert memory.overdue(10 + COME_ALONG_S) == [Went("zoe")]
    assert memory.overdue(10 + COME_ALONG_S) == []
    assert memory.members == {"ann", "bob", "eve"}


def test_a_second_move_gives_no_more_time() -> None:
    memory = entered("bob")
    welcome(memory, "r2", "ann", at=10.0)
    welcome(memory, "r3", "ann", at=11.0)
    assert memory.overdue(10 + COME_ALONG_S) == [Went("bob")]


def test_coming_and_going() -> None:
    memory = entered()
    assert memory.take(ToMember(joined=Joined(name="bob")), 0) == [Came("bob")]
    assert memory.take(ToMember(joined=Joined(name="bob", came_along=True)), 0) == []
    assert memory.take(ToMember(left=Left(name="bob")), 0) == [Went("bob")]
    assert memory.take(ToMember(), 0) == []


def test_who_moves_on_before_us_has_not_left() -> None:
    memory = entered("bob")
    assert memory.take(ToMember(left=Left(name="bob", moves_to="r2")), 0) == []
    assert welcome(memory, "r2", "ann", "bob", at=0.1) == [Moved("r1", "r2")]
    assert memory.overdue(100) == []


def test_out_of_reach_is_told_once_and_its_end_too() -> None:
    memory = entered()
    assert memory.lost("gone") == [Lost("gone")]
    assert memory.lost("gone") == []
    assert welcome(memory, "r1", "ann") == [Back("r1")]
    assert welcome(memory, "r1", "ann") == []
    assert Memory("ann").lost("never been there") == []


def test_another_name_on_coming_back() -> None:
    memory = entered("bob")
    assert welcome(memory, "r2", "ann", "ann (2)", "bob", name="ann (2)") == [
        Moved("r1", "r2"),
        Renamed("ann (2)"),
        Came("ann"),
    ]
    assert memory.name == "ann (2)"
