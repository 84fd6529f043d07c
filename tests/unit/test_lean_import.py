"""The command starts fast because it imports little: which modules `lbdemo --help` pulls in, measured in a process."""

from __future__ import annotations

import subprocess
import sys

import pytest

# What may be imported to print a page of help: third-party modules by their first name, and the command's own.
THIRD_PARTY = {"click"}
OURS = {"lb_client.cli"} | {f"lb_client.cli.{name}" for name in ("root", "common", "interrupts", "standard_streams")}
HEAVY = {"asyncio", "concurrent", "google", "grpc", "http", "logging", "rich", "ssl", "subprocess"}

SHOW = """
import sys
before = set(sys.modules)
sys.argv = ["lbdemo", *sys.argv[1:]]
try:
    from lb_client.cli.root import run
    if sys.argv[1:]:
        run()
finally:
    print("\\n".join(sorted(set(sys.modules) - before)), file=sys.stderr)
"""


def _imported(*args: str) -> set[str]:
    done = subprocess.run([sys.executable, "-c", SHOW, *args], capture_output=True, text=True, check=True)
    return set(done.stderr.split())


@pytest.mark.parametrize("args", [[], ["--help"], ["--version"]], ids=["import", "help", "version"])
def test_root_command_imports_only_the_listed_modules(args: list[str]) -> None:
    names = _imported(*args)
    assert {n for n in names if n.startswith("lb_client.cli")} == OURS
    others = {n.split(".")[0] for n in names} - {"backends", "lb_client", "protos", "resolver"}
    assert {n for n in others if n not in sys.stdlib_module_names and not n.startswith("_")} == THIRD_PARTY


def test_root_command_imports_nothing_heavy() -> None:
    assert {n.split(".")[0] for n in _imported("--help")} & HEAVY == set()


def test_import_of_the_library_does_no_work() -> None:
    """Importing it starts no thread and opens nothing; gRPC is imported because its types are the library's face."""
    code = (
        "import os, threading; fds = len(os.listdir('/proc/self/fd')); import lb_client, resolver;"
        "print(threading.active_count(), len(os.listdir('/proc/self/fd')) - fds)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1", "0"]
