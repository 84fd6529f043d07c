"""The shares of versions in a registry's folder, from the file `traffic-split` beside the records. Checks; no watching.

The file holds one JSON object, percent by version: `{"v2": 10}`. It is written by whoever runs the versions, in one
piece, so that all replicas of a version change their share at one moment. It goes before what records say.
"""

from __future__ import annotations

import json
import logging
import os
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from resolver.model import percent

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from resolver.model import Endpoint

_log = logging.getLogger(__name__)

FILE = "traffic-split"
_MAX_BYTES = 64 * 1024
# A folder that is removed, or emptied by mistake, gets it back within a second; and nothing waits for shares to go.
_GONE_S = 2.0


class SharesError(ValueError):
    """The file cannot be used; `str()` says why in one line."""


def parse_shares(raw: bytes) -> dict[str, str]:
    """Percent by version, as text.

    Raises:
        SharesError: It is no such JSON, a share is none, or together they are more than 100.
    """
    if len(raw) > _MAX_BYTES:
        raise SharesError(f"larger than {_MAX_BYTES // 1024} KiB")
    try:
        found = json.loads(raw)
    except (ValueError, RecursionError):
        raise SharesError("not JSON") from None
    if not isinstance(found, dict):
        raise SharesError('not a JSON object such as {"v2": 10}')
    shares = {}
    for version, share in found.items():
        text = share if isinstance(share, str) else json.dumps(share)
        if not version or percent(text) is None:
            raise SharesError(f"the share of {version!r} is {text[:40]}, and not a percentage, 0 to 100")
        shares[version] = text
    if (total := sum(percent(text) or 0 for text in shares.values())) > 100:
        raise SharesError(f"the shares add up to {total:g} %")
    return shares


def with_share(endpoint: Endpoint, shares: Mapping[str, str]) -> Endpoint:
    """The endpoint with the share of its version, where there is one."""
    share = shares.get(endpoint.version)
    if share is None:
        return endpoint
    return replace(endpoint, metadata=tuple(sorted({**dict(endpoint.metadata), "share": share}.items())))


@dataclass(slots=True)
class SharesFile:
    """The file of one folder, read again when it is another one. What cannot be used keeps what was."""

    folder: Path
    clock: Callable[[], float] = time.monotonic
    shares: dict[str, str] = field(default_factory=dict)
    _gone_at: float | None = None
    _signature: tuple[int, int, int] | None = None
    _problem: str = ""

    def read(self) -> Mapping[str, str]:
        """Percent by version, now; empty where there has been no file for two seconds."""
        path = self.folder / FILE
        try:
            # As for records: no link out of the folder, and no pipe to wait for.
            fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                info = os.fstat(fd)
                self._gone_at = None
                signature = (info.st_mtime_ns, info.st_size, info.st_ino)
                if signature != self._signature:
                    self.shares = parse_shares(os.read(fd, _MAX_BYTES + 1))
                    self._signature, self._problem = signature, ""
            finally:
                os.close(fd)
        except FileNotFoundError:
            self._gone_at = self._gone_at if self._gone_at is not None else self.clock()
            if self.clock() >= self._gone_at + _GONE_S:
                self.shares, self._signature, self._problem = {}, None, ""
        except (OSError, SharesError) as error:
            problem = (error.strerror if isinstance(error, OSError) else None) or str(error)
            if problem != self._problem:
                _log.warning("%s: %s; versions keep the shares that they had", path, problem)
            self._problem = problem
        return self.shares
