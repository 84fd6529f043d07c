"""`dir:///folder`: replicas announce themselves by one file each, `<id>.json`. Waiting for changes is folder.py's."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import stat
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from resolver.errors import TargetError
from resolver.registry.daemon import DaemonThread
from resolver.registry.folder import FolderChanges
from resolver.registry.records import MAX_RECORD_BYTES, RecordError, parse_record
from resolver.registry.shares import SharesFile, with_share
from resolver.target import Target, quote_path

if TYPE_CHECKING:
    from collections.abc import Callable

    from resolver.model import Endpoint
    from resolver.registry.base import EndpointWatcher

_log = logging.getLogger(__name__)

# Events wake the watcher at once. This tick is for what sends none: a folder not there yet, a network file system.
_TICK_S = 0.5
# Where events have told of every change, and nothing has happened for a while, there is little to look for.
_QUIET_TICK_S = 2.0
_QUIET_AFTER_S = 5.0
# A folder that is removed loses its records first: what is missing counts once the folder has outlived it for so long.
_REMOVAL_S = 0.02
# And one that is back is filled by and by: replicas look once a second whether their records are there.
_RETURN_S = 2.0


def factory(target: Target) -> EndpointWatcher:
    """The endpoints whose records lie in the folder, from now on. The path may be percent-encoded; see `quote_path`.

    A file that does not hold a usable record is named in the log once and skipped; one that held a usable record before
    keeps it, since it may be half-written now. A folder that vanishes, or cannot be read, keeps the last good set, says
    so in the log, and is followed again when it is back; who is not announced again within two seconds has left. To
    tell its end from that of its records, a record that is gone counts after 20 ms.

    Raises:
        TargetError: The path is not absolute, or is a file.
    """
    if target.authority:
        raise TargetError(f"{target}: a folder has no host: write dir:///absolute/path (three slashes)")
    folder = _path_of(target)
    if not folder.is_absolute():
        raise TargetError(
            f"{target}: the folder must be an absolute path: dir://{quote_path(str(Path.cwd() / folder))}"
        )
    if "\0" in str(folder):
        raise TargetError(f"{target}: no path has a NUL in it")
    if folder.exists() and not folder.is_dir():
        raise TargetError(f"{target}: {folder} is a file; name the folder that holds the records")
    return _watch(folder)


def folder_of(target: str) -> Path | None:
    """The folder that a target names; None for one of another scheme."""
    parsed = Target.parse(target)
    return _path_of(parsed) if parsed.scheme == "dir" else None


def _path_of(target: Target) -> Path:
    return Path(os.path.normpath(unquote(target.path)))


async def _watch(path: Path) -> EndpointWatcher:
    folder = RecordFolder(path)
    last: tuple[Endpoint, ...] | None = None
    lost = shrunk = False
    filled_at = 0.0
    ticks, told = _Ticks(), True
    with FolderChanges(path) as changes, DaemonThread("lbdemo reads a registry") as beside:
        while True:
            try:
                found = await beside.run(folder.read)
            except OSError as error:
                ticks.saw(change=True, told=True)
                if not lost:
                    lost = True
                    kept = "nothing known yet" if last is None else f"the last {len(last)} endpoints stay in force"
                    _log.warning("registry folder %s: %s; %s, waiting for it", path, _why(error), kept)
                if last is None:
                    # Nobody has ever announced anything here: that is the empty set, and calls should fail at once.
                    last = ()
                    yield last
            else:
                if lost:
                    lost = False
                    filled_at = time.monotonic() + _RETURN_S
                    _log.info("registry folder %s is there", path)
                missing = _missing(last or (), found)
                if missing and time.monotonic() < filled_at:
                    found = tuple(sorted((*found, *missing)))
                elif missing and not shrunk:
                    shrunk = True
                    await asyncio.sleep(_REMOVAL_S)
                    continue
                shrunk = False
                ticks.saw(change=found != last, told=told)
                if found != last:
                    last = found
                    yield found
            told = await changes.wait(ticks.next_s())


class _Ticks:
    """How soon to look at the folder again, though the kernel tells of no change: it may not tell of any."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._tells = True
        self._quiet_at = 0.0

    def saw(self, *, change: bool, told: bool) -> None:
        """A look has found a change, or none; the kernel had told of one, or had not."""
        if change and not told:
            self._tells = False
        if change or told:
            self._quiet_at = self._clock() + _QUIET_AFTER_S

    def next_s(self) -> float:
        """Until the next look."""
        is_quiet = self._tells and self._clock() >= self._quiet_at
        return _QUIET_TICK_S if is_quiet else _TICK_S


def _missing(before: tuple[Endpoint, ...], now: tuple[Endpoint, ...]) -> list[Endpoint]:
    """Endpoints whose addresses are no longer announced."""
    addresses = {endpoint.address for endpoint in now}
    return [endpoint for endpoint in before if endpoint.address not in addresses]


def _why(error: OSError) -> str:
    return {errno.ENOENT: "it does not exist", errno.ENOTDIR: "it is no folder"}.get(
        error.errno or 0, error.strerror or str(error)
    )


@dataclass(slots=True)
class RecordFolder:
    """The records of one folder, read again only where a file's stat changed."""

    path: Path
    _known: dict[str, _File] = field(default_factory=dict)
    _duplicates: frozenset[str] = frozenset()
    _shares: SharesFile = field(init=False)

    def __post_init__(self) -> None:
        self._shares = SharesFile(self.path)

    def read(self) -> tuple[Endpoint, ...]:
        """All endpoints announced now, sorted, one for each address.

        Raises:
            OSError: The folder itself cannot be read; what was known of its files is kept.
        """
        names = sorted(name for name in os.listdir(self.path) if name.endswith(".json") and not name.startswith("."))  # noqa: PTH208 -- names only, no Path objects: this runs at every change
        files: dict[str, _File] = {}
        for name in names:
            files[name] = self._read_file(name, self._known.get(name))
        self._known = files
        by_address: dict[str, Endpoint] = {}
        duplicates: dict[str, str] = {}
        for name, file in files.items():
            if file.endpoint is None:
                continue
            first = by_address.setdefault(file.endpoint.address, file.endpoint)
            if first is not file.endpoint:
                duplicates[name] = file.endpoint.address
        for name in duplicates.keys() - self._duplicates:
            _log.warning(
                "record %s: address %s is announced by an earlier file too; ignored", self.path / name, duplicates[name]
            )
        self._duplicates = frozenset(duplicates)
        shares = self._shares.read()
        return tuple(sorted(with_share(endpoint, shares) for endpoint in by_address.values()))

    def _read_file(self, name: str, known: _File | None) -> _File:
        try:
            signature, raw = self._load(name, known)
            if raw is None and known is not None:
                return known
            endpoint, problem = parse_record(raw or b""), ""
        except RecordError as error:
            signature, endpoint, problem = None, None, str(error)
        except FileNotFoundError:
            return _File(None, None, "")  # went away between listing and opening
        except OSError as error:
            signature, endpoint, problem = None, None, error.strerror or str(error)
        if problem:
            endpoint = known.endpoint if known else None
            if known is None or known.problem != problem:
                kept = "ignored" if endpoint is None else f"{endpoint.address}, announced by it before, is kept"
                _log.warning("record %s: %s; %s", self.path / name, problem, kept)
        return _File(signature, endpoint, problem)

    def _load(self, name: str, known: _File | None) -> tuple[tuple[int, int, int], bytes | None]:
        """The file's signature and content; no content when it is the file we know."""
        try:
            # Not following links keeps a record from pointing out of the folder; not blocking, from being a pipe.
            fd = os.open(self.path / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise RecordError("is a symbolic link") from None
            raise
        try:
            info = os.fstat(fd)
            if not stat.S_ISREG(info.st_mode):
                raise RecordError("is not a regular file")
            signature = (info.st_mtime_ns, info.st_size, info.st_ino)
            if known is not None and known.signature == signature:
                return signature, None
            return signature, os.read(fd, MAX_RECORD_BYTES + 1)
        finally:
            os.close(fd)


@dataclass(frozen=True, slots=True)
class _File:
    """What one file said: its stat when read (None: read it again), its endpoint or the last good one, and why not."""

    signature: tuple[int, int, int] | None
    endpoint: Endpoint | None
    problem: str
