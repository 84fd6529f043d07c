"""What a forked process does first and last: keep only its own descriptors, log its output, leave for good."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

EXIT_CRASHED = 70


def forbid_grpc() -> None:
    """Refuse to go on to a fork in a process that has imported gRPC: its threads do not survive one.

    Raises:
        RuntimeError: gRPC is imported.
    """
    if "grpc" in sys.modules:
        raise RuntimeError("gRPC is imported: this process must not fork any more")


def fork() -> int:
    """`os.fork` for a process without gRPC, with nothing left in its buffers that both would write.

    Raises:
        RuntimeError: gRPC is imported.
        OSError: There is no room for another process.
    """
    forbid_grpc()
    for stream in (sys.stdout, sys.stderr):
        # None without the standard descriptors; a reader that went away is found again at the next print.
        with contextlib.suppress(AttributeError, OSError):
            stream.flush()
    return os.fork()


def leave_with(main: Callable[[], int]) -> NoReturn:
    """Run the whole life of a forked process, and leave without what its parent had planned for its own end."""
    code = EXIT_CRASHED
    try:
        code = main()
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else 1
    except BaseException:  # noqa: BLE001 -- nothing may fall through into the parent's code
        import traceback  # noqa: PLC0415 -- only who crashes needs it

        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def close_all_but(keep: Iterable[int]) -> None:
    """Close every file descriptor except the standard three and `keep`: a fork must not hold what is not its own."""
    low = 3
    for fd in sorted(keep):
        os.closerange(low, fd)
        low = max(low, fd + 1)
    os.closerange(low, max(low, os.sysconf("SC_OPEN_MAX")))


def open_standard_descriptors() -> None:
    """Make sure that 0, 1 and 2 are taken: started without them, the next pipe would become the standard output."""
    while True:
        fd = os.open(os.devnull, os.O_RDWR)
        if fd > 2:
            os.close(fd)
            return


def redirect_output(fd: int) -> None:
    """Send what this process prints to `fd` from now on, line by line, and read nothing. Closes `fd` itself."""
    null = os.open(os.devnull, os.O_RDONLY)
    for source, number in ((null, 0), (fd, 1), (fd, 2)):
        os.dup2(source, number)
    os.close(null)
    os.close(fd)
    for name, number in (("stdout", 1), ("stderr", 2)):
        stream = open(number, "w", buffering=1, encoding="utf-8", errors="replace", closefd=False)  # noqa: SIM115 -- open as long as the process lives
        setattr(sys, name, stream)


def set_title(title: str) -> None:
    """Show `lbdemo: <title>` in ps."""
    from setproctitle import setproctitle  # noqa: PLC0415 -- on the way to the first fork every import counts

    setproctitle(f"lbdemo: {title}")
