"""The import rule: protos ◀ backends, protos ◀ resolver ◀ lb_client; only the commands of lb_client know backends."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OURS = {"protos", "backends", "resolver", "lb_client", "tests"}
MAY_IMPORT = {
    "protos": {"protos"},
    "backends": {"backends", "protos"},
    "resolver": {"resolver", "protos"},
    "lb_client": {"lb_client", "resolver", "protos"},
    "lb_client/cli": {"lb_client", "resolver", "protos", "backends"},
}


def _imported(source: str) -> set[str]:
    """The top-level packages of ours that the source imports, at any depth, for types only or not."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add("(relative)" if node.level else str(node.module).split(".")[0])
    return found & (OURS | {"(relative)"})


def _allowed(file: Path) -> set[str]:
    layer = "lb_client/cli" if file.is_relative_to(ROOT / "lb_client" / "cli") else file.relative_to(ROOT).parts[0]
    return MAY_IMPORT[layer]


FILES = [file for top in sorted(OURS - {"tests"}) for file in sorted((ROOT / top).rglob("*.py"))]


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_module_imports_only_what_its_layer_may(file: Path) -> None:
    assert _imported(file.read_text()) <= _allowed(file)


def test_import_hidden_in_a_function_is_seen() -> None:
    assert _imported("def f():\n    from backends.spec import ReplicaSpec\n    import os, resolver.model") == {
        "backends",
        "resolver",
    }
    assert "(relative)" in _imported("from . import model")
