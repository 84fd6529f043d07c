"""A process that imports what a supervisor needs, while the command that is to start one imports what it needs itself.

Each takes a twentieth of a second, and most machines have a second processor. It begins before anything is known of the
cluster; `launch.launch` then tells it which one. Whoever is told nothing ends when it is given up, or when its command
has ended, however that died.

A process starts one supervisor at most in this way, so what is kept is the module's own.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # not from typing: until the fork each import is waited for
if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping

_MESSAGE_MAX = 1 << 16
_READY = b"+"

_begun: socket.socket | None = None


def begin() -> None:
    """Start the process, where one may and it gains time. It keeps nothing of this one's open, and hears no Ctrl-C."""
    global _begun  # noqa: PLW0603 -- see the module
    if (os.cpu_count() or 1) < 2 or "grpc" in sys.modules:
        return
    import contextlib  # noqa: PLC0415 -- for who begins
    import socket  # noqa: PLC0415 -- the same

    from backends.process import fork, leave_with, open_standard_descriptors  # noqa: PLC0415 -- the same

    open_standard_descriptors()
    try:
        ours, theirs = socket.socketpair()
    except OSError:
        return
    try:
        pid = fork()
    except OSError:
        ours.close()
        theirs.close()
        return
    if pid == 0:
        ours.close()
        leave_with(lambda: _leave_the_command(theirs))
    theirs.close()
    with contextlib.suppress(ChildProcessError):  # whoever started us ignores such ends: the kernel sees to them
        os.waitpid(pid, 0)
    _begun = ours


def is_ready() -> bool:
    """Wait until it has imported all; False where there is none, or it has ended. Ctrl-C cuts the wait short."""
    try:
        return _begun is not None and _begun.recv(len(_READY)) == _READY
    except OSError:
        return False


def hand_over(told: Mapping[str, object], *, lock: int, leash: socket.socket) -> bool:
    """Have one that is ready become the supervisor; False when it has ended.

    Args:
        told: What `launch` was told, for JSON.
        lock: The folder's lock.
        leash: The supervisor's end.
    """
    global _begun  # noqa: PLW0603 -- see the module
    assert _begun is not None  # noqa: S101 -- it is ready
    import json  # noqa: PLC0415 -- for who has begun
    import socket  # noqa: PLC0415 -- the same

    with _begun as other:
        _begun = None
        try:
            socket.send_fds(other, [json.dumps(told).encode()], [lock, leash.fileno()])
        except OSError:
            return False
    return True


def give_up() -> None:
    """End it, unless it has become a supervisor; returns when it has ended."""
    global _begun  # noqa: PLW0603 -- see the module
    if _begun is None:
        return
    import contextlib  # noqa: PLC0415 -- for who has begun
    import socket  # noqa: PLC0415 -- the same

    with _begun as other, contextlib.suppress(OSError):  # it has ended already
        _begun = None
        other.shutdown(socket.SHUT_WR)
        while other.recv(len(_READY)):
            pass


def _leave_the_command(other: socket.socket) -> int:
    """A session of its own, and init for a parent: nobody who has to be waited for."""
    from backends.process import fork, leave_with  # noqa: PLC0415 -- imported already

    os.setsid()
    try:
        pid = fork()
    except OSError:
        return 1  # the command hears nothing of it, forks by itself later, and tells what is wrong then
    if pid == 0:
        leave_with(lambda: _load_and_wait(other))
    return 0


def _load_and_wait(other: socket.socket) -> int:
    from backends.process import close_all_but  # noqa: PLC0415 -- imported already

    null = os.open(os.devnull, os.O_RDWR)  # whoever reads what the command prints is not to wait for this process
    for standard in (0, 1, 2):
        os.dup2(null, standard)
    close_all_but((other.fileno(),))
    import gc  # noqa: PLC0415 -- imports are what this process is for
    import json  # noqa: PLC0415
    import socket  # noqa: PLC0415

    gc.disable()
    from backends import launch, nursery  # noqa: PLC0415

    def is_wanted() -> bool:
        try:
            return other.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) != b""
        except BlockingIOError:
            return True

    if not nursery.preload(go_on=is_wanted):
        return 0
    from backends import plan, supervise  # noqa: F401, PLC0415

    other.sendall(_READY)
    message, descriptors, _, _ = socket.recv_fds(other, _MESSAGE_MAX, 2)
    if not message:
        return 0
    lock, leash = descriptors
    return launch.supervise_as_told(json.loads(message), lock, socket.socket(fileno=leash))
