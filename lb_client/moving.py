"""When a stream is opened again, how soon, when it is given up: what asyncio's and blocking streams share. No I/O."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio

from lb_client.acknowledgements import reason_to_move
from resolver.backoff import Backoff

if TYPE_CHECKING:
    from collections.abc import Callable

CAN_MOVE = (("lbdemo-can-move", "1"),)
"""The metadata by which a client says that it knows what to do when it is asked to move."""

REPLICA_KEY, ADDRESS_KEY = "lbdemo-replica", "lbdemo-address"

TRIES = 12
"""With the back-off below: five seconds."""

_FIRST_S, _CAP_S = 0.01, 1.0
_STEADY_S = 1.0


@dataclass(frozen=True, slots=True)
class Move:
    """One move of a stream.

    Attributes:
        reason: `drain` or `rebalance` if the replica asked for it, `lost` if it or the way to it is gone.
        replica: Whom it left, "" where that is not known.
        address: Where that was.
        code: How the stream ended there.
        details: The same in the server's or in gRPC's words.
        unacknowledged: How many requests are sent again.
    """

    reason: str
    replica: str
    address: str
    code: grpc.StatusCode
    details: str
    unacknowledged: int

    @classmethod
    def after(cls, error: Any, unacknowledged: int) -> Move | None:
        """The move that the end of a call asks for; None if it is no reason to move."""
        trailing = dict(tuple(error.trailing_metadata() or ()))
        reason = reason_to_move(error.code().name, trailing)
        if not reason:
            return None
        known = dict(tuple(error.initial_metadata() or ())) | trailing
        who, where = (str(known.get(key, "")) for key in (REPLICA_KEY, ADDRESS_KEY))
        return cls(reason, who, where, error.code(), error.details() or "", unacknowledged)


class StreamLostError(grpc.aio.AioRpcError):
    """The stream could not be opened again, however often it was tried. Code, details and metadata are the last try's.

    Attributes:
        tries: How often it was opened in a row without an answer.
        unacknowledged: How many requests have no answer.
    """

    def __init__(self, last: Any, tries: int, unacknowledged: int) -> None:
        details = (
            f"the stream was opened {tries} times in a row without an answer, the last time: {last.details()}; "
            f"requests without an answer: {unacknowledged:,}"
        )
        super().__init__(last.code(), last.initial_metadata(), last.trailing_metadata(), details)
        self.tries = tries
        self.unacknowledged = unacknowledged


class Tries:
    """Counts how often a stream was opened in a row without an answer, and says how long to wait before the next time.

    Args:
        most: So often, then it is given up; 0 never opens it again.
        clock: Seconds that only grow.
    """

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.most = most
        self._clock = clock
        self._opened_s = 0.0
        self._failures = 0
        self._backoff = Backoff(first_s=_FIRST_S, cap_s=_CAP_S)

    def opened(self) -> None:
        """It is opened now."""
        self._opened_s = self._clock()

    def answered(self) -> None:
        """It was worth it."""
        self._failures = 0

    def next_s(self, error: Any, move: Move | None) -> float:
        """How long to wait before the stream is opened again, after it ended with `error`.

        Raises:
            StreamLostError: That was often enough.
            grpc.RpcError: The error itself, where there is no move to make.
        """
        if move is None:
            raise error
        # One that lasted was a success too, even if there was nothing to answer.
        if self._clock() - self._opened_s >= _STEADY_S:
            self._failures = 0
        if not self._failures:
            self._backoff.reset()
        self._failures += 1
        if self._failures >= self.most:
            raise StreamLostError(error, self._failures, move.unacknowledged) from error
        # The first time at once: whoever asks has left the registry, and who died is no longer picked.
        return self._backoff.next_s() if self._failures > 1 else 0.0
