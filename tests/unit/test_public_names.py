"""Doors are few and true: `__all__` is sorted, each name in it is there, and a package shows nothing beside it."""

from __future__ import annotations

import importlib
import pkgutil

import pytest

PACKAGES = ["backends", "lb_client", "protos", "resolver"]


def _modules() -> list[str]:
    names = list(PACKAGES)
    for package in PACKAGES:
        path = importlib.import_module(package).__path__
        names += [m.name for m in pkgutil.walk_packages(path, f"{package}.") if not m.name.endswith("__main__")]
    return names


def test_every_all_is_sorted_and_true() -> None:
    for module in map(importlib.import_module, _modules()):
        names = getattr(module, "__all__", [])
        assert list(names) == sorted(set(names)), module.__name__
        assert [n for n in names if not hasattr(module, n)] == [], module.__name__


@pytest.mark.parametrize("name", PACKAGES)
def test_package_shows_no_public_name_beside_all(name: str) -> None:
    module = importlib.import_module(name)
    ours = {n for n, v in vars(module).items() if n[0] != "_" and str(getattr(v, "__module__", "")).startswith(name)}
    assert ours <= set(getattr(module, "__all__", []))


@pytest.mark.parametrize("name", ["lb_client", "resolver"])
def test_library_package_has_a_door(name: str) -> None:
    assert importlib.import_module(name).__all__
