"""A process that calls by RingHash while the set shrinks and grows, as often as it is told to: what crashed gRPC core.

python -m tests.support.shrinking_ring CHANGES
"""

from __future__ import annotations

import itertools
import socket
import sys
import threading
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

import grpc

import lb_client
from resolver.testing import ManualRegistry
from tests.support.backend import METHOD, Backend

if TYPE_CHECKING:
    from collections.abc import Iterable


def _refusing(stack: ExitStack, count: int) -> Iterable[str]:
    """Addresses at which connections are refused, and nobody else will listen meanwhile."""
    for _ in range(count):
        taken = stack.enter_context(socket.socket())
        taken.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{taken.getsockname()[1]}"


def main(changes: int) -> None:
    """One endpoint, and twelve others of which eight refuse, by turns; calls of all hashes meanwhile."""
    over = threading.Event()
    failures: list[grpc.RpcError] = []

    def call_on(channel: grpc.Channel, caller: int) -> None:
        call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(METHOD)
        for number in itertools.count():
            if over.is_set():
                return
            try:
                call(b"", timeout=10, metadata=(("key", f"{caller} {number}"),))
            except grpc.RpcError as error:
                failures.append(error)

    with ExitStack() as stack:
        live = [stack.enter_context(Backend(f"b{n}", with_health=False)).address for n in range(5)]
        one, others = live[:1], [*live[1:], *_refusing(stack, 8)]
        registry = stack.enter_context(ManualRegistry(one))
        policy = lb_client.RingHash("key")
        channel = stack.enter_context(lb_client.insecure_channel(registry.target, policy=policy, health_check=False))
        threads = [threading.Thread(target=call_on, args=(channel, caller)) for caller in range(6)]
        for thread in threads:
            thread.start()
        for number in range(changes):
            registry.set(one if number % 2 else others)
            time.sleep(0.005)  # not for truth: the load that it takes
        over.set()
        for thread in threads:
            thread.join()
    sys.stdout.write(f"{changes} changes, {len(failures)} of the calls failed\n")


if __name__ == "__main__":
    main(int(sys.argv[1]))
