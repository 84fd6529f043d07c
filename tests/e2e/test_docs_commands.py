"""The documentation tells the truth: the marked commands of each page are run, and print what the page shows."""

from __future__ import annotations

import os
import re
import socket
import sys
from pathlib import Path

import pytest

from tests.support.pages import run, steps_of

CHECKOUT = Path(__file__).parents[2]
PAGES = [
    page for page in sorted([*CHECKOUT.glob("*.md"), *CHECKOUT.glob("docs/*.md")]) if "<!-- test:" in page.read_text()
]


@pytest.mark.timeout(180)
@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(CHECKOUT)))
def test_commands_of_the_page_print_what_it_shows(page: Path, tmp_path: Path) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    env = {**os.environ, "PATH": path}
    run(steps_of(_with_free_ports(page.read_text())), folder=tmp_path, checkout=CHECKOUT, env=env, timeout_s=170)


def _with_free_ports(page: str) -> str:
    """The page with free ports for 50051, gRPC's usual one, and 50052: somebody else may have taken them here."""
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
        ports = {"50051": one.getsockname()[1], "50052": two.getsockname()[1]}
        return re.sub("5005[12]", lambda found: str(ports[found[0]]), page)
