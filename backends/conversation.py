"""The Conversation: each shape of a bidirectional stream as an RPC. What becomes of one is kept by outcomes.py."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, Self

import grpc
import grpc.aio

from backends.identity import sends_initial_metadata
from backends.moves import CAN_MOVE_KEY, MOVE_KEY
from backends.outcomes import Ending, Outcomes, Sighting
from protos import conversation_pb2, conversation_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import Awaitable
    from types import TracebackType

    from backends.moves import StreamMoves

    Line = conversation_pb2.Line

MAX_LINES = 1_000_000
MAX_DELAY_MS = 3_600_000
MAX_NAME = 200
MAX_COLLECTED, MAX_COLLECTED_BYTES = 100_000, 64 * 1024 * 1024
"""What one conversation may have the replica keep."""

DEFAULT_LINES = 5
_ROUNDING_S = 0.05
_ROUNDING = 0.01
_SETTLE_S = 0.005


class _MovedError(Exception):
    """The replica asks this stream to move; the text is the reason."""


class _RefusedError(Exception):
    """The client asked for what cannot be had."""

    def __init__(self, code: grpc.StatusCode, details: str) -> None:
        super().__init__(details)
        self.code = code


class Talk:
    """One conversation, from the servicer's side. A context manager that sees how it ends, and tells `outcomes`.

    Only where it waits, for a line or for its time to write, can it be asked to move: never between a line and its
    answer. Its methods are for the call's own task.
    """

    def __init__(self, context: Any, outcomes: Outcomes, moves: StreamMoves | None) -> None:
        self.seen = Sighting()
        self.count = 0
        self._delay_s = 0.0
        self._context = context
        self._outcomes = outcomes
        self._moves = moves.stream() if moves is not None and _can_move(context) else None
        self._asked: asyncio.Future[str] | None = None
        self._task = asyncio.current_task()
        self._waits = False
        self._sent_at_end: int | None = None
        self._deadline_s: float | None = context.time_remaining()

    async def __aenter__(self) -> Self:
        if self._moves is not None:
            self._asked = self._moves.__enter__()
            self._asked.add_done_callback(self._told_to_move)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None and self._sent_at_end == self.seen.sent:
            # A stream that is cut off reads like one that was closed; its cancellation comes a moment later.
            try:
                await asyncio.sleep(_ROUNDING_S if self._is_late() else _SETTLE_S)
            except asyncio.CancelledError as cut_off:
                self._leave(self._ending(cut_off))
                raise
        self._leave(self._ending(error))
        if isinstance(error, _MovedError):
            reason = str(error)
            details = f"this stream is asked to move: {reason}"
            await self._context.abort(grpc.StatusCode.UNAVAILABLE, details, ((MOVE_KEY, reason),))
        if isinstance(error, _RefusedError):
            await self._context.abort(error.code, str(error))

    def _leave(self, ending: Ending) -> None:
        self.seen.end(ending)
        if self._moves is not None:
            self._moves.__exit__(None, None, None)

    def _ending(self, error: BaseException | None) -> Ending:
        if error is None:
            return Ending.COMPLETED
        if isinstance(error, asyncio.CancelledError):
            return Ending.DEADLINE_EXCEEDED if self._is_late() else Ending.CANCELLED
        if isinstance(error, _MovedError):
            return Ending.MOVED
        return Ending.REFUSED if isinstance(error, _RefusedError) else Ending.FAILED

    def _is_late(self) -> bool:
        """Whether the deadline has come.

        The client's clock began earlier than ours, and its deadline travels rounded up by up to a hundredth: what it
        cuts off at the deadline may reach us before we see the deadline ourselves.
        """
        left_s = self._context.time_remaining()
        return left_s is not None and left_s <= _ROUNDING_S + _ROUNDING * (self._deadline_s or 0.0)

    def _told_to_move(self, asked: asyncio.Future[str]) -> None:
        if self._waits and not asked.cancelled() and self._task is not None:
            self._waits = False
            self._task.cancel()

    async def read(self) -> Line | None:
        """The next line; None when the client has closed its side."""
        if self._asked is None:
            line = await self._context.read()
        else:
            line = await self._wait(self._context.read())
        if line is grpc.aio.EOF:
            self._sent_at_end = self.seen.sent
            return None
        self.seen.received += 1
        if self.seen.received == 1:
            self._begin(line)
        return line  # type: ignore[no-any-return]  # the context's requests are lines

    async def write(self, line: Line) -> None:
        """Write a line, after the delay that the first one asked for."""
        if self._delay_s:
            await self._wait(asyncio.sleep(self._delay_s))
        await self._context.write(line)
        self.seen.sent += 1

    async def answer(self, line: Line) -> None:
        """Send a line back."""
        if self._delay_s:
            await self._wait(asyncio.sleep(self._delay_s))
        if line.count or line.delay_ms:
            line.count = line.delay_ms = 0
        await self._context.write(line)
        self.seen.sent += 1

    async def _wait(self, something: Awaitable[Any]) -> Any:
        """Wait for a line or for a moment, and no longer than until the stream is asked to move."""
        asked = self._asked
        if asked is None:
            return await something
        self._waits = True
        try:
            if asked.done():
                self._told_to_move(asked)
            return await something
        except asyncio.CancelledError:
            if self._waits or self._task is None:
                raise
            self._task.uncancel()
            raise _MovedError(asked.result()) from None
        finally:
            self._waits = False

    def _begin(self, first: Line) -> None:
        if first.count > MAX_LINES:
            raise _RefusedError(
                grpc.StatusCode.INVALID_ARGUMENT, f"{first.count:,} lines are too many: at most {MAX_LINES:,}"
            )
        if first.delay_ms > MAX_DELAY_MS:
            raise _RefusedError(grpc.StatusCode.INVALID_ARGUMENT, f"a delay of {first.delay_ms:,} ms is over an hour")
        if len(first.conversation) > MAX_NAME:
            raise _RefusedError(
                grpc.StatusCode.INVALID_ARGUMENT, f"the conversation's name has more than {MAX_NAME} characters"
            )
        self.count = first.count or DEFAULT_LINES
        self._delay_s = first.delay_ms / 1000
        if first.conversation:
            self._outcomes.add(first.conversation, self.seen)


def _can_move(context: Any) -> bool:
    return any(key == CAN_MOVE_KEY for key, _ in context.invocation_metadata() or ())


class Conversation(conversation_pb2_grpc.ConversationServicer):
    """The servicer. A stream that can move is asked to by `moves`; any other is left to end within the grace."""

    def __init__(self, moves: StreamMoves) -> None:
        self._moves = moves
        self._outcomes = Outcomes()

    @sends_initial_metadata
    async def MetadataFirst(self, requests: object, context: Any) -> None:  # type: ignore[override]  # noqa: ARG002, N802 -- gRPC's signature
        """Initial metadata at once, then as PingPong."""
        async with Talk(context, self._outcomes, self._moves) as talk:
            await context.send_initial_metadata(())
            while (line := await talk.read()) is not None:
                await talk.answer(line)

    @sends_initial_metadata
    async def PingPong(self, requests: object, context: Any) -> None:  # type: ignore[override]  # noqa: ARG002, N802 -- gRPC's signature
        """One answer to each line."""
        async with Talk(context, self._outcomes, self._moves) as talk:
            while (line := await talk.read()) is not None:
                await talk.answer(line)

    @sends_initial_metadata
    async def CollectThenAnswer(self, requests: object, context: Any) -> None:  # type: ignore[override]  # noqa: ARG002, N802 -- gRPC's signature
        """All lines, then all answers."""
        async with Talk(context, self._outcomes, self._moves) as talk:
            lines: list[Line] = []
            room = MAX_COLLECTED_BYTES
            while (line := await talk.read()) is not None:
                room -= line.ByteSize()
                if room < 0 or len(lines) == MAX_COLLECTED:
                    raise _RefusedError(
                        grpc.StatusCode.RESOURCE_EXHAUSTED,
                        f"more to keep than {MAX_COLLECTED:,} lines or {MAX_COLLECTED_BYTES // 2**20} MB",
                    )
                lines.append(line)
                if len(lines) == 1:
                    await context.send_initial_metadata(())  # who collects is known before the answers
            for line in lines:
                await talk.answer(line)

    @sends_initial_metadata
    async def Independent(self, requests: object, context: Any) -> None:  # type: ignore[override]  # noqa: ARG002, N802 -- gRPC's signature
        """Reads and writes at once."""
        async with Talk(context, self._outcomes, None) as talk:
            first = await talk.read()
            if first is None:
                return
            await context.send_initial_metadata(())
            reading = asyncio.create_task(_read_all(talk), name="independent reader")
            try:
                for number in range(1, talk.count + 1):
                    await talk.write(
                        conversation_pb2.Line(
                            conversation=first.conversation, number=number, text=f"the server's line {number}"
                        )
                    )
                await reading
            finally:
                reading.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await reading

    @sends_initial_metadata
    async def ServerCloses(self, requests: object, context: Any) -> None:  # type: ignore[override]  # noqa: ARG002, N802 -- gRPC's signature
        """Answers so many lines, then ends the call, whatever else is written."""
        async with Talk(context, self._outcomes, None) as talk:
            while (talk.seen.sent < talk.count or not talk.seen.received) and (line := await talk.read()) is not None:
                await talk.answer(line)

    async def GetOutcome(self, request: conversation_pb2.GetOutcomeRequest, context: Any) -> conversation_pb2.Outcome:  # noqa: ARG002, N802 -- gRPC's signature
        """How this replica saw a conversation end."""
        seen = self._outcomes.find(request.conversation)
        if seen is None:
            return conversation_pb2.Outcome(conversation=request.conversation, ending="unknown")
        return conversation_pb2.Outcome(
            conversation=request.conversation,
            ending=seen.ending.value,
            received=seen.received,
            sent=seen.sent,
            open_s=seen.open_s,
        )


async def _read_all(talk: Talk) -> None:
    while await talk.read() is not None:
        pass


def add(server: grpc.aio.Server, moves: StreamMoves) -> None:
    """Register it."""
    conversation_pb2_grpc.add_ConversationServicer_to_server(Conversation(moves), server)
