"""The services of a replica that was given none: which there are, and what each is handed.

The Greeter is there at once. The others are built, and their modules imported, at their first call: three replicas that
start on two processors would wait 20 ms for what most of them never need.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from backends import greeter

if TYPE_CHECKING:
    from backends.dispatch import Registrar
    from backends.moves import StreamMoves

CONVERSATION = "lbdemo.v1.Conversation"
CHAT = "lbdemo.v1.Chat"


def add(registrar: Registrar, moves: StreamMoves, *, replica: str) -> None:
    """Register them for the replica of that name; `moves` tells their long streams when to move."""
    greeter.add(registrar)

    def conversation(server: Any) -> None:
        from backends import conversation  # noqa: PLC0415 -- see the module

        conversation.add(server, moves)

    def chat(server: Any) -> None:
        from backends import chat  # noqa: PLC0415 -- see the module

        chat.add(server, replica, moves)

    registrar.add_lazy(CONVERSATION, conversation)
    registrar.add_lazy(CHAT, chat)


def import_messages() -> None:
    """Import the descriptors of all of them, for who is to describe them."""
    from protos import chat_pb2, conversation_pb2  # noqa: F401, PLC0415 -- see the module
