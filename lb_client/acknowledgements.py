"""Which messages of a stream have been answered, which have to be sent again, and when a stream moves. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Mapping

Request = TypeVar("Request")

MOVE_KEY = "lbdemo-move"
LOST = "lost"
MOST = 100_000


class Acknowledgements(Generic[Request]):
    """The requests of one stream that nobody has answered yet, in the order in which they were sent.

    Args:
        most: How many there may be at a time.
    """

    __slots__ = ("_last", "_most", "_waiting")

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._last: int | None = None
        self._waiting: dict[int, Request] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def __repr__(self) -> str:
        return f"<Acknowledgements last={self._last} unanswered={len(self._waiting)}>"

    @property
    def unanswered(self) -> tuple[Request, ...]:
        """What a new stream has to be sent, in order."""
        return tuple(self._waiting.values())

    def after(self, number: int | None) -> tuple[int, Request] | None:
        """The first unanswered request above the number, or of all; None when there is none."""
        if number is not None and number == self._last:
            return None  # the usual case, and the book may be long
        return next(((n, request) for n, request in self._waiting.items() if number is None or n > number), None)

    def sent(self, number: int, request: Request) -> None:
        """A request is about to be sent.

        Raises:
            ValueError: Its number is not above all before it.
            BufferError: More are without an answer than may be kept.
        """
        if self._last is not None and number <= self._last:
            raise ValueError(f"the numbers of requests must rise: {number} came after {self._last}")
        if len(self._waiting) >= self._most:
            raise BufferError(f"{len(self._waiting):,} requests wait for an answer: read some before you write more")
        self._last = number
        self._waiting[number] = request

    def answered(self, number: int) -> bool:
        """An answer has come. True for the first one to this number: False says that it is a repetition."""
        return self._waiting.pop(number, None) is not None


def reason_to_move(status: str, trailing: Mapping[str, object]) -> str:
    """Why a stream that ended so should be opened elsewhere, "" if it should not.

    The replica's own word (`drain`, `rebalance`) goes first; UNAVAILABLE without one means that the replica, or the way
    to it, was lost.
    """
    asked = trailing.get(MOVE_KEY)
    if asked is not None:
        return str(asked) or LOST
    return LOST if status == "UNAVAILABLE" else ""
