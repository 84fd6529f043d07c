"""A program: servers on one `PollerLoop`, one after the other, each stopped under load and dropped at once.

What is noticed on gRPC's polling thread goes to stderr, by way of Python's unraisable hook. At the end it says which
threads there still are.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import threading
from typing import Any

from backends import core_environment

core_environment.prepare(os.environ)

import grpc  # noqa: E402 -- reads the environment when it is imported
import grpc.aio  # noqa: E402

from backends.poller_loop import PollerLoop, polled  # noqa: E402

_CALLS_AT_ONCE = 30


class _Echo(grpc.GenericRpcHandler):
    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:  # noqa: ARG002 -- gRPC's signature
        async def echo(request: Any, _context: Any) -> Any:
            return request

        return grpc.unary_unary_rpc_method_handler(echo)


async def _call(channel: Any) -> None:
    echo = channel.unary_unary("/a/b")
    with contextlib.suppress(grpc.RpcError):
        while True:
            await echo(b"x", timeout=10)


async def _call_until_it_fails(address: str) -> None:
    async with grpc.aio.insecure_channel(address) as channel:
        await asyncio.gather(*(_call(channel) for _ in range(_CALLS_AT_ONCE)))


async def _serve_once() -> None:
    server = grpc.aio.server(handlers=(_Echo(),), options=(("grpc.so_reuseport", 0),))
    port = server.add_insecure_port("127.0.0.1:0")
    with polled():
        await server.start()
    # Elsewhere, so that nothing here but the server holds gRPC.
    program = (sys.executable, "-m", "tests.support.one_server_after_another", f"127.0.0.1:{port}")
    client = await asyncio.create_subprocess_exec(*program)
    await asyncio.sleep(0.7)
    await server.stop(None)
    del server
    await client.wait()


async def _serve(count: int) -> None:
    for _ in range(count):
        await _serve_once()


def main(argument: str) -> None:
    if ":" in argument:
        asyncio.run(_call_until_it_fails(argument))
        return
    with asyncio.Runner(loop_factory=PollerLoop) as runner:
        runner.run(_serve(int(argument)))
        loop = runner.get_loop()
    assert isinstance(loop, PollerLoop)
    assert loop.taken
    print(*(thread.name for thread in threading.enumerate() if not thread.name.startswith("asyncio-waitpid-")))


if __name__ == "__main__":
    main(sys.argv[1])
