"""The services of a replica that was given none: which there are, and what each is handed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from backends import chat, conversation, greeter

if TYPE_CHECKING:
    import grpc.aio

    from backends.moves import StreamMoves


def add(server: grpc.aio.Server, moves: StreamMoves, *, replica: str) -> None:
    """Register them on `server` for the replica of that name; `moves` tells their long streams when to move."""
    greeter.add(server)
    conversation.add(server, moves)
    chat.add(server, replica, moves)
