"""The client's side of the ledger: how each named call ended, in arrays of about 20 bytes a call."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lb_client.records import CallRecord

_STEP = 4096
_MOST_KINDS = 255
OTHER = "other failures than those told apart"


class CallBook:
    """Takes the records of named calls; a call is found by its number. Used on one loop.

    Attributes:
        unnamed: Calls that ended and carried no name.
    """

    def __init__(self) -> None:
        self.unnamed = 0
        # Index 0 is nobody's: calls are numbered from 1. A kind of 0 is a call that has not ended.
        self._starts = array("d", [0.0])
        self._latencies = array("f", [0.0])
        self._kinds = array("B", [0])
        self._backends = array("H", [0])
        self._attempts = array("B", [0])
        self._kind_of: dict[tuple[str, str], int] = {("OK", ""): 1}
        self._endings: list[tuple[str, str]] = [("", ""), ("OK", "")]
        self._backend_of: dict[tuple[str, str], int] = {("", ""): 0}
        self._names: list[tuple[str, str]] = [("", "")]

    def add(self, record: CallRecord) -> None:
        """Write down one call that ended."""
        number = record.number
        if not number:
            self.unnamed += 1
            return
        if number >= len(self._kinds):
            more = max(_STEP, number + 1 - len(self._kinds))
            for column in (self._starts, self._latencies, self._kinds, self._backends, self._attempts):
                column.frombytes(bytes(more * column.itemsize))
        self._starts[number] = record.start_s
        self._latencies[number] = record.latency_s
        self._kinds[number] = self._kind(record.status, record.details)
        self._backends[number] = self._backend((record.replica, record.address))
        self._attempts[number] = min(record.previous_attempts, 255)

    def _kind(self, status: str, details: str) -> int:
        key = (status, details)
        found = self._kind_of.get(key)
        if found is None:
            if len(self._endings) >= _MOST_KINDS - 32:  # the rest is for statuses whose details are not told apart
                key = (status, OTHER)
                if (found := self._kind_of.get(key)) is not None:
                    return found
            found = self._kind_of[key] = len(self._endings)
            self._endings.append(key)
        return found

    def _backend(self, key: tuple[str, str]) -> int:
        found = self._backend_of.get(key)
        if found is None:
            if len(self._names) > 65_535:
                return 0
            found = self._backend_of[key] = len(self._names)
            self._names.append(key)
        return found

    def status(self, number: int) -> tuple[str, str]:
        """(status, details) of a call; two empty strings for one that has not ended."""
        return self._endings[self._kinds[number]] if number < len(self._kinds) else ("", "")

    def backend(self, number: int) -> tuple[str, str]:
        """(replica, address) that ended it, as far as its answer said."""
        return self._names[self._backends[number]] if number < len(self._kinds) else ("", "")

    def start_s(self, number: int) -> float:
        """When it was sent (`time.monotonic`); 0 for one that has not ended."""
        return self._starts[number] if number < len(self._kinds) else 0.0

    def end_s(self, number: int) -> float:
        """When it ended; 0 for one that has not."""
        return self._starts[number] + self._latencies[number] if number < len(self._kinds) else 0.0

    def attempts(self, number: int) -> int:
        """How many attempts went before the one that was answered, as far as its answer said."""
        return self._attempts[number] if number < len(self._kinds) else 0

    def ended(self) -> Iterator[int]:
        """The numbers of calls that ended."""
        return (number for number, kind in enumerate(self._kinds) if kind)
