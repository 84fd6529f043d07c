"""The file beside the records that says which version gets which part of the calls. Who reads it: resolver's registry.

It holds one JSON object, percent by version: `{"v2": 10}`. Without it every replica is like any other.
"""

from __future__ import annotations

import json
import logging
import os
from typing import TYPE_CHECKING

from backends.state import TRAFFIC_SPLIT

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

log = logging.getLogger("lbdemo.supervisor")


class TrafficSplit:
    """The file of one registry. `set` may be called as often as one likes; readers see the old or the new, whole."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / TRAFFIC_SPLIT
        self._shares: dict[str, float] = {}

    @property
    def shares(self) -> Mapping[str, float]:
        """What it says, percent by version."""
        return self._shares

    def set(self, shares: Mapping[str, float]) -> None:
        """Write these shares, if they are others than before."""
        if self._shares != shares:
            self._shares = dict(shares)
            self._write()

    def put_back(self) -> None:
        """Write it again if somebody removed it."""
        if self._shares and not os.path.lexists(self._path):
            self._write()

    def _write(self) -> None:
        unfinished = self._path.with_name(f".{TRAFFIC_SPLIT}.{os.getpid()}.tmp")
        try:
            if not self._shares:
                self._path.unlink(missing_ok=True)
                return
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            unfinished.write_text(json.dumps(self._shares, sort_keys=True) + "\n")
            unfinished.replace(self._path)
        except OSError as error:
            log.error("cannot write %s: %s; calls go as they went before", self._path, error.strerror)  # noqa: TRY400 -- its reason is all there is to say
