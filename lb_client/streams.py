"""Streams that move: opened again elsewhere when their replica drains, dies or is asked to share. For asyncio.

What is promised. A request is *acknowledged* when its answer, the one that repeats its number, has been read. On a
move, acknowledged requests are not sent again, all others are, in their order; answers to what is acknowledged are
dropped. So the caller gets exactly one answer to each request, and a server may see a request twice if its first answer
was lost on the way: at least once there, exactly once here.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

import grpc
import grpc.aio

from lb_client.acknowledgements import MOST, Acknowledgements
from lb_client.moving import CAN_MOVE, TRIES, Move, StreamLostError, Tries
from lb_client.writing import closed, wrote

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

__all__ = ["Move", "MovingStream", "StreamLostError"]

Request = TypeVar("Request")
Answer = TypeVar("Answer")


class MovingStream(Generic[Request, Answer]):
    """One stream for its caller, one after the other for gRPC.

        async with MovingStream(stub.PingPong, number_of_request=number, number_of_answer=number) as stream:
            await stream.write(line)
            answer = await stream.read()

    Works for any stream-stream method whose answers tell which request they answer. It moves while it is *read*: keep
    a read going if the caller does not alternate. One task may write while another reads. Any other end than a move
    comes out as the error that gRPC raised.

    Lifecycle: opens in its constructor, on a running loop; leaving the block cancels what is left. A stream that ended
    cannot be used again.

    Attributes:
        call: The stream's call at present; the next one after a move. For its metadata, say.
        moves: How often it has moved.

    Args:
        method: A stub's stream-stream method, for asyncio.
        number_of_request: The number of a request; numbers rise.
        number_of_answer: The number of the request that is answered. None for a message that answers none: it is given
            to the caller, acknowledges nothing, and may come again after a move.
        timeout: Seconds for all of it, moves included; None for no deadline.
        metadata: Sent each time the stream is opened.
        tries: How often in a row it is opened without an answer before it is given up; 0 never moves it, and then no
            server is told that it could.
        most: How many requests may be without an answer; one that never moves keeps none, and has no bound.
        on_move: Called when the stream has been opened again.
    """

    def __init__(
        self,
        method: grpc.aio.StreamStreamMultiCallable[Request, Answer],
        *,
        number_of_request: Callable[[Request], int],
        number_of_answer: Callable[[Answer], int | None],
        timeout: float | None = None,
        metadata: Sequence[tuple[str, str | bytes]] = (),
        tries: int = TRIES,
        most: int = MOST,
        on_move: Callable[[Move], None] | None = None,
    ) -> None:
        self._method: Any = method
        self._number_of_request = number_of_request
        self._number_of_answer = number_of_answer
        self._end_s = None if timeout is None else time.monotonic() + timeout
        self._metadata = (*metadata, *(CAN_MOVE if tries else ()))
        self._tries = Tries(tries)
        self._on_move = on_move
        self._acknowledgements: Acknowledgements[Request] = Acknowledgements(most)
        self._writing = asyncio.Lock()
        self._closing = False
        self._behind = False
        self._over = self._cancelled = False
        self._catching_up: set[asyncio.Task[None]] = set()
        self.moves = 0
        self.call = self._open()

    def __repr__(self) -> str:
        state = "over" if self._over else "open"
        return f"<MovingStream {state} moves={self.moves} unacknowledged={self.unacknowledged}>"

    @property
    def unacknowledged(self) -> int:
        """How many requests are without an answer; 0 for a stream that never moves."""
        return len(self._acknowledgements)

    def _open(self) -> grpc.aio.StreamStreamCall[Request, Answer]:
        self._tries.opened()
        left_s = None if self._end_s is None else max(0.0, self._end_s - time.monotonic())
        call: grpc.aio.StreamStreamCall[Request, Answer] = self._method(timeout=left_s, metadata=self._metadata)
        return call

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.cancel()
        await asyncio.gather(*self._catching_up, return_exceptions=True)

    def cancel(self) -> bool:
        """End it now, CANCELLED for both sides. False if it had ended."""
        self._cancelled = self._cancelled or not self._over
        self._over = True
        for task in self._catching_up:
            task.cancel()
        return self.call.cancel()

    async def write(self, request: Request) -> None:
        """Send a request, or keep it for the stream to come.

        Raises:
            ValueError, BufferError: Its number does not rise; too many are without an answer.
            asyncio.InvalidStateError: The stream has ended, or its client's side was closed.
        """
        async with self._writing:
            if self._over or self._closing:
                raise asyncio.InvalidStateError("this stream is over, or closed for writing")
            if self._tries.most:
                self._acknowledgements.sent(self._number_of_request(request), request)
            if self._behind:
                await self._catch_up()
                return
            call = self.call
            # What breaks here is found by the reader, who moves the stream and sends this request again.
            if not await wrote(call, request) and call is self.call and await _is_ok(call):
                raise asyncio.InvalidStateError("the server has ended this stream")

    async def done_writing(self) -> None:
        """Close the client's side; answers still come."""
        async with self._writing:
            self._closing = True
            if self._behind:
                await self._catch_up()
            else:
                await closed(self.call)

    async def read(self) -> Answer | None:
        """The next answer; None when the server has ended the stream with OK.

        Raises:
            StreamLostError: It could not be opened again.
            grpc.aio.AioRpcError: It ended in a way that no move would mend.
            asyncio.CancelledError: It was cancelled.
        """
        while True:
            call: Any = self.call  # its read() is typed as if EOF were an answer
            try:
                answer = await call.read()
            except grpc.aio.AioRpcError as error:
                await self._move(error)
                continue
            if answer is grpc.aio.EOF:
                self._over = True
                return None
            number = self._number_of_answer(answer)
            if number is None or not self._tries.most:
                return answer  # type: ignore[no-any-return]  # as above
            if self._acknowledgements.answered(number):
                self._tries.answered()
                return answer  # type: ignore[no-any-return]  # as above

    def __aiter__(self) -> AsyncIterator[Answer]:
        return self._answers()

    async def _answers(self) -> AsyncIterator[Answer]:
        while (answer := await self.read()) is not None:
            yield answer

    async def _move(self, error: grpc.aio.AioRpcError) -> None:
        """Open the stream elsewhere, or raise."""
        move = Move.after(error, self.unacknowledged) if self._tries.most else None
        self._expect_not_cancelled(move)
        if self._over:
            raise error
        try:
            wait_s = self._tries.next_s(error, move)
        except grpc.RpcError:
            self._over = True
            raise
        if wait_s:
            await asyncio.sleep(wait_s)
            self._expect_not_cancelled(move)
        self.call = self._open()
        self.moves += 1
        self._behind = True
        if self._on_move is not None and move is not None:
            self._on_move(move)
        # Beside the reader: a server that answers while it reads would wait for us to read, and we for it.
        task = asyncio.create_task(self._catch_up_alone(), name="stream catches up")
        self._catching_up.add(task)
        task.add_done_callback(self._catching_up.discard)

    def _expect_not_cancelled(self, move: Move | None) -> None:
        """Between two calls there is none to be cancelled, and the stream is all the same."""
        if self._cancelled and move is not None:
            raise asyncio.CancelledError("this stream was cancelled")

    async def _catch_up_alone(self) -> None:
        async with self._writing:
            if self._behind:
                await self._catch_up()

    async def _catch_up(self) -> None:
        """Send again what is without an answer. For who holds the lock."""
        self._behind = False
        call = self.call
        for request in self._acknowledgements.unanswered:
            if not await wrote(call, request):
                return
        if self._closing:
            await closed(call)


async def _is_ok(call: Any) -> bool:
    return call.done() and await call.code() is grpc.StatusCode.OK
