"""Journals as messages of cluster.proto, in pieces small enough for a loop that has other work."""

from __future__ import annotations

from typing import TYPE_CHECKING

from backends import journal_files
from protos import cluster_pb2

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ENTRIES_EACH = 2000
"""About 100 KB, and two milliseconds of work."""


def ledger_parts(folder: Path, run: str) -> Iterator[cluster_pb2.LedgerPart]:
    """What the replicas wrote down of a run, dead ones included; at least one part for each process.

    Raises:
        ValueError: That is no name of a run.
    """
    for found in journal_files.read(folder, run):
        for piece in found.pieces(ENTRIES_EACH):
            entries = [
                cluster_pb2.LedgerEntry(call=call, previous_attempts=earlier, begin_s=begin_s, outcome=outcome)
                for call, earlier, outcome, begin_s in piece
            ]
            yield cluster_pb2.LedgerPart(replica=found.replica, pid=found.pid, entries=entries, full=found.full)
