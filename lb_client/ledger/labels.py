"""Names for the calls of a run: metadata that a replica writes down. Pure."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

RUN_KEY = "lbdemo-run"
CALL_KEY = "lbdemo-call"

MOST_CALLS = 500_000
"""Calls of one run that are in its ledger, about 20 bytes each here and 16 on a replica; later ones carry no name."""

Metadata = tuple[tuple[str, str], ...]


class CallLabels:
    """One run's labels: an iterator that never ends, of a call's number and its metadata.

    Args:
        metadata: Sent with each call besides.
        run: The run's name; a random one by default.
        most: How many calls are named. Those after them have the number 0, and only `metadata`.

    Attributes:
        run: As given.
        used: How many names were given away.
    """

    def __init__(self, metadata: Sequence[tuple[str, str]] = (), *, run: str | None = None, most: int = MOST_CALLS):
        self.run = run or secrets.token_hex(8)
        self.used = 0
        self._metadata = tuple(metadata)
        self._named = (*self._metadata, (RUN_KEY, self.run))
        self._most = most

    def __iter__(self) -> Iterator[tuple[int, Metadata]]:
        return self

    def __next__(self) -> tuple[int, Metadata]:
        if self.used >= self._most:
            return 0, self._metadata
        self.used += 1
        return self.used, (*self._named, (CALL_KEY, str(self.used)))
