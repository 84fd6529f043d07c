"""What gRPC core is told in processes that are ours alone, by the environment: it reads that when gRPC is imported.

An application's process is not ours: the library changes nothing there.
"""

from __future__ import annotations

import importlib.util
import sys

TYPE_CHECKING = False  # not from typing: whatever a command imports first, it waits for
if TYPE_CHECKING:
    from collections.abc import MutableMapping

EXPERIMENTS = "-event_engine_client,-event_engine_listener"
"""Sockets are read by the thread that waits for events, not by core's event engine, which hands each event from thread
to thread first. It is how core worked before there was one; what it saves is told in docs/design.md."""

KNOWN = ((1, 80), (1, 85))
"""The first and the last release of gRPC that were seen to know these names, and to hand over events as poller_loop.py
has it. Others are not told: core complains of a name that it does not know, on stderr, whatever its verbosity."""


def prepare(environ: MutableMapping[str, str]) -> None:
    """Tell core, and the processes that this one starts, what suits a process of ours; what is set already stays.

    Args:
        environ: `os.environ`, before gRPC is imported.
    """
    # Core would write lines of its own between ours, about every connection that ends (`I1122 … Got goaway`).
    environ.setdefault("GRPC_VERBOSITY", "NONE")
    if is_known():
        environ.setdefault("GRPC_EXPERIMENTS", EXPERIMENTS)


def is_known() -> bool:
    """Whether the gRPC that is installed is one of these, and the system the one on which they were seen."""
    return sys.platform == "linux" and KNOWN[0] <= installed_grpc() <= KNOWN[1]


def installed_grpc() -> tuple[int, int]:
    """Major and minor version of gRPC, without importing it; zeros where it cannot be told."""
    spec = importlib.util.find_spec("grpc")
    if spec is None or spec.origin is None:
        return 0, 0
    name = f"{spec.origin.rpartition('/')[0]}/_grpcio_metadata.py"
    try:
        with open(name, encoding="utf-8") as file:  # noqa: PTH123 -- pathlib takes longer than all of this
            version = file.read().partition('"""')[2]
        major, minor, *_ = version.split(".")
        return int(major), int(minor)
    except (OSError, ValueError):
        return 0, 0
