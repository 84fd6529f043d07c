"""A worker with one ping-pong stream: `(ours|bare|moving) TARGET`. Asked for lines, it tells the time they took.

`ours` is a stream of grpc.aio on our channel, `moving` the library's helper on it, `bare` grpc.aio alone.
"""

from __future__ import annotations

import asyncio
import sys
import time
from typing import TYPE_CHECKING, Any

import grpc.aio

from protos import conversation_pb2, conversation_pb2_grpc
from tests.benchmarks.programs.talk import questions, say

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_WARM_LINES = 200


def _channel(whose: str, target: str) -> grpc.aio.Channel:
    if whose == "bare":
        return grpc.aio.insecure_channel(target)
    from lb_client import aio  # noqa: PLC0415 -- what ours costs beyond the bare one is just the question

    return aio.insecure_channel(target)


async def _lines(stream: Any, first: int, count: int) -> int:
    for number in range(first, first + count):
        await stream.write(conversation_pb2.Line(number=number, text="ping"))
        answer = await stream.read()
        assert answer.number == number
    return first + count


async def main(whose: str, target: str) -> None:
    async with _channel(whose, target) as channel:
        method = conversation_pb2_grpc.ConversationStub(channel).PingPong
        if whose == "moving":
            from lb_client.streams import MovingStream  # noqa: PLC0415 -- as above

            async with MovingStream(
                method, number_of_request=lambda line: line.number, number_of_answer=lambda line: line.number
            ) as stream:
                await _answer(lambda first, count: _lines(stream, first, count))
        else:
            call = method()
            await _answer(lambda first, count: _lines(call, first, count))
            call.cancel()


async def _answer(lines: Callable[[int, int], Awaitable[int]]) -> None:
    following = await lines(1, _WARM_LINES)
    say(ready=True)
    for question in questions():
        cpu_s, wall_s = time.process_time(), time.monotonic()
        following = await lines(following, question["lines"])
        say(wall_s=time.monotonic() - wall_s, cpu_s=time.process_time() - cpu_s)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2]))
