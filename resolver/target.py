"""Targets: `scheme:rest` taken apart, and the register of what resolves each scheme."""

from __future__ import annotations

import importlib
import re
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from resolver.errors import TargetError

if TYPE_CHECKING:
    from resolver.registry.base import WatcherFactory

_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*")
_ENTRY_POINTS = "lbdemo.resolvers"
# Ours, by module: found without reading the metadata of everything that is installed.
_BUILT_IN = {"dir": "resolver.registry.directory", "static": "resolver.registry.static"}

# What RFC 3986 lets stand in a path as it is. Core decodes and encodes names again by the same rule.
PATH_CHARACTERS = "/:,.-_~@=+!$&'()*;"

_registered: dict[str, WatcherFactory] = {}
_lock = threading.Lock()


@dataclass(frozen=True, slots=True)
class Target:
    """A resolver target in its parts.

    Attributes:
        scheme: Which resolver reads the rest, lower case.
        authority: Between `//` and the next `/`; "" when there is none.
        path: What follows, with its leading slash where the target has one.
    """

    scheme: str
    authority: str
    path: str

    @classmethod
    def parse(cls, text: str) -> Target:
        """Take `scheme:path` or `scheme://authority/path` apart.

        Raises:
            TargetError: No scheme, nothing after it, or characters that no target has.
        """
        scheme, colon, rest = text.partition(":")
        if not colon or not _SCHEME.fullmatch(scheme):
            raise TargetError(
                f"target {text!r} has no scheme: write for example dir:///run/greeter or static:10.0.0.1:50051"
            )
        if not text.isprintable() or any(c.isspace() for c in text):
            raise TargetError(f"target {text!r} contains white space or control characters: write a space as %20")
        authority, path = "", rest
        if rest.startswith("//"):
            authority, slash, path = rest[2:].partition("/")
            path = slash + path
        if not authority and path in ("", "/"):
            raise TargetError(f"target {text!r} names nothing after its scheme")
        return cls(scheme, authority, path)

    def __str__(self) -> str:
        """The target as it is written."""
        return f"{self.scheme}://{self.authority}{self.path}" if self._has_slashes else f"{self.scheme}:{self.path}"

    @property
    def _has_slashes(self) -> bool:
        return bool(self.authority) or self.path.startswith("/")


def quote_path(path: str) -> str:
    """A path as it stands in a target: what could end it, or be taken for something else, is percent-encoded."""
    return quote(path, safe=PATH_CHARACTERS)


def register(scheme: str, factory: WatcherFactory) -> None:
    """Let `factory` resolve every target of `scheme`, in this process, from the next channel on.

    A package can do the same by an entry point in the group `lbdemo.resolvers`, whose name is the scheme.
    What is registered here goes before our own schemes, and those before an entry point of the same name.

    Raises:
        ValueError: The scheme is not of the form that RFC 3986 asks for, in lower case.
    """
    if not _SCHEME.fullmatch(scheme):
        raise ValueError(f"scheme {scheme!r} is not a lower-case letter followed by letters, digits, '+', '-' or '.'")
    with _lock:
        _registered[scheme] = factory


def unregister(scheme: str) -> None:
    """Take back what `register` did; channels that are open keep their watcher. No error if there was nothing."""
    with _lock:
        _registered.pop(scheme, None)


def known_schemes() -> tuple[str, ...]:
    """Every scheme that can be resolved, sorted."""
    from importlib.metadata import entry_points  # noqa: PLC0415 -- 17 ms, for the schemes of others only

    return tuple(sorted({*_BUILT_IN, *_registered, *(entry.name for entry in entry_points(group=_ENTRY_POINTS))}))


def is_known_scheme(text: str) -> bool:
    """Whether the target's scheme is one of ours; False for gRPC's own (`dns:`, `ipv4:`, `unix:`) and for host:port."""
    scheme = text.partition(":")[0]
    return scheme in _BUILT_IN or scheme in _registered or scheme in known_schemes()


def factory_for(target: Target) -> WatcherFactory:
    """What resolves the target's scheme.

    Raises:
        TargetError: Nobody does; the message lists the schemes that are known.
    """
    with _lock:
        factory = _registered.get(target.scheme)
    if factory is not None:
        return factory
    if target.scheme in _BUILT_IN:
        built_in: WatcherFactory = importlib.import_module(_BUILT_IN[target.scheme]).factory
        return built_in
    from importlib.metadata import entry_points  # noqa: PLC0415 -- 17 ms, for the schemes of others only

    for entry in entry_points(group=_ENTRY_POINTS, name=target.scheme):
        loaded: WatcherFactory = entry.load()
        return loaded
    raise TargetError(
        f"no resolver for scheme {target.scheme!r} (target {target}): "
        f"known are {', '.join(known_schemes())}; add one with resolver.register({target.scheme!r}, factory)"
    )
