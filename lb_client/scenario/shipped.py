"""The scenarios that come with lbdemo, by name: files beside this one. Reads them, plays nothing."""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

_END = ".yaml"


def names() -> list[str]:
    """All of them: the faults in the order of the alphabet, then gRPC's interop tests."""
    found = [file.name.removesuffix(_END) for file in _folder().iterdir() if file.name.endswith(_END)]
    return sorted(found, key=lambda name: (name.startswith("interop-"), name))


def data(name: str) -> bytes | None:
    """The file of that name; None where there is none."""
    if name not in names():
        return None
    return _folder().joinpath(f"{name}{_END}").read_bytes()


def _folder() -> Traversable:
    return resources.files("lb_client.scenario") / "shipped"
