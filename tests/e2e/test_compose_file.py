"""compose.yaml is valid by the Compose specification's schema, and says what the rest of the project relies on."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

CHECKOUT = Path(__file__).parents[2]
COMPOSE = (CHECKOUT / "compose.yaml").read_text()


def _check(file: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(file)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_file_is_valid_by_the_compose_specification() -> None:
    done = _check(CHECKOUT / "compose.yaml")
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        ("  replica:\n", "  replica:\n    comand: [serve]\n"),
        ("condition: service_healthy", "condition: service_happy"),
        ("replicas: 3", "replicas: [3]"),
    ],
)
def test_broken_file_fails(good: str, bad: str, tmp_path: Path) -> None:
    assert good in COMPOSE
    broken = tmp_path / "compose.yaml"
    broken.write_text(COMPOSE.replace(good, bad, 1))
    done = _check(broken)
    assert done.returncode == 1
    assert "Schema validation errors" in done.stdout


def test_each_service_runs_a_command_that_there_is() -> None:
    from lb_client.cli.root import COMMANDS  # noqa: PLC0415 -- only this test needs it

    services = yaml.safe_load(COMPOSE)["services"]
    assert {service["command"][0] for service in services.values()} <= COMMANDS.keys()


def test_image_holds_what_the_dockerfile_copies_and_no_more() -> None:
    copied = set(re.findall(r"^COPY (?!--from)(.+) \S+$", (CHECKOUT / "Dockerfile").read_text(), re.MULTILINE))
    kept = re.findall(r"^!(.+)$", (CHECKOUT / ".dockerignore").read_text(), re.MULTILINE)
    assert sorted(" ".join(copied).split()) == sorted(kept)
    assert all((CHECKOUT / name).exists() for name in kept)
