"""A state folder may have any name that is text: targets and sockets are URIs, where much of it has a meaning."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import unquote

import pytest

import lb_client
from protos import helloworld_pb2, helloworld_pb2_grpc
from tests.support.command import lbdemo, status

pytestmark = pytest.mark.timeout(60)


@pytest.mark.parametrize(
    "name", ["a b", "(c) [d]", "100%", "%41%2f%zz", "#x", "q?a=1&b", "ä日本", "'\"\\$`", "a\nb", "a:b;c@d"]
)
def test_every_command_works_in_a_folder_of_any_name(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Path(os.environ["LBDEMO_STATE_DIR"]) / name
    monkeypatch.setenv("LBDEMO_STATE_DIR", str(folder))
    up = lbdemo("up", "-n", "2", ok=True)
    target = lbdemo("status", "--target", ok=True).out.removesuffix("\n")
    assert f"  target    {target}\n" in up.out
    assert unquote(target) == f"dir://{folder}/default/greeter"
    assert sorted(path.name for path in (folder / "default" / "greeter").iterdir()) == ["r1.json", "r2.json"]
    for args in ([], ["--target", target]):
        report = lbdemo("call", "--count", "4", "--json", *args, ok=True).json
        assert report["target"] == target
        assert [(b["id"], b["calls"]) for b in report["backends"]] == [("r1", 2), ("r2", 2)]
    with lb_client.insecure_channel(target) as channel:
        answer = helloworld_pb2_grpc.GreeterStub(channel).SayHello(helloworld_pb2.HelloRequest(name="you"), timeout=5)
    assert answer.message == "Hello, you!"
    lbdemo("scale", "3", ok=True)
    assert [r["health"] for r in status()["replicas"]] == ["SERVING"] * 3
    assert lbdemo("call", "--count", "9", "--json", ok=True).json["spread"]["max_minus_min"] == 0
    assert "r3 serves at" in lbdemo("logs", "supervisor", ok=True).out
    lbdemo("down", ok=True)
    assert lbdemo("status").code == 1


def test_comma_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LBDEMO_STATE_DIR", f"{os.environ['LBDEMO_STATE_DIR']}/a,b")
    for args in (["up"], ["status"], ["call"], ["down"], ["logs"]):
        ran = lbdemo(*args)
        assert ran.code == 1
        assert "has a comma in its name, which gRPC's sockets cannot: set LBDEMO_STATE_DIR" in ran.only_line


def test_name_that_is_no_text_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LBDEMO_STATE_DIR", os.fsdecode(os.fsencode(os.environ["LBDEMO_STATE_DIR"]) + b"/\xff"))
    for args in (["up"], ["status"], ["call"], ["down"], ["logs"]):
        ran = lbdemo(*args)
        assert ran.code == 1
        assert "is not UTF-8: set LBDEMO_STATE_DIR to a folder of yours" in ran.only_line
