"""People in a chat for tests: real sessions over real channels that keep all they hear, and when."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Self

from lb_client.chat_channels import RingChannels
from lb_client.chat_memory import Came, Entered, Event, Moved, Spoke, Went
from lb_client.chat_session import ChatSession
from tests.support.eventually import aeventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Person:
    """A member of a room that keeps all events.

    Attributes:
        heard: Ids and texts of the lines, in the order in which they were shown.
        heard_at: When each text was heard, by `time.monotonic()`.
        events: All of them, with their times.
    """

    def __init__(self, session: ChatSession) -> None:
        self.session = session
        self.heard: list[tuple[str, str]] = []
        self.heard_at: dict[str, float] = {}
        self.events: list[tuple[float, Event]] = []

    @property
    def name(self) -> str:
        return self.session.memory.name

    @property
    def replica(self) -> str:
        return self.session.memory.replica

    @property
    def ids(self) -> list[str]:
        return [line_id for line_id, _ in self.heard]

    @property
    def texts(self) -> list[str]:
        return [text for _, text in self.heard]

    def of_kind(self, *kinds: type[Event]) -> list[Event]:
        return [event for _, event in self.events if isinstance(event, kinds)]

    async def listen(self) -> None:
        async for event in self.session:
            now_s = time.monotonic()
            self.events.append((now_s, event))
            lines = event.lines if isinstance(event, Entered) else [event.line] if isinstance(event, Spoke) else []
            for line in lines:
                self.heard.append((line.id, line.text))
                self.heard_at[line.text] = now_s

    def expect_no_repetition(self) -> None:
        assert len(self.ids) == len(set(self.ids)), f"{self.name} heard something twice"

    def expect_no_commotion(self) -> None:
        """Nobody was said to come or go, nothing was heard twice."""
        self.expect_no_repetition()
        assert not self.of_kind(Came, Went), f"{self.name}: {self.of_kind(Came, Went)}"


class Party:
    """People in rooms, on a few channels to one target. A context manager: leaving it, everybody leaves."""

    def __init__(self, target: str, channels: int = 3) -> None:
        options = [("grpc.use_local_subchannel_pool", 1)]
        self._channels = [RingChannels(target, options=options) for _ in range(channels)]
        self._tasks: list[asyncio.Task[None]] = []
        self.people: list[Person] = []

    async def __aenter__(self) -> Self:
        for channels in self._channels:
            await channels.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.gather(*(person.session.__aexit__(None, None, None) for person in self.people))
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(channels.__aexit__(None, None, None) for channels in self._channels))

    async def join(self, room: str, name: str) -> Person:
        """Somebody more, who is in the room when this returns."""
        session = ChatSession(
            self._channels[len(self.people) % len(self._channels)],
            room=room,
            name=name,
        )
        await session.__aenter__()
        person = Person(session)
        self.people.append(person)
        self._tasks.append(asyncio.create_task(person.listen()))
        await asyncio.wait_for(session.entered(), 30)
        return person

    async def join_all(self, rooms: int, each: int) -> None:
        """So many rooms with so many people in each: room-0 with p0, p1, …"""
        for number in range(rooms):
            for who in range(each):
                await self.join(f"room-{number}", f"p{who}")
        await aeventually(self.expect_together, within_s=20)
        await aeventually(self._expect_told_of_all, within_s=20)
        for person in self.people:
            person.events.clear()

    def _expect_told_of_all(self) -> None:
        """Whom one knows of, one has been told of, too: a moment later."""
        for people in self.rooms().values():
            for number, person in enumerate(people, 1):
                came = {event.name for event in person.of_kind(Came) if isinstance(event, Came)}
                assert came == {later.name for later in people[number:]}, f"{person.name} was told of {came}"

    def rooms(self) -> dict[str, list[Person]]:
        """Who should be together."""
        rooms: dict[str, list[Person]] = {}
        for person in self.people:
            rooms.setdefault(person.session.room, []).append(person)
        return rooms

    def expect_together(self) -> None:
        """Everybody of a room is on one replica, and knows of all the others."""
        for room, people in self.rooms().items():
            places = {person.replica for person in people}
            assert len(places) == 1, f"{room} is on {places}"
            names = {person.name for person in people}
            for person in people:
                assert person.session.memory.members == names, f"{person.name} in {room}"

    async def say_all(self, text: str) -> None:
        """Everybody says it, and has it acknowledged."""
        await asyncio.gather(*(person.session.say(f"{text} by {person.name}") for person in self.people))
        await asyncio.gather(*(person.session.all_acknowledged() for person in self.people))

    def expect_all_heard(self, text: str) -> None:
        """Everybody has heard everybody in the room, once."""
        for room, people in self.rooms().items():
            for person in people:
                for other in people:
                    wanted = f"{text} by {other.name}"
                    assert person.texts.count(wanted) == 1, f"{person.name} in {room}: {wanted!r}"

    def expect_heard(self, said: dict[str, set[str]]) -> None:
        """Everybody has heard these lines of the room, by id."""
        for person in self.people:
            missing = said[person.session.room] - set(person.ids)
            assert not missing, f"{person.name} in {person.session.room} has not heard {len(missing)} lines"

    def moved(self) -> list[Moved]:
        """All moves that somebody was told of."""
        return [event for person in self.people for event in person.of_kind(Moved) if isinstance(event, Moved)]


@asynccontextmanager
async def talking(party: Party, every_s: float = 0.05) -> AsyncIterator[dict[str, set[str]]]:
    """While the block lasts everybody says lines; leaving it, all are acknowledged. Yields their ids by room."""
    said: dict[str, set[str]] = {room: set() for room in party.rooms()}
    over = asyncio.Event()

    async def talk(person: Person) -> None:
        number = 0
        while not over.is_set():
            said[person.session.room].add(await person.session.say(f"line {number} by {person.name}"))
            number += 1
            await asyncio.sleep(every_s)
        await person.session.all_acknowledged()

    tasks = [asyncio.create_task(talk(person)) for person in party.people]
    try:
        yield said
    finally:
        over.set()
        await asyncio.wait_for(asyncio.gather(*tasks), 20)
