"""A frozen process, which accepts and never answers, loses its calls within two seconds, and gets them back."""

from __future__ import annotations

import threading
import time
from collections import Counter
from contextlib import ExitStack
from typing import TYPE_CHECKING, Self

import grpc

import lb_client
from protos import helloworld_pb2, helloworld_pb2_grpc
from tests.support.eventually import eventually
from tests.support.replica_process import ReplicaProcess

if TYPE_CHECKING:
    from pathlib import Path

HELLO = helloworld_pb2.HelloRequest(name="you")
DEADLINE_S = 0.5


class Caller:
    """Calls one after the other until the block is left; remembers when it sent those that were answered, or were not.

    Attributes:
        answered: How many each replica answered.
        hung: When the calls were sent that nobody answered.
    """

    def __init__(self, channel: grpc.Channel) -> None:
        self._hello = helloworld_pb2_grpc.GreeterStub(channel).SayHello
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.answered: Counter[str] = Counter()
        self.hung: list[float] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(0.005):
            sent_s = time.monotonic()
            try:
                _, call = self._hello.with_call(HELLO, timeout=DEADLINE_S)
            except grpc.RpcError:
                self.hung.append(sent_s)
            else:
                self.answered.update(str(value) for key, value in call.trailing_metadata() if key == "lbdemo-replica")


def test_no_new_call_goes_to_a_frozen_replica_later_than_two_seconds_after(tmp_path: Path) -> None:
    with ExitStack() as stack:
        replicas = [ReplicaProcess(f"r{number}", registry=tmp_path) for number in (1, 2)]
        first, second = [stack.enter_context(replica) for replica in replicas]
        channel = stack.enter_context(lb_client.insecure_channel(f"dir://{tmp_path}"))
        caller = stack.enter_context(Caller(channel))
        eventually(lambda: _assert_answered_by(caller, {"r1", "r2"}), within_s=20)
        first.freeze()
        frozen_s = time.monotonic()
        # Answered by the other one alone, many times over: longer than any call could hang.
        eventually(lambda: _assert_only(caller, "r2"), within_s=20)
        assert caller.hung
        assert max(caller.hung) - frozen_s < 2.0
        first.thaw()
        eventually(lambda: _assert_answered_by(caller, {"r1", "r2"}), within_s=20)
        # And with the second gone and the first frozen there is nobody else: it keeps its calls, for when it wakes.
        second.drain()
        first.freeze()
        caller.hung.clear()
        eventually(lambda: _assert_more(len(caller.hung), 5), within_s=20)
        first.thaw()
        caller.answered.clear()
        eventually(lambda: _assert_answered_by(caller, {"r1"}), within_s=20)


def _assert_answered_by(caller: Caller, names: set[str]) -> None:
    assert set(caller.answered) == names


def _assert_only(caller: Caller, name: str) -> None:
    before = dict(caller.answered)
    hung = len(caller.hung)
    time.sleep(DEADLINE_S)
    assert caller.answered[name] > before[name] + 20
    assert len(caller.hung) == hung


def _assert_more(actual: int, least: int) -> None:
    assert actual > least
