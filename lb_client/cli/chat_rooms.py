"""`lbdemo chat --rooms`: which rooms there are, on which replica, and who is in them. Asks every replica."""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from typing import TYPE_CHECKING

import click
import grpc
import grpc.aio

import resolver
from lb_client.cli.common import Failure
from lb_client.paper import BOLD, Paper
from lb_client.phrases import and_more, counted
from protos import chat_pb2, chat_pb2_grpc
from protos.chat_rules import clean

if TYPE_CHECKING:
    from collections.abc import Sequence

    from resolver.model import Snapshot

_TIMEOUT_S = 5.0


async def show_rooms(target: str, *, as_json: bool) -> None:
    """Print the rooms that somebody is in, on the replicas of a target of ours.

    Raises:
        Failure: The replicas are not known, or none of them answers.
    """
    addresses = await _addresses(target)
    answers = await asyncio.gather(*map(_ask, addresses), return_exceptions=True)
    replies = [answer for answer in answers if isinstance(answer, chat_pb2.ListRoomsReply)]
    if not replies:
        raise Failure(f"no replica at {target} tells its rooms: {_reason(answers)}")
    rooms = sorted((room for reply in replies for room in reply.rooms), key=lambda room: (room.room, room.replica))
    if as_json:
        found = [{"room": room.room, "replica": room.replica, "members": [*room.members]} for room in rooms]
        click.echo(json.dumps({"target": target, "replicas": sorted(r.replica for r in replies), "rooms": found}))
        return
    paper = Paper.of(sys.stdout)
    for line in table(rooms, [reply.replica for reply in replies], paper):
        click.echo(line, color=True)


def table(rooms: Sequence[chat_pb2.Room], replicas: Sequence[str], paper: Paper) -> list[str]:
    """The rooms as lines, and how they spread. Pure."""
    rows = [(clean(room.room), room.replica, and_more([*map(clean, room.members)], 6)) for room in rooms]
    width = max([4, *(len(row[0]) for row in rows)])
    lines = [paper.paint(f"{'ROOM':<{width}}  REPLICA  MEMBERS", BOLD)] if rows else []
    lines += [paper.fit(f"{room:<{width}}  {replica:<7}  {members}") for room, replica, members in rows]
    spread = Counter(dict.fromkeys(sorted(replicas), 0))
    spread.update(room.replica for room in rooms)
    each = ", ".join(f"{replica} {count}" for replica, count in spread.items())
    return [*lines, f"{counted(len(rows), 'room')} on {counted(len(spread), 'replica')}: {each}"]


async def _addresses(target: str) -> list[str]:
    loop = asyncio.get_running_loop()
    first: asyncio.Future[Snapshot] = loop.create_future()

    def take(snapshot: Snapshot) -> None:
        if not first.done():
            first.set_result(snapshot)

    def tell(snapshot: Snapshot) -> None:  # on the control plane's thread
        loop.call_soon_threadsafe(take, snapshot)

    with resolver.watch(target, tell):
        try:
            snapshot = await asyncio.wait_for(first, _TIMEOUT_S)
        except TimeoutError:
            raise Failure(f"{target} could not be resolved within {_TIMEOUT_S:g} s") from None
    if not snapshot.addresses:
        raise Failure(f"no healthy replica is announced at {target}: start some with 'lbdemo up'")
    return sorted(snapshot.addresses)


async def _ask(address: str) -> chat_pb2.ListRoomsReply:
    async with grpc.aio.insecure_channel(address, [("grpc.enable_http_proxy", 0)]) as channel:
        stub: chat_pb2_grpc.ChatAsyncStub = chat_pb2_grpc.ChatStub(channel)
        return await stub.ListRooms(chat_pb2.ListRoomsRequest(), timeout=_TIMEOUT_S)


def _reason(answers: Sequence[object]) -> str:
    for answer in answers:
        if isinstance(answer, grpc.aio.AioRpcError):
            return " ".join(clean(answer.details() or answer.code().name).split())
    return "no answer"
