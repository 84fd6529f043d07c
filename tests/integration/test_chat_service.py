"""The Chat service of one replica over a real channel: who gets what, and what becomes of those who misbehave."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio
import pytest

from backends.chat_outbox import MAX_WAITING
from backends.replica import Replica
from backends.spec import ReplicaSpec
from protos import chat_pb2, chat_pb2_grpc, cluster_pb2, cluster_pb2_grpc
from protos.chat_rules import MAX_LINE_BYTES, ROOM_KEY, room_header
from tests.support.eventually import aeventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

SESSION = "secret-of-{}"


class Raw:
    """A member by hand: it reads only when it is told to."""

    def __init__(self, channel: grpc.aio.Channel, room: str = "kitchen") -> None:
        stub: chat_pb2_grpc.ChatAsyncStub = chat_pb2_grpc.ChatStub(channel)
        self.call = stub.Join(metadata=((ROOM_KEY, room_header(room)),))

    async def hello(self, name: str, **more: Any) -> chat_pb2.Welcome:
        await self.send(hello=chat_pb2.Hello(name=name, session=SESSION.format(name), **more))
        return (await self.read()).welcome

    async def send(self, **what: Any) -> None:
        await self.call.write(chat_pb2.FromMember(**what))

    async def say(self, text: str, id: str = "1") -> None:
        await self.send(say=chat_pb2.Say(id=id, text=text))

    async def read(self) -> chat_pb2.ToMember:
        message = await asyncio.wait_for(self.call.read(), 5)
        assert isinstance(message, chat_pb2.ToMember), await self.status()
        return message

    async def line(self) -> chat_pb2.ChatLine:
        """The next line, whatever else comes before it."""
        while not (message := await self.read()).HasField("line"):
            pass
        return message.line

    async def status(self) -> tuple[grpc.StatusCode, str]:
        code = await asyncio.wait_for(self.call.code(), 5)
        return code, await self.call.details()

    async def refused(self) -> tuple[grpc.StatusCode, str]:
        """How the stream ended, when all that came before was read."""
        try:
            while await asyncio.wait_for(self.call.read(), 5) is not grpc.aio.EOF:
                pass
        except grpc.aio.AioRpcError:
            pass
        return await self.status()


@asynccontextmanager
async def a_replica(**more: Any) -> AsyncIterator[tuple[Replica, grpc.aio.Channel]]:
    async with (
        Replica(ReplicaSpec(id="r1", **more)) as replica,
        grpc.aio.insecure_channel(replica.address, [("grpc.enable_http_proxy", 0)]) as channel,
    ):
        yield replica, channel


async def test_a_line_reaches_everybody_in_the_room_and_nobody_else() -> None:
    async with a_replica() as (_, channel):
        ann, bob, zoe = Raw(channel), Raw(channel), Raw(channel, "attic")
        assert list((await ann.hello("ann")).members) == ["ann"]
        welcome = await bob.hello("bob")
        assert (welcome.replica, list(welcome.members)) == ("r1", ["ann", "bob"])
        assert list((await zoe.hello("zoe")).members) == ["zoe"]
        assert (await ann.read()).joined == chat_pb2.Joined(name="bob")
        await ann.say("hello", "a-1")
        for member in (ann, bob):
            line = await member.line()
            assert (line.id, line.name, line.text) == ("a-1", "ann", "hello")
        await bob.send(leave=chat_pb2.Leave())
        assert (await bob.refused())[0] is grpc.StatusCode.OK
        assert (await ann.read()).left == chat_pb2.Left(name="bob")
        ann.call.cancel()
        zoe.call.cancel()


async def test_who_comes_late_gets_as_much_history_as_it_asks_for() -> None:
    async with a_replica() as (_, channel):
        ann = Raw(channel)
        await ann.hello("ann")
        for number in range(5):
            await ann.say(f"line {number}", f"a-{number}")
            await ann.line()
        lines = (await Raw(channel).hello("bob", history=3)).lines
        assert [line.text for line in lines] == ["line 2", "line 3", "line 4"]
        assert not (await Raw(channel).hello("zoe")).lines


async def test_room_and_rooms_are_told() -> None:
    async with a_replica() as (_, channel):
        stub: chat_pb2_grpc.ChatAsyncStub = chat_pb2_grpc.ChatStub(channel)
        ann, zoe = Raw(channel, "küche"), Raw(channel, "attic")  # kept: older gRPC cancels a call that nobody holds
        await ann.hello("ann")
        await zoe.hello("zoe")
        metadata = ((ROOM_KEY, room_header("küche")),)
        assert (await stub.Locate(chat_pb2.LocateRequest(), metadata=metadata)).replica == "r1"
        room = await stub.GetRoom(chat_pb2.GetRoomRequest(), metadata=metadata)
        assert room == chat_pb2.Room(replica="r1", room="küche", members=["ann"])
        rooms = (await stub.ListRooms(chat_pb2.ListRoomsRequest())).rooms
        assert [(room.room, list(room.members)) for room in rooms] == [("attic", ["zoe"]), ("küche", ["ann"])]


async def test_a_line_sent_again_is_acknowledged_again_and_heard_once() -> None:
    async with a_replica() as (_, channel):
        ann, bob = Raw(channel), Raw(channel)
        await ann.hello("ann")
        await bob.hello("bob")
        await ann.say("hello", "x")
        await ann.say("hello", "x")
        await ann.say("bye", "y")
        assert [(await ann.line()).id for _ in range(3)] == ["x", "x", "y"]
        assert [(await bob.line()).id for _ in range(2)] == ["x", "y"]


async def test_a_room_takes_in_what_its_members_bring_along_in_its_old_order() -> None:
    lines = [chat_pb2.ChatLine(id=f"l-{n}", name="ann", text=f"{n}", stamp_us=1000 + n) for n in range(4)]
    async with a_replica() as (_, channel):
        ann, bob, zoe = Raw(channel), Raw(channel), Raw(channel)
        welcome = await ann.hello("ann", comes_from="r2", known=[lines[1], lines[3]])
        assert not welcome.lines
        await ann.say("new", "n")
        welcome = await bob.hello("bob", comes_from="r2", known=lines[:3])
        assert [line.id for line in welcome.lines] == ["l-3", "n"]
        assert [(await ann.line()).id for _ in range(3)] == ["n", "l-0", "l-2"]
        assert (await ann.read()).joined == chat_pb2.Joined(name="bob", came_along=True)
        welcome = await zoe.hello("zoe", history=100)
        assert [line.id for line in welcome.lines] == ["l-0", "l-1", "l-2", "l-3", "n"]


async def test_a_taken_name_is_refused_however_it_is_written() -> None:
    async with a_replica() as (_, channel):
        ann = Raw(channel)
        await ann.hello("Ann")
        for name in ("ann", "ANN", "\uff21nn"):
            other = Raw(channel)
            await other.send(hello=chat_pb2.Hello(name=name, session="another-session"))
            code, text = await other.refused()
            assert code is grpc.StatusCode.ALREADY_EXISTS
            assert text == "Ann is in the room kitchen already: choose another name"


async def test_who_comes_along_with_the_room_and_finds_its_name_taken_is_numbered() -> None:
    async with a_replica() as (_, channel):
        ann = Raw(channel)
        await ann.hello("ann")
        other = Raw(channel)
        await other.send(hello=chat_pb2.Hello(name="ann", session="another-session", comes_from="r2"))
        assert (await other.read()).welcome.name == "ann (2)"


async def test_the_same_client_takes_its_own_place_again() -> None:
    async with a_replica() as (_, channel):
        bob, first, again = Raw(channel), Raw(channel), Raw(channel)
        await bob.hello("bob")
        await first.hello("ann")
        assert list((await again.hello("ann")).members) == ["ann", "bob"]
        assert await first.refused() == (grpc.StatusCode.ABORTED, "this client has joined the room again")
        assert (await bob.read()).joined.name == "ann"
        await again.say("still here")
        assert (await bob.read()).line.text == "still here"  # neither left nor joined in between


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("", "the name is empty"),
        ("  ", "the name is empty"),
        ("x" * 65, "the name is too long: 65 characters"),
        ("x" * 1_000_000, "the name is too long"),
        ("a\x1b[31mnn", "U+001B"),
        ("a\nb", "U+000A"),
        ("ann\u202e", "U+202E (right-to-left override)"),
        ("a\u200bnn", "U+200B (zero width space)"),
        ("\u3164", "U+3164 (hangul filler)"),
    ],
)
async def test_a_name_that_cannot_be_is_refused_in_words_that_can_be_printed(name: str, complaint: str) -> None:
    async with a_replica() as (_, channel):
        member = Raw(channel)
        await member.send(hello=chat_pb2.Hello(name=name, session="a-session"))
        code, text = await member.refused()
        assert code is grpc.StatusCode.INVALID_ARGUMENT
        assert complaint in text
        assert text.isprintable()


@pytest.mark.parametrize(
    ("metadata", "complaint"),
    [
        ((), "the call needs the metadata lbdemo-room"),
        (((ROOM_KEY, "a"), (ROOM_KEY, "b")), "the call needs the metadata lbdemo-room, once"),
        (((ROOM_KEY, ""),), "the room is empty"),
        (((ROOM_KEY, "x" * 4000),), "the room is too long"),
        (((ROOM_KEY, "%1B%5B2J"),), "U+001B"),
        (((ROOM_KEY, "%ff"),), "is no UTF-8"),
        (((ROOM_KEY, "%6bitchen"),), "must be 'kitchen'"),
        (((ROOM_KEY, "a b"),), "must be 'a%20b'"),
        (((ROOM_KEY, "u%CC%88"),), "must be '%C3%BC'"),
    ],
)
async def test_a_room_that_cannot_be_or_would_hash_elsewhere_is_refused(metadata: Any, complaint: str) -> None:
    async with a_replica() as (_, channel):
        stub: chat_pb2_grpc.ChatAsyncStub = chat_pb2_grpc.ChatStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await stub.Join(iter([]), metadata=metadata).read()
        assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert complaint in str(raised.value.details())
        with pytest.raises(grpc.aio.AioRpcError):
            await stub.GetRoom(chat_pb2.GetRoomRequest(), metadata=metadata)


async def test_what_could_steer_a_terminal_reaches_nobody() -> None:
    async with a_replica() as (_, channel):
        ann, bob = Raw(channel), Raw(channel)
        await ann.hello("ann")
        await bob.hello("bob")
        await ann.say("\x1b]0;owned\x07 \u202eevil\u2066 a\u200bb \u2028 z" + "\u0301" * 50 + " 👩‍👩‍👧 ok")
        text = (await bob.line()).text
        assert text == "�]0;owned� �evil� a�b � z" + "\u0301" * 4 + " 👩‍👩‍👧 ok"
        bad = chat_pb2.ChatLine(id="old", name="x\x1b[0m", text="old", stamp_us=1)
        zoe = Raw(channel)
        await zoe.send(hello=chat_pb2.Hello(name="zoe", session="a-session", comes_from="r2", known=[bad]))
        assert (await zoe.refused())[0] is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize("what", ["say first", "hello twice", "bad id", "bad session", "empty line", "long line"])
async def test_what_makes_no_sense_ends_the_stream_with_a_word(what: str) -> None:
    async with a_replica() as (_, channel):
        member = Raw(channel)
        if what == "say first":
            await member.say("hello")
        elif what == "bad session":
            await member.send(hello=chat_pb2.Hello(name="ann", session="short"))
        else:
            await member.hello("ann")
            match what:
                case "hello twice":
                    await member.send(hello=chat_pb2.Hello(name="ann", session="a-session"))
                case "bad id":
                    await member.say("hello", "A!")
                case "empty line":
                    await member.say(" \t ")
                case "long line":
                    await member.say("x" * (MAX_LINE_BYTES + 1))
        code, text = await member.refused()
        assert code is grpc.StatusCode.INVALID_ARGUMENT, text
        assert text


async def test_a_message_over_the_size_limit_ends_one_stream_only() -> None:
    async with a_replica() as (_, channel):
        ann, bob = Raw(channel), Raw(channel)
        await ann.hello("ann")
        await bob.hello("bob")
        await bob.say("x" * 5_000_000)
        assert (await bob.refused())[0] is grpc.StatusCode.RESOURCE_EXHAUSTED
        await ann.say("still fine")
        assert (await ann.line()).text == "still fine"


async def test_who_floods_is_told_and_dropped_and_the_others_go_on() -> None:
    async with a_replica() as (replica, channel):
        ann = Raw(channel)
        await ann.hello("ann")
        # gRPC's synchronous client: the asyncio one forgets the status of a call that it still writes to.
        code, text = await asyncio.to_thread(_flood, replica.address)
        assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert text == "bob says too much: 60 lines at once and 30 a second are possible"
        await ann.say("calm", "c")
        heard = 0
        while (await ann.line()).id != "c":
            heard += 1
        assert 60 <= heard <= 300


def _flood(address: str) -> tuple[grpc.StatusCode, str]:
    def messages() -> Iterator[chat_pb2.FromMember]:
        yield chat_pb2.FromMember(hello=chat_pb2.Hello(name="bob", session="a-session"))
        for number in range(1_000_000):
            yield chat_pb2.FromMember(say=chat_pb2.Say(id=f"f-{number}", text="flood"))

    with grpc.insecure_channel(address, [("grpc.enable_http_proxy", 0)]) as channel:
        answers = chat_pb2_grpc.ChatStub(channel).Join(messages(), metadata=((ROOM_KEY, "kitchen"),))
        with pytest.raises(grpc.RpcError):
            for _ in answers:
                pass
        return answers.code(), answers.details()


async def test_who_never_reads_is_dropped_and_told_and_slows_nobody() -> None:
    async with a_replica() as (replica, channel):
        options = [("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1)]
        async with grpc.aio.insecure_channel(replica.address, options) as own:
            sleeper, ann, bob = Raw(own), Raw(channel), Raw(channel)
            await sleeper.hello("sleeper")
            await ann.hello("ann")
            await bob.hello("bob")
            members = 12
            speakers = [Raw(channel) for _ in range(members)]
            for number, speaker in enumerate(speakers):
                await speaker.hello(f"s{number}")
            said = 0
            slowest_s = 0.0
            loop = asyncio.get_running_loop()
            readers = [asyncio.create_task(_swallow(other)) for other in (ann, *speakers)]
            stub: chat_pb2_grpc.ChatAsyncStub = chat_pb2_grpc.ChatStub(channel)
            metadata = ((ROOM_KEY, room_header("kitchen")),)
            while "sleeper" in (await stub.GetRoom(chat_pb2.GetRoomRequest(), metadata=metadata)).members:
                began_s = loop.time()
                assert said < 3 * MAX_WAITING + 3000, "never dropped"
                for speaker in speakers:
                    await speaker.say("x" * 4000, f"l-{said}")
                    said += 1
                for _ in speakers:
                    await bob.line()
                slowest_s = max(slowest_s, loop.time() - began_s)
                await asyncio.sleep(0.03)  # the speakers keep to their rate
            assert slowest_s < 5  # who waited for the sleeper would wait for ever
            code, text = await sleeper.refused()
            assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert text.startswith("you read too slowly")
            for reader in readers:
                reader.cancel()
            await asyncio.gather(*readers, return_exceptions=True)
            await aeventually(lambda: _assert_equal(replica.in_flight, members + 2))


async def _swallow(member: Raw) -> None:
    while await member.call.read() is not grpc.aio.EOF:
        pass


@pytest.mark.parametrize("why", ["drain", "rebalance"])
async def test_members_are_asked_to_move_after_they_have_got_what_waited(why: str) -> None:
    async with a_replica(linger_s=0.2) as (replica, channel):
        ann = Raw(channel)
        await ann.hello("ann")
        await ann.say("last")
        if why == "drain":
            draining = asyncio.create_task(replica.drain())
        else:
            lab: cluster_pb2_grpc.ReplicaAsyncStub = cluster_pb2_grpc.ReplicaStub(channel)
            assert (await lab.Rebalance(cluster_pb2.RebalanceRequest())).asked == 1
        code, text = await ann.refused()
        assert (code, text) == (grpc.StatusCode.UNAVAILABLE, f"replica r1 asks to move: {why}")
        assert dict(await ann.call.trailing_metadata())["lbdemo-move"] == why
        if why == "drain":
            late = Raw(channel)
            await late.send(hello=chat_pb2.Hello(name="zoe", session="a-session"))
            assert (await late.refused())[0] is grpc.StatusCode.UNAVAILABLE
            await draining


def _assert_equal(value: object, expected: object) -> None:
    assert value == expected
