"""The private folder of one cluster: where it is, whether it is ours, who holds its lock. Starts and stops nothing."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import stat
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from backends import journal_files
from backends.cluster_errors import StateFolderError

SOCKET_PATH_MAX = 107
"""Bytes in a unix socket's path: sun_path has 108, one of them ends it."""

TRAFFIC_SPLIT = "traffic-split"
"""The file among a registry's records that traffic_split.py is about."""

LOG_MAX_BYTES = 8 << 20
# What a path may hold as it is, in a resolver's target and in the URI of a socket: RFC 3986's pchar and the slash.
_URI_CHARACTERS = "/:,.-_~@=+!$&'()*;"
_RESERVED = frozenset({"journals", "logs", "lock"})
_ADVICE = "set LBDEMO_STATE_DIR to a folder of yours"


def default_root() -> Path:
    """The folder of all clusters: `$LBDEMO_STATE_DIR`, else `$XDG_RUNTIME_DIR/lbdemo`, else `~/.local/state/lbdemo`.

    Raises:
        StateFolderError: None of the three is known.
    """
    if given := os.environ.get("LBDEMO_STATE_DIR"):
        return Path(given).absolute()
    runtime = Path(os.environ.get("XDG_RUNTIME_DIR", ""))
    # A runtime folder that is named and not there (su, containers) is not ours to make.
    if runtime.is_absolute() and runtime.is_dir():
        return runtime / "lbdemo"
    try:
        return Path.home() / ".local" / "state" / "lbdemo"
    except RuntimeError:
        raise StateFolderError("no home folder is known for this user: set LBDEMO_STATE_DIR to one of yours") from None


@dataclass(frozen=True, slots=True)
class StateFolder:
    """The paths of one cluster, absolute. Making the value touches nothing on disk.

    Attributes:
        cluster: The cluster's name, already checked: it is a folder's name.
        path: The cluster's own folder, mode 0700.
    """

    cluster: str
    path: Path

    @classmethod
    def of(cls, cluster: str, *, root: Path | None = None) -> StateFolder:
        """The folder of `cluster` below `root`, by default below `default_root()`."""
        return cls(cluster, (root or default_root()) / cluster)

    @property
    def lock(self) -> Path:
        """Held by the supervisor with flock for its whole life. Its content means nothing: no pid is read from it."""
        return self.path / "lock"

    @property
    def socket(self) -> Path:
        """The unix socket of the Cluster service."""
        return self.path / "cluster.sock"

    @property
    def socket_target(self) -> str:
        """The same for gRPC."""
        return socket_uri(self.socket)

    @property
    def unfinished_socket(self) -> Path:
        """Where this process binds the socket: a name no longer than that which it is moved to.

        gRPC removes the path that it bound when it stops, whoever has it by then.
        """
        return self.path / f"sock.{os.getpid()}"

    @property
    def logs(self) -> Path:
        """The folder of `<id>.log` and `supervisor.log`."""
        return self.path / "logs"

    def log(self, name: str) -> Path:
        """The log file of one replica, or of `supervisor`."""
        return self.logs / f"{name}.log"

    @property
    def journals(self) -> Path:
        """The folder of what replicas write down of calls that ask for it; made when there is something."""
        return self.path / "journals"

    def registry(self, service: str | None) -> Path:
        """The folder of the replicas' records: `greeter`, or the last part of the service's module name."""
        name = service.partition(":")[0].rpartition(".")[2] if service else "greeter"
        return self.path / (f"{name}-records" if name in _RESERVED else name)

    def target(self, service: str | None) -> str:
        """The resolver target under which the replicas are found."""
        return f"dir://{quote(str(self.registry(service)), safe=_URI_CHARACTERS)}"

    def check(self) -> None:
        """Refuse a folder that is not ours alone. What is missing of it is fine.

        Raises:
            StateFolderError: It belongs to somebody else, others may write to it, it is no folder, it is too deep, or
                its name is no text or has a comma.
        """
        try:
            str(self.path).encode()
        except UnicodeEncodeError:
            raise StateFolderError(f"the name of state folder {str(self.path)!a} is not UTF-8: {_ADVICE}") from None
        # To core a comma parts two addresses, percent-encoded or not.
        if "," in str(self.path):
            raise StateFolderError(
                f"state folder {self.path} has a comma in its name, which gRPC's sockets cannot: {_ADVICE}"
            )
        size = len(os.fsencode(self.socket))
        if size > SOCKET_PATH_MAX:
            raise StateFolderError(
                f"{self.socket} is too long for a unix socket ({size} bytes, at most {SOCKET_PATH_MAX}): "
                "set LBDEMO_STATE_DIR to a shorter folder"
            )
        _check_ours(self.path.parent, forbidden=0o022, link_is_fine=True)
        _check_ours(self.path, forbidden=0o077, link_is_fine=False)

    def prepare(self) -> None:
        """Make what is missing of the folder, and check the rest.

        Raises:
            StateFolderError: It cannot be made, or `check` refuses it.
        """
        self.check()
        try:
            for path in (self.path.parent, self.path, self.logs):
                path.mkdir(0o700, parents=True, exist_ok=True)
            if not os.access(self.path, os.W_OK | os.X_OK):
                raise PermissionError(13, "Permission denied", str(self.path))
        except OSError as error:
            raise StateFolderError(
                f"state folder {self.path} cannot be used: {error.strerror} ({error.filename}); {_ADVICE}"
            ) from None
        self.check()

    def try_lock(self) -> int | None:
        """The lock's file descriptor, held until it is closed in every process that has it; None when somebody has it.

        Who holds it knows that no supervisor lives, and may clean up.

        Raises:
            StateFolderError: The lock file cannot be opened.
        """
        try:
            fd = os.open(self.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise StateFolderError(f"lock file {self.lock} cannot be opened: {error.strerror}; {_ADVICE}") from None
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            return None
        return fd

    def is_locked(self) -> bool:
        """Whether a supervisor lives (or one is being started this very moment)."""
        if not os.path.lexists(self.lock):
            return False
        fd = self.try_lock()
        if fd is None:
            return True
        os.close(fd)
        return False

    def holds(self, lock_fd: int) -> bool:
        """Whether the locked file is still the one at its path: false once somebody removed the folder."""
        try:
            return os.path.samestat(self.lock.stat(), os.fstat(lock_fd))
        except OSError:
            return False

    def leftovers(self) -> tuple[Path, ...]:
        """What a cluster left that ended without cleaning up: its socket, records and shares, sorted."""
        found = [self.socket] if os.path.lexists(self.socket) else []
        with contextlib.suppress(OSError):
            found += self.path.glob("sock.*")
            for folder in self.path.iterdir():
                if folder.is_dir() and not folder.is_symlink() and folder != self.logs:
                    found += [p for p in folder.iterdir() if p.suffix in (".json", ".tmp") or p.name == TRAFFIC_SPLIT]
        return tuple(sorted(found))

    def clean(self) -> None:
        """Remove the socket, all records and all journals. Only for who holds the lock."""
        journal_files.sweep(self.journals, keep=0)
        for path in self.leftovers():
            with contextlib.suppress(OSError):
                path.unlink()

    def expect_room(self) -> None:
        """Try what a supervisor is about to do, while somebody can still be told. Only for who holds the lock.

        Raises:
            StateFolderError: Its log cannot be opened, or its socket cannot be made.
        """
        os.close(self.open_log("supervisor"))
        try:
            with socket.socket(socket.AF_UNIX) as probe:
                probe.bind(os.fspath(self.unfinished_socket))
            self.unfinished_socket.replace(self.socket)
            self.socket.unlink()
        except OSError as error:
            with contextlib.suppress(OSError):
                self.unfinished_socket.unlink()
            raise StateFolderError(f"socket {self.socket} cannot be made: {error.strerror}; {_ADVICE}") from None

    def socket_identity(self) -> tuple[int, int] | None:
        """What tells the socket from any other that may take its place; None when there is none."""
        try:
            found = self.socket.lstat()
        except OSError:
            return None
        return (found.st_dev, found.st_ino)

    def open_log(self, name: str) -> int:
        """A file descriptor that appends to the log of `name`; one that grew too big is put aside as `<name>.log.1`.

        Raises:
            StateFolderError: It cannot be opened.
        """
        path = self.log(name)
        try:
            if path.exists() and path.stat().st_size > LOG_MAX_BYTES:
                path.replace(path.with_suffix(".log.1"))
            return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StateFolderError(f"log file {path} cannot be opened: {error.strerror}; {_ADVICE}") from None


def socket_uri(path: Path) -> str:
    """A unix socket for gRPC, which reads a URI: what would end it is percent-encoded."""
    return f"unix:{quote(str(path), safe=_URI_CHARACTERS)}"


def _check_ours(path: Path, *, forbidden: int, link_is_fine: bool) -> None:
    """Refuse what is no folder, is not ours, or has one of the `forbidden` mode bits."""
    try:
        entry, target = path.lstat(), path.stat()
    except FileNotFoundError:
        return
    except OSError as error:
        raise StateFolderError(f"state folder {path} cannot be used: {error.strerror}; {_ADVICE}") from None
    me = os.geteuid()
    if stat.S_ISLNK(entry.st_mode) and not link_is_fine:
        raise StateFolderError(f"state folder {path} is a symbolic link: remove it, or {_ADVICE}")
    if not stat.S_ISDIR(target.st_mode):
        raise StateFolderError(f"state folder {path} is not a folder: {_ADVICE}")
    for owner in (entry.st_uid, target.st_uid):
        if owner != me:
            raise StateFolderError(f"state folder {path} belongs to user {owner}, not to you (user {me}): {_ADVICE}")
    if target.st_mode & forbidden:
        mode, verb = stat.S_IMODE(target.st_mode), "written" if forbidden == 0o022 else "opened"
        raise StateFolderError(
            f"state folder {path} can be {verb} by others (mode {mode:04o}): chmod 700 it, or {_ADVICE}"
        )
