"""What every session on a channel has around it: a loop, Ctrl-C, room for connections, the resolver's warnings."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Self, TypeVar

import click

from backends import file_limit
from lb_client.cli import interrupts
from lb_client.cli.call_target import OpenTarget, WhollyToldError
from lb_client.phrases import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

Result = TypeVar("Result")

GRACE_S = 1.0
"""How long calls in flight may still take after Ctrl-C."""

MAX_WARNINGS = 10


def run_session(session: Coroutine[Any, Any, Result], loop: asyncio.AbstractEventLoop | None = None) -> Result:
    """Run a session, which is `Interruptible`, in the main thread, on `loop`, which is closed then, or one of its own.

    Before it Ctrl-C may leave at once; afterwards it is passed over.

    Raises:
        KeyboardInterrupt: Ctrl-C before the session had begun with what it is for.
    """
    runner = asyncio.Runner(loop_factory=None if loop is None else lambda: loop)
    try:
        with runner:
            return runner.run(session)
    except asyncio.CancelledError:  # nobody but Ctrl-C cancels it
        raise KeyboardInterrupt from None
    finally:
        interrupts.pass_over()
        session.close()  # if it has not even begun


class Interruptible:
    """What Ctrl-C does to a session, from its first step to its last. Needs the main thread and a running loop.

    Before `begin` it cancels the session. From then on it stops what the session is for, and the report comes; again,
    or GRACE_S later, it cuts off what is in flight. After `end` it changes nothing: the report is under way.
    """

    def __init__(self) -> None:
        self._session = asyncio.current_task()
        self._loop = asyncio.get_running_loop()
        self._stop: Callable[[], object] | None = None
        self._cut: Callable[[], object] | None = None
        self._pressed = 0
        self._over = False

    def __enter__(self) -> Self:
        # Not by the loop: when it closes, it first closes the pipe that signals are told on, then brings
        # KeyboardInterrupt back.
        interrupts.tell(lambda: self._loop.call_soon_threadsafe(self._interrupt))
        return self

    def __exit__(self, *_: object) -> None:
        interrupts.pass_over()
        # What core has still to tell of calls that were cut off finds this loop closed, and the control plane's
        # loop logs that: "Exception in callback PollerCompletionQueue._handle_events".
        logging.getLogger("asyncio").disabled = True

    def begin(self, *, stop: Callable[[], object], cut: Callable[[], object]) -> None:
        """The first call is about to be sent: `stop` lets no further one begin, `cut` ends those in flight."""
        self._stop, self._cut = stop, cut

    def end(self) -> None:
        """The last call has ended."""
        self._over = True

    def _interrupt(self) -> None:
        self._pressed += 1
        if self._over:
            return
        if self._stop is None or self._cut is None:
            if self._pressed == 1 and self._session is not None:
                self._session.cancel()
        elif self._pressed == 1:
            self._stop()
            self._loop.call_later(GRACE_S, self._cut)
        else:
            self._cut()


async def expect_room(target: OpenTarget, timeout_s: float) -> None:
    """Two connections for each endpoint, calls on one and health on the other, before core runs out of descriptors.

    Raises:
        WhollyToldError: The endpoints are too many for the files that may be open.
    """
    if target.tracker.knows_registry:
        look = await target.tracker.first(timeout_s)
        count = len(look.members) if look is not None else 0
        needed = file_limit.LEAST + 2 * count
        if line := file_limit.shortage(f"calls to {count} endpoints", needed, limit=file_limit.allowed()):
            raise WhollyToldError(line)


class Warnings(logging.Handler):
    """Keeps what the resolver warns of until the screen is free. Health and membership are the report's to tell."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._lines: list[str] = []
        self._more = 0

    @classmethod
    def of_resolver(cls) -> Self:
        """A handler that takes all that the resolver warns of from now on."""
        handler = cls()
        logging.getLogger("resolver").addHandler(handler)
        logging.getLogger("resolver.snapshots").setLevel(logging.ERROR)
        return handler

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line, once, and no more than a screen can take."""
        line = record.getMessage()
        if line in self._lines:
            return
        if len(self._lines) < MAX_WARNINGS:
            self._lines.append(line)
        else:
            self._more += 1

    def forget(self) -> None:
        """Drop what was kept."""
        self._lines.clear()

    def print(self) -> None:
        """Write the lines to stderr, and stop listening."""
        logging.getLogger("resolver").removeHandler(self)
        for line in self._lines:
            click.echo(f"lbdemo: {printable(line)}", err=True)
        if self._more:
            click.echo(f"lbdemo: and {self._more} more warnings of this kind", err=True)
