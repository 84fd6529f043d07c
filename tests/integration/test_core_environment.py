"""What processes of ours tell gRPC core: it knows the names and keeps quiet; an application is left alone."""

from __future__ import annotations

import os
import subprocess
import sys

import grpc
import pytest

from backends import core_environment

_IMPORTS = "import os; from backends import core_environment; {}; import grpc"


def said_by_core(told: str) -> str:
    """What is on stderr when gRPC is imported after that."""
    command = [sys.executable, "-c", _IMPORTS.format(told)]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stderr


def test_version_is_known_without_importing_grpc() -> None:
    major, minor = grpc.__version__.split(".")[:2]
    assert core_environment.installed_grpc() == (int(major), int(minor))
    code = "import sys; from backends.core_environment import installed_grpc as i; i(); sys.exit('grpc' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)


def test_core_knows_every_name_it_is_told() -> None:
    assert said_by_core("core_environment.prepare(os.environ)") == ""
    wrong = f"os.environ['GRPC_EXPERIMENTS'] = {core_environment.EXPERIMENTS.replace('client', 'clown')!r}"
    assert "Unknown experiment: event_engine_clown" in said_by_core(wrong)


@pytest.mark.skipif(sys.platform != "linux", reason="measured on Linux only")
def test_what_is_set_already_stays() -> None:
    fresh: dict[str, str] = {}
    core_environment.prepare(fresh)
    assert fresh == {"GRPC_VERBOSITY": "NONE", "GRPC_EXPERIMENTS": core_environment.EXPERIMENTS}
    told = {"GRPC_VERBOSITY": "INFO", "GRPC_EXPERIMENTS": "tcp_rcv_lowat"}
    core_environment.prepare(told)
    assert told == {"GRPC_VERBOSITY": "INFO", "GRPC_EXPERIMENTS": "tcp_rcv_lowat"}


def test_release_that_nobody_has_seen_is_told_nothing_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    major, minor = core_environment.KNOWN[1]
    monkeypatch.setattr(core_environment, "installed_grpc", lambda: (major, minor + 1))
    newer: dict[str, str] = {}
    core_environment.prepare(newer)
    assert newer == {"GRPC_VERBOSITY": "NONE"}


def test_library_leaves_core_to_its_user() -> None:
    code = (
        "import os, lb_client, resolver, backends.replica; lb_client.insecure_channel('static:127.0.0.1:1').close();"
        "print([os.environ.get(name) for name in ('GRPC_VERBOSITY', 'GRPC_EXPERIMENTS')])"
    )
    # Not as it is here: this process's own imports have nothing to do with it.
    environ = {name: value for name, value in os.environ.items() if not name.startswith("GRPC_")}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environ, timeout=30
    )
    assert done.stdout == "[None, None]\n"
