"""On what the figures were taken: machine, Python, gRPC, and how busy it was."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any


def facts() -> dict[str, Any]:
    """What stays the same for a whole run."""
    return {
        "machine": f"{_processor()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "grpcio": version("grpcio"),
        "protobuf": version("protobuf"),
        "lbdemo": version("lbdemo"),
    }


def load() -> list[float]:
    """Processes that wanted to run, averaged over the last 1, 5 and 15 minutes; [] where nobody tells."""
    try:
        return [round(value, 2) for value in os.getloadavg()]
    except OSError:
        return []


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
