"""A worker that opens and closes bare connections: `ADDRESS`. What gRPC itself leaves behind, to compare with ours."""

from __future__ import annotations

import asyncio
import gc
import sys

import grpc
import grpc.aio

from tests.benchmarks.programs.channels import REQUEST, say_hello_aio
from tests.benchmarks.programs.holder import held
from tests.benchmarks.programs.talk import questions, say


async def _open_and_close(address: str, count: int, block: int, settle_s: float) -> list[dict[str, int]]:
    """What is held after every `block` connections, collected and settled."""
    series = []
    for number in range(1, count + 1):
        async with grpc.aio.insecure_channel(address, [("grpc.enable_http_proxy", 0)]) as channel:
            await say_hello_aio(channel)(REQUEST, timeout=5.0)
        if number % block == 0:
            gc.collect()
            await asyncio.sleep(settle_s)
            series.append({"count": number, **held()})
    return series


def main() -> None:
    say(ready=True)
    for question in questions():
        say(series=asyncio.run(_open_and_close(sys.argv[1], **question)))


if __name__ == "__main__":
    main()
