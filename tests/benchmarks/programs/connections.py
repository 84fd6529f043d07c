"""A worker that opens and closes bare connections: `ADDRESS`. What gRPC itself leaves behind, to compare with ours."""

from __future__ import annotations

import asyncio
import sys

import grpc
import grpc.aio

from tests.benchmarks.programs.channels import REQUEST, say_hello_aio
from tests.benchmarks.programs.holder import settled
from tests.benchmarks.programs.talk import questions, say


async def _open_and_close(address: str, count: int) -> None:
    for _ in range(count):
        async with grpc.aio.insecure_channel(address) as channel:
            await say_hello_aio(channel)(REQUEST, timeout=5.0)


def main() -> None:
    say(ready=True)
    with asyncio.Runner() as runner:
        for question in questions():
            runner.run(_open_and_close(sys.argv[1], question["count"]))
            say(**settled(question["settle_s"]))


if __name__ == "__main__":
    main()
