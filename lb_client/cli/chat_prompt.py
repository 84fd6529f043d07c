"""A chat at a terminal: a prompt that lines coming in do not break. What these say is chat_words.py's matter."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from typing import TYPE_CHECKING

from prompt_toolkit import PromptSession
from prompt_toolkit.application import run_in_terminal
from prompt_toolkit.formatted_text import ANSI
from prompt_toolkit.history import InMemoryHistory
from prompt_toolkit.output import ColorDepth

from lb_client.cli.chat_words import aside, lines_of, who_line
from lb_client.paper import BOLD
from protos.chat_rules import BadWordError, clean

if TYPE_CHECKING:
    from lb_client.chat_session import ChatSession
    from lb_client.paper import Paper

_HELP = "/who tells who is here, /quit or Ctrl-D leaves; everything else is said"


async def converse(session: ChatSession, paper: Paper) -> None:
    """Prompt and print until one leaves.

    Raises:
        ChatError: The room does not have us, or not any more.
    """
    prompt: PromptSession[str] = PromptSession(
        message=lambda: ANSI(f"{paper.paint(clean(session.memory.name), BOLD)}> "),
        erase_when_done=True,  # what was typed comes back as a line of the room, when the room has it
        history=InMemoryHistory(),
        color_depth=None if paper.colour else ColorDepth.DEPTH_1_BIT,
    )
    listener = asyncio.create_task(_listen(session, paper, prompt), name="prints the room")
    try:
        # Before we are in, the prompt would be a lie.
        await asyncio.wait({listener, asyncio.create_task(session.entered())}, return_when=asyncio.FIRST_COMPLETED)
        with contextlib.suppress(EOFError, KeyboardInterrupt):
            while not listener.done():
                for line in (await prompt.prompt_async()).splitlines():  # several, where they were pasted
                    await _obey(line, session, paper)
    finally:
        session.leave()
        await listener


async def _listen(session: ChatSession, paper: Paper, prompt: PromptSession[str]) -> None:
    try:
        async for event in session:
            await _print(lines_of(event, paper, room=clean(session.room), timed=True))
    finally:
        if prompt.app.is_running:
            prompt.app.exit(exception=EOFError)


async def _obey(typed: str, session: ChatSession, paper: Paper) -> None:
    match typed.strip():
        case "":
            pass
        case "/quit" | "/exit" | "/q":
            raise EOFError
        case "/who":
            memory = session.memory
            await _print([who_line(sorted(memory.members), paper, room=session.room, replica=memory.replica)])
        case text if text.startswith("/") and not text.startswith("//"):
            await _print([aside(_HELP if text == "/help" else f"there is no {text.split()[0]}: {_HELP}", paper)])
        case text:
            try:
                await session.say(text.removeprefix("/"))
            except BadWordError as error:
                await _print([aside(f"not said: {error}", paper)])


async def _print(lines: list[str]) -> None:
    def write() -> None:
        sys.stdout.write("".join(f"{line}\n" for line in lines))
        sys.stdout.flush()

    await run_in_terminal(write)
