"""A replica's calls run on gRPC's polling thread, and wake no other: its main thread sleeps through them."""

from __future__ import annotations

import queue
import signal
import subprocess
import sys
from pathlib import Path

import grpc
import pytest

from protos import helloworld_pb2, helloworld_pb2_grpc
from tests.support.replica_process import ROOT, ReplicaProcess

HELLO = helloworld_pb2.HelloRequest(name="you")
CALLS = 500

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere replicas run on asyncio's own loop")


def wakes(pid: int) -> int:
    """How often the process's main thread has slept so far."""
    status = Path(f"/proc/{pid}/task/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith("voluntary_ctxt_switches"))


def wakes_for_calls(replica: ReplicaProcess) -> int:
    with grpc.insecure_channel(replica.address) as channel:
        greeter = helloworld_pb2_grpc.GreeterStub(channel)
        for _ in range(20):
            greeter.SayHello(HELLO, timeout=10)
        before = wakes(replica.process.pid)
        for _ in range(CALLS):
            assert greeter.SayHello(HELLO, timeout=10).message
        return wakes(replica.process.pid) - before


def test_main_thread_sleeps_through_calls() -> None:
    with ReplicaProcess("r1") as replica:
        assert wakes_for_calls(replica) < CALLS / 10


def test_drain_finds_its_way_between_calls() -> None:
    with ReplicaProcess("r1") as replica, grpc.insecure_channel(replica.address) as channel:
        greeter = helloworld_pb2_grpc.GreeterStub(channel)
        asked: queue.SimpleQueue[helloworld_pb2.HelloRequest | None] = queue.SimpleQueue()
        answers = greeter.SayHelloBidiStream(iter(asked.get, None), timeout=30)
        asked.put(HELLO)
        assert next(answers).message == "Hello, you!"
        replica.signal(signal.SIGTERM)
        for _ in range(CALLS):
            asked.put(HELLO)
            next(answers)
        asked.put(None)
        assert list(answers) == []
        channel.close()
        assert replica.process.wait(15) == 0


def test_users_service_stays_on_the_main_thread() -> None:
    with ReplicaProcess("r1", "--service", "tests.support.thread_teller:add") as replica:
        with grpc.insecure_channel(replica.address) as channel:
            told = helloworld_pb2_grpc.GreeterStub(channel).SayHello(HELLO, timeout=10).message
        assert told == "MainThread"
        assert wakes_for_calls(replica) > CALLS


def test_servers_end_on_it_one_after_another_and_so_does_its_thread() -> None:
    command = [sys.executable, "-m", "tests.support.one_server_after_another", "6"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    assert ran.stderr == ""
    assert ran.stdout == "MainThread\n"
