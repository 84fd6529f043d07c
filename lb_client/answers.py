"""The blocking face of streams that move: requests in, answers out. The same promise as streams.py, where it stands."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import grpc

from lb_client.acknowledgements import MOST, Acknowledgements
from lb_client.moving import CAN_MOVE, TRIES, Move, Tries

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

Request = TypeVar("Request")
Answer = TypeVar("Answer")


class _Feed(Generic[Request]):
    """Hands the requests to one call after the other. gRPC takes them on a thread of its own for each call."""

    def __init__(self, requests: Iterable[Request], number_of: Callable[[Request], int], most: int) -> None:
        self._source = iter(requests)
        self._number_of = number_of
        self._book: Acknowledgements[Request] = Acknowledgements(most)
        self._lock = threading.Lock()
        # Held while the source is asked, which may take long: a call that is over may still wait there for the next
        # request. What it gets is kept, and sent by the call that came after it.
        self._asking = threading.Lock()
        self._exhausted = False
        self._call = 0

    def begin(self) -> Iterator[Request]:
        """The requests for the next call: those without an answer, then new ones. Ends that of the call before."""
        with self._lock:
            self._call += 1
            return self._requests(self._call, self._book.unanswered)

    def _requests(self, call: int, kept: Sequence[Request]) -> Iterator[Request]:
        last: int | None = None
        for request in kept:
            last = self._number_of(request)
            yield request
        while (found := self._next(call, last)) is not None:
            last = found[0]
            yield found[1]

    def _next(self, call: int, last: int | None) -> tuple[int, Request] | None:
        if (found := self._kept(call, last)) is not None or self._call != call:
            return found
        with self._asking:
            if (found := self._kept(call, last)) is not None or self._call != call or self._exhausted:
                return found
            try:
                request = next(self._source)
            except BaseException as error:
                self._exhausted = True
                if isinstance(error, StopIteration):
                    return None
                raise
            with self._lock:
                self._book.sent(number := self._number_of(request), request)
                return (number, request) if self._call == call else None

    def _kept(self, call: int, last: int | None) -> tuple[int, Request] | None:
        with self._lock:
            return self._book.after(last) if self._call == call else None

    def answered(self, number: int) -> bool:
        """As `Acknowledgements.answered`."""
        with self._lock:
            return self._book.answered(number)

    def __len__(self) -> int:
        with self._lock:
            return len(self._book)


def moving_answers(
    method: grpc.StreamStreamMultiCallable[Request, Answer],
    requests: Iterable[Request],
    *,
    number_of_request: Callable[[Request], int],
    number_of_answer: Callable[[Answer], int | None],
    timeout: float | None = None,
    metadata: Sequence[tuple[str, str | bytes]] = (),
    tries: int = TRIES,
    most: int = MOST,
    on_move: Callable[[Move], None] | None = None,
) -> Iterator[Answer]:
    """The answers to the requests, on a stream that is opened elsewhere when it has to move.

    Arguments, errors and guarantee are those of `MovingStream`; the requests are taken on other threads, one at a time.
    Closing the iterator cancels the stream.
    """
    open_stream: Any = method
    feed: _Feed[Request] = _Feed(requests, number_of_request, most)
    again = Tries(tries)
    end_s = None if timeout is None else time.monotonic() + timeout
    sent = (*metadata, *(CAN_MOVE if tries else ()))
    while True:
        left_s = None if end_s is None else max(0.0, end_s - time.monotonic())
        again.opened()
        call = open_stream(feed.begin(), timeout=left_s, metadata=sent)
        try:
            for answer in call:
                number = number_of_answer(answer)
                if number is None:
                    yield answer
                elif feed.answered(number):
                    again.answered()
                    yield answer
        except grpc.RpcError as error:
            move = Move.after(error, len(feed)) if tries else None
            wait_s = again.next_s(error, move)
            if wait_s:
                time.sleep(wait_s)
            if on_move is not None and move is not None:
                on_move(move)
        else:
            return
        finally:
            call.cancel()
