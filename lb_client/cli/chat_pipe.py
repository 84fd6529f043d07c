"""A chat from a pipe: the lines of standard input are said, what is heard is printed line by line."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import TYPE_CHECKING

from lb_client.chat_memory import Entered
from lb_client.cli.chat_words import lines_of, objects_of
from lb_client.cli.common import Failure
from protos.chat_rules import MAX_LINE_BYTES, BadWordError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from lb_client.chat_session import ChatSession
    from lb_client.paper import Paper

_PIECE = 64 * 1024


async def pass_on(session: ChatSession, paper: Paper, *, stay_s: float, as_json: bool) -> None:
    """Say what comes, print what is heard, leave when all is acknowledged and `stay_s` is over.

    Raises:
        ChatError: The room does not have us, or not any more.
        Failure: A line cannot be said.
    """
    entered = asyncio.Event()
    sender = asyncio.create_task(_say_all(session, entered, stay_s), name="says standard input")
    try:
        async for event in session:
            if isinstance(event, Entered):
                entered.set()
            if as_json:
                texts = [json.dumps(thing, ensure_ascii=paper.ascii_only) for thing in objects_of(event)]
            else:
                texts = lines_of(event, paper, room=session.room, timed=False)
            sys.stdout.write("".join(f"{text}\n" for text in texts))
            sys.stdout.flush()
            if sender.done():
                sender.result()  # raises what went wrong
        if sender.done():
            sender.result()
    finally:
        sender.cancel()
        await asyncio.gather(sender, return_exceptions=True)


async def _say_all(session: ChatSession, entered: asyncio.Event, stay_s: float) -> None:
    try:
        await entered.wait()
        number = 0
        async for line in _lines(sys.stdin.fileno()):
            number += 1
            if line.strip():
                try:
                    await session.say(line)
                except BadWordError as error:
                    await session.all_acknowledged()
                    raise Failure(f"line {number} was not said: {error}") from None
        await session.all_acknowledged()
        await asyncio.sleep(stay_s)
    finally:
        session.leave()


async def _lines(fd: int) -> AsyncIterator[str]:
    """Lines of a descriptor of any kind, as they come. What has no end is given in pieces that are too long to say."""
    rest = b""
    while True:
        await _readable(fd)
        piece = os.read(fd, _PIECE)
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            yield line.decode(errors="replace").rstrip("\r")
        if rest and (not piece or len(rest) > 4 * MAX_LINE_BYTES):
            yield rest.decode(errors="replace")
            rest = b""
        if not piece:
            return


async def _readable(fd: int) -> None:
    loop = asyncio.get_running_loop()
    news = asyncio.Event()
    try:
        loop.add_reader(fd, news.set)
    except PermissionError:  # a file, which epoll does not take: it never waits
        return
    try:
        await news.wait()
    finally:
        loop.remove_reader(fd)
