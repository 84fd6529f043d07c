"""How many files this process may have open, raised as far as it may, and whether that is enough.

gRPC core does not report that it has no room for another descriptor: it aborts the process, or fails in odd places. So
what needs many is refused before it begins.
"""

from __future__ import annotations

import errno
import os
import resource

LEAST = 32
"""What one process of ours needs with a replica or two: imports, loops, core's own, a few connections."""


def allow_many() -> int:
    """Raise the soft limit to the hard one; how many files may be open then."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return _number(hard)


def allowed() -> int:
    """How many files may be open now."""
    return _number(resource.getrlimit(resource.RLIMIT_NOFILE)[0])


def shortage(what: str, needed: int, *, limit: int) -> str:
    """One line, when `needed` files are more than the limit; "" when there is room.

    Args:
        what: Who needs them, a plural: it begins the line.
        needed: How many.
        limit: How many there may be.
    """
    if needed <= limit:
        return ""
    return f"{what} need {needed} open files and only {limit} are allowed: raise that with 'ulimit -n {needed}' or more"


def out_of_files() -> str:
    """One line for when it has happened."""
    return (
        f"out of open files, of which {allowed()} are allowed: raise that with 'ulimit -n {max(1024, 2 * allowed())}'"
    )


def shortage_of_supervisor(replicas: int, *, limit: int) -> str:
    """As `shortage`, for who has a connection to each replica, to ask for its figures."""
    return shortage(f"{replicas} replicas", LEAST + replicas, limit=limit)


def is_shortage(error: OSError) -> bool:
    """Whether it is an error for want of descriptors, of this process or of the whole machine."""
    return error.errno in (errno.EMFILE, errno.ENFILE)


def tells_of_shortage(text: str) -> bool:
    """The same, of an error that gRPC tells in words."""
    return os.strerror(errno.EMFILE) in text or os.strerror(errno.ENFILE) in text


def _number(limit: int) -> int:
    return 1 << 30 if limit == resource.RLIM_INFINITY else limit
