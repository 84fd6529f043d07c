"""The wheel holds what it should, installs into an environment of its own, and its command works from any directory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
import zipfile
from email import message_from_bytes
from pathlib import Path
from sysconfig import get_path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from email.message import Message

CHECKOUT = Path(__file__).parents[2]
PACKAGES = {"protos", "backends", "resolver", "lb_client"}
PROJECT = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built with the build backend that is installed: no network."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=CHECKOUT, capture_output=True, check=True)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` of a new environment with the wheel; the dependencies are those of this one, the checkout is not."""
    env = tmp_path_factory.mktemp("env")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(env)], check=True)
    python = env / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "-qq", "--no-index", "--no-deps"]
    subprocess.run([*pip, str(wheel)], check=True)
    # A path that a .pth file adds is searched, and its own .pth files, the editable checkout among them, are not read.
    site = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True,
        text=True,
        check=True,
    )
    (Path(site.stdout.strip()) / "dependencies.pth").write_text(get_path("purelib") + "\n")
    return env / "bin"


def _names(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


def _metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        return message_from_bytes(archive.read(name))


def test_wheel_holds_the_packages_and_nothing_beside_them(wheel: Path) -> None:
    names = _names(wheel)
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == PACKAGES
    assert {f"{package}/py.typed" for package in PACKAGES} <= set(names)
    assert {f"protos/{proto.name}" for proto in (CHECKOUT / "protos").glob("*.proto")} <= set(names)
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)
    committed = subprocess.run(
        ["git", "ls-files", *PACKAGES], cwd=CHECKOUT, capture_output=True, text=True, check=False
    )
    assert set(committed.stdout.split()) <= set(names)


def test_metadata_is_complete(wheel: Path) -> None:
    meta = _metadata(wheel)
    assert meta["Name"] == "lbdemo"
    assert meta["Summary"] == PROJECT["description"]
    assert meta["License-Expression"] == "Apache-2.0"
    assert meta["Requires-Python"] == PROJECT["requires-python"]
    assert meta["Description-Content-Type"] == "text/markdown"
    assert set(meta.get_all("Classifier", [])) == set(PROJECT["classifiers"])
    assert set(meta.get_all("Provides-Extra", [])) == set(PROJECT["optional-dependencies"])
    optional = [line for extra in PROJECT["optional-dependencies"].values() for line in extra]
    required = {line.split(";")[0].strip() for line in meta.get_all("Requires-Dist", [])}
    assert required == {line.split(";")[0].strip() for line in [*PROJECT["dependencies"], *optional]}


def test_entry_points_of_the_installed_wheel_can_be_loaded(installed: Path, tmp_path: Path) -> None:
    code = """
import json
from importlib.metadata import distribution
points = distribution("lbdemo").entry_points
print(json.dumps([[p.group, p.name, str(p.load().__module__)] for p in points]))
"""
    done = subprocess.run([installed / "python", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    points = {(group, name) for group, name, _ in json.loads(done.stdout)}
    wanted = {("console_scripts", name) for name in PROJECT["scripts"]}
    wanted |= {(group, name) for group, entries in PROJECT.get("entry-points", {}).items() for name in entries}
    assert points == wanted


def test_modules_come_from_the_wheel_and_not_from_the_checkout(installed: Path, tmp_path: Path) -> None:
    code = f"import importlib\nfor name in {sorted(PACKAGES)}: print(importlib.import_module(name).__file__)"
    done = subprocess.run([installed / "python", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    files = [Path(line) for line in done.stdout.splitlines()]
    assert len(files) == len(PACKAGES)
    assert all(file.is_relative_to(installed.parent) for file in files)


def test_installed_command_works_from_another_directory(installed: Path, tmp_path: Path) -> None:
    def lbdemo(*args: str) -> str:
        done = subprocess.run(
            [installed / "lbdemo", *args], cwd=tmp_path, env=os.environ, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert lbdemo("--version").startswith("lbdemo, version ")
    lbdemo("up", "--replicas", "3")
    try:
        report = json.loads(lbdemo("call", "--count", "99", "--json"))
    finally:
        lbdemo("down")
    assert sorted(backend["calls"] for backend in report["backends"]) == [33, 33, 33]
