"""How a replica tells its starter where it is in its life: one JSON object a line, on an inherited pipe."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable

Notify = Callable[[dict[str, object]], None]
"""Takes one event: `{"event": …, "id": …}` with the facts that belong to it.

`serving`, `draining`, `cut-off` (calls that the drain did not wait for) and `cannot-start`.
"""


def nobody(event: dict[str, object]) -> None:
    """Nobody listens."""


def to_fd(fd: int) -> Notify:
    """Each event as one JSON line to `fd`; a reader that went away is no error, the lifeline tells of that."""

    def notify(event: dict[str, object]) -> None:
        with contextlib.suppress(BrokenPipeError):
            os.write(fd, json.dumps(event).encode() + b"\n")

    return notify
