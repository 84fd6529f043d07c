"""How a worker answers its benchmark: one JSON object a line, questions on stdin, answers on stdout."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


def say(**answer: object) -> None:
    """Write one answer."""
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def questions() -> Iterator[dict[str, Any]]:
    """Each question, until the benchmark has no more."""
    for line in sys.stdin:
        yield json.loads(line)
