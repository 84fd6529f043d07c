"""A room's decisions, with literals: who may be in it, who is told what, what it remembers."""

from __future__ import annotations

import grpc
import pytest

from backends.chat_outbox import Bucket, Outbox, Refusal
from backends.chat_room import MAX_EMPTY, MAX_MEMBERS, Member, Room, Rooms
from protos.chat_pb2 import ChatLine, Hello, Say, ToMember
from protos.chat_rules import HISTORY, BadWordError

NOW = 1_000_000_000


def join(room: Room, name: str, *, now_us: int = NOW, outbox: Outbox | None = None, **more: object) -> Member:
    hello = Hello(name=name, session=more.pop("session", f"secret-of-{name}"[:64].replace(" ", "-")), **more)  # type: ignore[arg-type]
    return room.join(hello, outbox if outbox is not None else Outbox(), now_us=now_us)


async def got(member: Member) -> list[ToMember]:
    return [await member.outbox.next() for _ in range(len(member.outbox))]


def kinds(messages: list[ToMember]) -> list[str]:
    return [str(message.WhichOneof("what")) for message in messages]


async def test_who_joins_is_welcomed_and_the_others_are_told() -> None:
    room = Room("kitchen", "r1")
    ann, bob = join(room, "ann"), join(room, "bob")
    room.say(ann, Say(id="a", text="hello"), now_us=NOW)
    room.leave(bob)
    assert kinds(await got(ann)) == ["welcome", "joined", "line", "left"]
    assert kinds(await got(bob)) == ["welcome", "line"]
    assert room.members == ["ann"]
    assert (room.as_message().lines, room.as_message().room) == (1, "kitchen")


async def test_stamps_rise_even_when_the_clock_goes_back() -> None:
    room = Room("kitchen", "r1")
    ann = join(room, "ann")
    for number, now_us in enumerate((NOW, NOW - 500, NOW)):
        room.say(ann, Say(id=f"{number}", text="x"), now_us=now_us)
    assert [m.line.stamp_us for m in (await got(ann))[1:]] == [NOW, NOW + 1, NOW + 2]


async def test_stamps_that_are_brought_along_cannot_carry_the_rooms_time_away() -> None:
    room = Room("kitchen", "r1")
    ann = join(room, "ann", comes_from="r2", known=[ChatLine(id="x", name="eve", text="x", stamp_us=2**64 - 1)])
    room.say(ann, Say(id="y", text="y"), now_us=NOW)
    assert (await got(ann))[-1].line.stamp_us == NOW + 24 * 3600 * 1_000_000 + 1


async def test_leaving_quietly_and_moving_on() -> None:
    room = Room("kitchen", "r1")
    ann, bob, zoe = join(room, "ann"), join(room, "bob"), join(room, "zoe")
    await got(ann)
    room.leave(bob, quietly=True)
    room.leave(zoe, moves_to="r2")
    room.leave(zoe)
    assert [m.left.moves_to for m in await got(ann)] == ["r2"]


async def test_a_full_outbox_ends_its_member_and_no_other() -> None:
    room = Room("kitchen", "r1")
    ann, slow = join(room, "ann"), join(room, "slow", outbox=Outbox(limit=3))
    for number in range(5):
        room.say(ann, Say(id=f"{number}", text="x"), now_us=NOW)
    assert slow.outbox.ended.result().code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert len(slow.outbox) == 0
    assert kinds(await got(ann)) == ["welcome", "joined", *["line"] * 5]


async def test_an_outbox_is_bounded_by_bytes_too() -> None:
    outbox = Outbox(limit=1000, limit_bytes=10_000)
    for _ in range(5):
        outbox.put(ToMember(line=ChatLine(text="x" * 4000)))
    assert outbox.ended.done()


async def test_a_taken_name_a_returning_one_and_the_same_client_again() -> None:
    room = Room("kitchen", "r1")
    ann = join(room, "ann")
    with pytest.raises(Refusal) as raised:
        join(room, "Ann", session="another-secret")
    assert raised.value.code is grpc.StatusCode.ALREADY_EXISTS
    assert join(room, "ANN", session="another-secret", comes_from="r2").name == "ANN (2)"
    assert join(room, "ann", session="a-third-secret", comes_from="r2").name == "ann (3)"
    assert join(room, "ann").session == ann.session
    assert ann.outbox.ended.result().code is grpc.StatusCode.ABORTED
    room.leave(ann)  # its stream ends after another has taken its place
    assert room.members == ["ANN (2)", "ann", "ann (3)"]


async def test_a_long_name_is_numbered_within_its_bound() -> None:
    room = Room("kitchen", "r1")
    join(room, "x" * 64)
    assert join(room, "x" * 64, session="another-secret", comes_from="r2").name == "x" * 56 + " (2)"


async def test_a_full_room() -> None:
    room = Room("kitchen", "r1")
    for number in range(MAX_MEMBERS):
        join(room, f"p{number}")
    with pytest.raises(Refusal, match="is full"):
        join(room, "one more")


async def test_a_refused_line_changes_nothing() -> None:
    room = Room("kitchen", "r1")
    ann = join(room, "ann")
    await got(ann)
    for say in (Say(id="", text="x"), Say(id="a", text=""), Say(id="a", text="x" * 5000)):
        with pytest.raises(BadWordError):
            room.say(ann, say, now_us=NOW)
    assert await got(ann) == []


def test_a_bucket_fills_again() -> None:
    bucket = Bucket()
    assert [bucket.take(100.0) for _ in range(Bucket.BURST + 1)] == [*[True] * Bucket.BURST, False]
    assert [bucket.take(101.0) for _ in range(Bucket.PER_S + 1)] == [*[True] * Bucket.PER_S, False]
    assert not bucket.take(50.0)  # a clock that goes back gives nothing


async def test_rooms_remember_the_last_that_were_left() -> None:
    rooms = Rooms("r1")
    for number in range(MAX_EMPTY + 10):
        room = rooms.enter(f"room-{number}")
        member = join(room, "ann")
        room.say(member, Say(id="a", text="x"), now_us=NOW)
        room.leave(member)
        rooms.left(room)
    kept = rooms.enter("kept")
    join(kept, "bob")
    rooms.left(kept)
    assert [room.name for room in rooms] == ["kept"]
    assert rooms.find("room-9") is None
    remembered = rooms.find("room-10")
    assert remembered is not None
    assert len((await got(join(remembered, "zoe", history=HISTORY)))[0].welcome.lines) == 1
