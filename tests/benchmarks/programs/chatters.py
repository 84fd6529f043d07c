"""Members of one room in one process: `python -m tests.benchmarks.programs.chatters TARGET ROOM MEMBERS`.

Asked `lines` and `per_s`, the first member says so many lines, and the answer tells for each line how long each of the
others waited for it. Asked `where`, it answers which replica has the room; asked `after`, a time of the monotonic
clock, it says lines until everybody has heard one that was said in a stream of after that time.
"""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Any

from lb_client.chat_channels import RingChannels
from lb_client.chat_memory import Moved, Spoke
from lb_client.chat_session import ChatSession
from protos import chat_pb2, chat_pb2_grpc
from protos.chat_rules import ROOM_KEY, room_header
from tests.benchmarks.programs.talk import questions, say

_PATIENCE_S = 10.0
_EVERY_S = 0.005
_WARM_LINES = 5


class Member:
    """One who listens."""

    def __init__(self, session: ChatSession) -> None:
        self.session = session
        self.heard_s: dict[str, float] = {}
        self.moved_s = 0.0
        self.heard = asyncio.Event()

    async def listen(self) -> None:
        """Keep when each line was heard, and when the room moved last."""
        async for event in self.session:
            if isinstance(event, Spoke):
                self.heard_s[event.line.id] = time.monotonic()
                self.heard.set()
            elif isinstance(event, Moved):
                self.moved_s = time.monotonic()


async def main(target: str, room: str, count: int) -> None:
    """Join, then answer questions."""
    async with RingChannels(target) as channels:
        members = [await _join(channels, room, f"m{number}") for number in range(count)]
        listeners = [asyncio.create_task(member.listen()) for member in members]
        say(ready=True)
        asked = questions()
        while (question := await asyncio.to_thread(next, asked, None)) is not None:
            say(**await _answer(question, members, channels))
        for member in members:
            member.session.leave()
        await asyncio.gather(*listeners)


async def _join(channels: RingChannels, room: str, name: str) -> Member:
    session = ChatSession(channels, room=room, name=name)
    await session.__aenter__()
    await session.entered()
    return Member(session)


async def _answer(question: dict[str, Any], members: list[Member], channels: RingChannels) -> dict[str, Any]:
    if "lines" in question:
        return {"waited_s": await _latencies(members, question["lines"], question["per_s"])}
    if "rooms" in question:
        return {"replicas": await _located(channels, question["rooms"])}
    if "after" in question:
        return {"back_s": await _back(members, question["after"])}
    return {"replica": members[0].session.memory.replica}


async def _latencies(members: list[Member], lines: int, per_s: float) -> list[list[float]]:
    speaker, *others = members
    waited = []
    for number in range(_WARM_LINES + lines):
        said_s = time.monotonic()
        line = await speaker.session.say("x" * 40)
        for other in others:
            while line not in other.heard_s:
                other.heard.clear()
                await asyncio.wait_for(other.heard.wait(), _PATIENCE_S)
        if number >= _WARM_LINES:
            waited.append([other.heard_s[line] - said_s for other in others])
        await asyncio.sleep(max(0.0, said_s + 1 / per_s - time.monotonic()))
    return waited


async def _back(members: list[Member], after_s: float) -> float:
    """Seconds from `after_s` until everybody was on another replica and had heard a line there."""
    said: list[str] = []

    def is_back() -> bool:
        return all(m.moved_s > after_s and any(m.heard_s.get(line, 0.0) >= m.moved_s for line in said) for m in members)

    async def talk() -> None:
        while True:
            said.append(await members[0].session.say("anybody there?"))
            await asyncio.sleep(0.05)

    talker = asyncio.create_task(talk())
    await _until(is_back)
    talker.cancel()
    return (
        max(min(m.heard_s[line] for line in said if m.heard_s.get(line, 0.0) >= m.moved_s) for m in members) - after_s
    )


async def _located(channels: RingChannels, rooms: int) -> list[str]:
    found = []
    with channels.lend() as channel:
        assert channel is not None
        stub: chat_pb2_grpc.ChatAsyncStub = chat_pb2_grpc.ChatStub(channel)
        for number in range(rooms):
            metadata = ((ROOM_KEY, room_header(f"room {number}")),)
            found.append((await stub.Locate(chat_pb2.LocateRequest(), metadata=metadata)).replica)
    return found


async def _until(check: Any) -> None:
    end_s = time.monotonic() + _PATIENCE_S
    while not check():
        if time.monotonic() > end_s:
            raise TimeoutError("the room is not what it should be")
        await asyncio.sleep(_EVERY_S)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
