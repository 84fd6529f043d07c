"""What the Makefile promises where it can say no: stale generated code, a Python that will not do, a wrong folder."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]


def _make(folder: Path, *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["make", "-C", str(folder), *args], capture_output=True, text=True, check=False)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """What set-up needs of the checkout, in a folder with a space in its name."""
    folder = tmp_path / "a copy"
    for name in ("protos", "requirements"):
        shutil.copytree(CHECKOUT / name, folder / name)
    shutil.copy2(CHECKOUT / "Makefile", folder)
    return folder


@pytest.fixture
def copy_with_generator(copy: Path) -> Path:
    assert _make(CHECKOUT, ".venv-proto/stamp").returncode == 0
    (copy / ".venv-proto").symlink_to(CHECKOUT / ".venv-proto")
    return copy


def test_committed_generated_code_is_current(copy_with_generator: Path) -> None:
    done = _make(copy_with_generator, "proto-check")
    assert (done.returncode, done.stderr) == (0, "")


def test_stale_generated_code_fails_and_is_mended_by_make_proto(copy_with_generator: Path) -> None:
    proto = copy_with_generator / "protos" / "helloworld.proto"
    proto.write_text(proto.read_text().replace("string name = 1;", "string name = 1;\n  string title = 2;"))
    stale = _make(copy_with_generator, "proto-check")
    assert stale.returncode != 0
    assert "make proto" in stale.stderr
    assert _make(copy_with_generator, "proto").returncode == 0
    assert _make(copy_with_generator, "proto-check").returncode == 0


@pytest.mark.parametrize(
    ("behaviour", "told"),
    [
        ('case "$*" in -V) echo Python 3.9.2;; *version_info*) exit 1;; esac', "needs Python 3.11 or newer; "),
        ('case "$*" in *ensurepip*) exit 1;; esac', "apt install python3-venv"),
    ],
    ids=["too old", "without venv"],
)
def test_python_that_will_not_do_gets_one_clear_line(behaviour: str, told: str, copy: Path, tmp_path: Path) -> None:
    python = tmp_path / "python3"
    python.write_text(f"#!/bin/sh\n{behaviour}\n")
    python.chmod(0o755)
    done = _make(copy, "setup", f"PYTHON={python}")
    assert done.returncode != 0
    lines = [line for line in done.stderr.splitlines() if not line.startswith("make")]
    assert len(lines) == 1
    assert told in lines[0]
    assert not (copy / ".venv").exists()


def test_make_elsewhere_says_where_to_run_it(tmp_path: Path) -> None:
    done = subprocess.run(
        ["make", "-f", str(CHECKOUT / "Makefile")], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "make -C FOLDER" in done.stderr


def test_help_lists_every_target_that_has_a_line() -> None:
    done = _make(CHECKOUT, "help")
    assert done.returncode == 0
    listed = {line.split()[1] for line in done.stdout.splitlines() if line.startswith("  make ")}
    assert {"demo", "test", "help", "proto", "bench", "lock", "peers", "compose-check", "wheel", "clean"} <= listed


def test_demo_prints_an_even_report_and_leaves_nothing_running() -> None:
    done = _make(CHECKOUT, "demo")
    assert done.returncode == 0, done.stderr
    commands = [line for line in done.stdout.splitlines() if line.startswith("$ ")]
    assert commands == ["$ lbdemo up --replicas 3", "$ lbdemo call --count 100", "$ lbdemo down"]
    assert "Even: 100 calls over 3 endpoints, 34/33/33." in done.stdout


def test_demo_whose_reader_goes_away_leaves_nothing_running() -> None:
    done = subprocess.run(
        ["bash", "-c", 'make -C "$0" demo | grep -q -m 1 serve', str(CHECKOUT)], capture_output=True, check=False
    )
    assert done.returncode == 0
