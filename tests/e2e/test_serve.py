"""`lbdemo serve` and `python -m backends` as processes: one replica from the first line to the exit code."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from protos import helloworld_pb2, helloworld_pb2_grpc
from tests.support.eventually import eventually
from tests.support.services import BUILT_IN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SERVE = (str(Path(sys.executable).parent / "lbdemo"), "serve")
MODULE = (sys.executable, "-m", "backends")


class Process:
    """One started command, with what it says."""

    def __init__(self, *command: str, cwd: Path, **more: Any) -> None:
        pipe = subprocess.PIPE
        self.popen = subprocess.Popen(command, cwd=cwd, stdout=pipe, stderr=pipe, text=True, **more)

    def event(self) -> dict[str, Any]:
        """The next line on stdout."""
        assert self.popen.stdout is not None
        line = self.popen.stdout.readline()
        assert line, self.end()
        event: dict[str, Any] = json.loads(line)
        return event

    def end(self) -> tuple[int, list[str]]:
        """Exit code and the lines on stderr, once it is over."""
        _, error = self.popen.communicate(timeout=20)
        return self.popen.returncode, error.splitlines()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Process]]:
    started: list[Process] = []

    def start(*command: str, **more: Any) -> Process:
        started.append(Process(*command, cwd=tmp_path, **more))
        return started[-1]

    yield start
    for process in started:
        process.popen.kill()
        process.popen.communicate()


def greet(address: str, *, timeout: float = 10) -> tuple[str, str]:
    """The greeting, and who gave it."""
    with grpc.insecure_channel(address, options=(("grpc.enable_http_proxy", 0),)) as channel:
        stub = helloworld_pb2_grpc.GreeterStub(channel)
        reply, call = stub.SayHello.with_call(helloworld_pb2.HelloRequest(name="you"), timeout=timeout)
        return reply.message, str(dict(call.trailing_metadata())["lbdemo-replica"])


def test_serve_says_one_line_answers_and_drains_on_sigterm(start: Callable[..., Process], tmp_path: Path) -> None:
    serve = start(*SERVE, "--id", "r9", "--registry", "registry", "--linger", "0", "--meta", "zone=a", "--json")
    serving = serve.event()
    address = serving["address"]
    assert serving == {
        "event": "serving", "id": "r9", "address": address, "pid": serve.popen.pid, "services": BUILT_IN,
    }  # fmt: skip
    record = tmp_path / "registry" / "r9.json"
    assert json.loads(record.read_text())["Metadata"] == {"id": "r9", "weight": "1", "zone": "a"}
    assert greet(address) == ("Hello, you!", "r9")
    serve.popen.terminate()
    assert serve.event() == {"event": "draining", "id": "r9"}
    assert serve.end() == (0, [
        f"lbdemo: replica r9 serves {', '.join(BUILT_IN)} on {address}, announced in {tmp_path / 'registry'}",
        "lbdemo: replica r9 drains (SIGTERM), 0 calls in flight",
        "lbdemo: replica r9 has stopped, after 1 calls",
    ])  # fmt: skip
    assert not record.exists()


def test_ctrl_c_drains_and_a_second_one_stops_at_once(start: Callable[..., Process]) -> None:
    serve = start(*SERVE, "--linger", "3600", "--json")
    serve.event()
    serve.popen.send_signal(signal.SIGINT)
    assert serve.event()["event"] == "draining"
    serve.popen.send_signal(signal.SIGINT)
    code, lines = serve.end()
    assert (code, "Traceback" in "\n".join(lines)) == (0, False)


def test_supervisors_sigterm_after_a_terminals_ctrl_c_does_not_cut_the_drain_short(
    start: Callable[..., Process],
) -> None:
    serve = start(*SERVE, "--linger", "1", "--json")
    address = serve.event()["address"]
    serve.popen.send_signal(signal.SIGINT)
    assert serve.event()["event"] == "draining"
    serve.popen.send_signal(signal.SIGTERM)
    assert greet(address)[0] == "Hello, you!"
    assert serve.end()[0] == 0


def test_options_come_from_the_environment_too(start: Callable[..., Process], tmp_path: Path) -> None:
    given = {
        "LBDEMO_SERVE_ID": "from-env", "LBDEMO_SERVE_REGISTRY": str(tmp_path), "LBDEMO_SERVE_LINGER": "0",
        "LBDEMO_SERVE_META": "zone=b version=2", "LBDEMO_SERVE_ADVERTISE": "10.1.2.3", "LBDEMO_SERVE_JSON": "1",
    }  # fmt: skip
    serve = start(*SERVE, env=os.environ | given)
    address = serve.event()["address"]
    assert address.startswith("10.1.2.3:")
    assert json.loads((tmp_path / "from-env.json").read_text()) == {
        "Op": 0, "Addr": address, "Metadata": {"id": "from-env", "weight": "1", "zone": "b", "version": "2"},
    }  # fmt: skip
    serve.popen.terminate()
    assert serve.end()[0] == 0


def test_id_comes_from_the_hosts_name_if_none_is_given(start: Callable[..., Process]) -> None:
    serve = start(*SERVE, "--linger", "0", "--json")
    assert serve.event()["id"].endswith(f"-{serve.popen.pid}")
    serve.popen.terminate()
    assert serve.end()[0] == 0


def test_taken_port_ends_with_one_line_and_exit_code_3(start: Callable[..., Process]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        serve = start(*SERVE, "--id", "r1", "--port", str(port), "--json")
        reason = (
            f"cannot bind 127.0.0.1:{port}: another process has this port; choose another --port, or 0 for any free one"
        )
        assert serve.event() == {"event": "cannot-start", "id": "r1", "reason": reason}
        assert serve.end() == (3, [f"lbdemo: replica r1 cannot start: {reason}"])


@pytest.mark.parametrize(
    ("args", "code", "line"),
    [
        (("--service", "nowhere:add"), 3, "no module 'nowhere' in {cwd} or among the installed packages"),
        (("--service", "own:fail"), 3, "service 'own:fail' failed: ZeroDivisionError: division by zero (own.py:5)"),
        (("--registry", "file/below"), 3, "cannot announce in {cwd}/file/below: Not a directory; give --registry"),
        (("--host", "192.0.2.77"), 3, "no interface of this machine has this address; choose another --host"),
        (("--registry", "file"), 2, "Invalid value for '--registry'"),
        (("--id", "a/b"), 2, "'a/b' is no replica id: use 1 to 63 letters"),
        (("--port", "65536"), 2, "Invalid value for '--port': '65536' is no port: write 0 to 65,535"),
        (("--port", "-1"), 2, "Invalid value for '--port': '-1' is no port: write 0 to 65,535"),
        (("--port", "x"), 2, "Invalid value for '--port': 'x' is no port: write 0 to 65,535"),
        (("--service", "own"), 2, "Invalid value for '--service': 'own' is not of the form package.module:function"),
        (("--advertise", "http://x"), 2, "annot advertise 'http://x'"),
        (("--linger", "nan"), 2, "Invalid value for '--linger'"),
        (("--grace", "-1"), 2, "Invalid value for '--grace'"),
        (("--meta", "zone"), 2, "'zone' is not key=value"),
        (("--meta", "weight=0"), 2, "etadata weight='0' is no whole number"),
        (("--meta", "id=r2"), 2, "etadata 'id' cannot be set"),
    ],
)
def test_bad_input_is_told_in_one_line_with_its_exit_code(
    start: Callable[..., Process], tmp_path: Path, args: tuple[str, ...], code: int, line: str
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "own.py").write_text("import math\n\n\ndef fail(server):\n    1 / 0\n")
    actual, lines = start(*SERVE, *args).end()
    assert actual == code
    assert line.format(cwd=tmp_path) in lines[-1]
    assert "Traceback" not in "\n".join(lines)
    assert code == 2 or len(lines) == 1


def test_users_service_is_served_from_the_current_directory(start: Callable[..., Process], tmp_path: Path) -> None:
    (tmp_path / "my_greeter.py").write_text(
        textwrap.dedent("""
            from protos import helloworld_pb2, helloworld_pb2_grpc

            class Greeter(helloworld_pb2_grpc.GreeterServicer):
                def SayHello(self, request, context):
                    context.set_trailing_metadata((("mine", "too"),))
                    return helloworld_pb2.HelloReply(message=f"Salut, {request.name} !")

            def add(server):
                helloworld_pb2_grpc.add_GreeterServicer_to_server(Greeter(), server)
        """)
    )
    serve = start(*SERVE, "--service", "my_greeter:add", "--id", "mine", "--linger", "0", "--json")
    serving = serve.event()
    assert serving["services"] == ["helloworld.Greeter"]
    assert greet(serving["address"]) == ("Salut, you !", "mine")
    serve.popen.terminate()
    assert serve.end()[0] == 0


def test_handler_that_never_returns_does_not_outlive_the_grace(start: Callable[..., Process], tmp_path: Path) -> None:
    """Its thread cannot be ended; the process can."""
    (tmp_path / "stuck.py").write_text(
        textwrap.dedent("""
            import pathlib, time
            from protos import helloworld_pb2_grpc

            class Greeter(helloworld_pb2_grpc.GreeterServicer):
                def SayHello(self, request, context):
                    pathlib.Path("called").touch()
                    time.sleep(3600)

            def add(server):
                helloworld_pb2_grpc.add_GreeterServicer_to_server(Greeter(), server)
        """)
    )
    serve = start(*SERVE, "--service", "stuck:add", "--linger", "0", "--grace", "0.2", "--json")
    address = serve.event()["address"]
    with grpc.insecure_channel(address, options=(("grpc.enable_http_proxy", 0),)) as channel:
        call = helloworld_pb2_grpc.GreeterStub(channel).SayHello.future(helloworld_pb2.HelloRequest())
        eventually(lambda: _assert_exists(tmp_path / "called"))
        serve.popen.terminate()
        assert serve.end()[0] == 0
        assert call.code() in (grpc.StatusCode.CANCELLED, grpc.StatusCode.UNAVAILABLE)


def test_sigterm_while_it_starts_ends_it(start: Callable[..., Process], tmp_path: Path) -> None:
    (tmp_path / "slow_start.py").write_text(
        textwrap.dedent("""
            import asyncio, pathlib

            async def add(server):
                pathlib.Path("starting").touch()
                await asyncio.Event().wait()
        """)
    )
    serve = start(*SERVE, "--service", "slow_start:add")
    eventually(lambda: _assert_exists(tmp_path / "starting"))
    serve.popen.terminate()
    assert serve.end() == (0, [])


def test_module_tells_its_starter_and_drains_when_its_lifeline_ends(
    start: Callable[..., Process], tmp_path: Path
) -> None:
    notices, notify = os.pipe()
    lifeline, held = os.pipe()
    os.set_inheritable(notify, True)
    os.set_inheritable(lifeline, True)
    options = ("--id", "r1", "--registry", str(tmp_path), "--linger", "0")
    replica = start(
        *MODULE, *options, "--notify-fd", str(notify), "--lifeline-fd", str(lifeline), pass_fds=(notify, lifeline),
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip
    os.close(notify)
    os.close(lifeline)
    with os.fdopen(notices) as events:
        serving = json.loads(events.readline())
        assert (serving["event"], serving["pid"]) == ("serving", replica.popen.pid)
        assert greet(serving["address"])[1] == "r1"
        os.close(held)
        assert json.loads(events.readline()) == {"event": "draining", "id": "r1"}
        assert events.readline() == ""
    code, lines = replica.end()
    assert (code, list(tmp_path.glob("*.json"))) == (0, [])
    assert any("drains (its supervisor is gone)" in line for line in lines)


def _assert_exists(path: Path) -> None:
    assert path.exists()
