"""JSON objects as they come through a pipe, one a line, cut anywhere."""

from __future__ import annotations

import json
from typing import Any

Event = dict[str, Any]


class JsonLines:
    """Bytes in, JSON objects out; keeps what is not a whole line yet."""

    def __init__(self) -> None:
        self._pending = b""

    def feed(self, data: bytes) -> list[Event]:
        """The objects that `data` completes."""
        *lines, self._pending = (self._pending + data).split(b"\n")
        return [json.loads(line) for line in lines]
