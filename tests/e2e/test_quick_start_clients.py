"""A replica serves the quick start's Greeter: clients as gRPC's quick starts have them greet it unchanged."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.peers import require_node

if TYPE_CHECKING:
    from collections.abc import Iterator

PROTO = Path(__file__).parents[2] / "protos" / "helloworld.proto"

PYTHON_CLIENT = """
import sys

import grpc
import helloworld_pb2
import helloworld_pb2_grpc


def run():
    with grpc.insecure_channel(sys.argv[1]) as channel:
        stub = helloworld_pb2_grpc.GreeterStub(channel)
        response = stub.SayHello(helloworld_pb2.HelloRequest(name="you"))
    print("Greeter client received: " + response.message)


run()
"""


@pytest.fixture
def replica() -> Iterator[str]:
    """The address of one replica, in a process of its own."""
    command = [sys.executable, "-m", "lb_client.cli", "serve", "--id", "r1", "--json", "--linger", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        event = json.loads(process.stdout.readline())
        assert event["event"] == "serving"
        yield event["address"]
        process.terminate()
        _, log = process.communicate(timeout=10)
    assert process.returncode == 0, log


def _greet(command: list[str], folder: Path) -> str:
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True, timeout=30).stdout


def test_python_client_with_code_generated_on_its_own(replica: str, tmp_path: Path) -> None:
    shutil.copy(PROTO, tmp_path)
    protoc = ["grpc_tools.protoc", "-I.", "--python_out=.", "--grpc_python_out=.", PROTO.name]
    subprocess.run([sys.executable, "-m", *protoc], cwd=tmp_path, check=True)
    (tmp_path / "greeter_client.py").write_text(PYTHON_CLIENT)
    out = _greet([sys.executable, "greeter_client.py", replica], tmp_path)
    assert out == "Greeter client received: Hello, you!\n"


def test_node_client_with_the_proto_loaded_at_run_time(replica: str, tmp_path: Path) -> None:
    node = require_node()
    out = _greet(node.command("greeter_client.js", replica, "you"), tmp_path)
    greeting, identity, *streamed = out.splitlines()
    assert greeting == "Greeting: Hello, you!"
    assert identity == "Replica: r1"
    assert streamed
    assert all(line.startswith("Streamed: Hello") for line in streamed)
