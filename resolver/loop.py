"""The control plane's event loop: it leaves gRPC's events to the application's loop, where there is one that runs.

grpc.aio has one queue of events for all loops of a process, and one socket that says there is something in it: each
event of an application wakes every loop, and whichever comes first hands it to the right one. A second loop that always
listens costs an asyncio application a tenth of its calls. So this one looks away while another loop listens, save for a
glance now and then, in case that one is stuck.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import weakref
from typing import TYPE_CHECKING, Any, TypeVarTuple, Unpack

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextvars import Context

    from _typeshed import FileDescriptorLike

_log = logging.getLogger(__name__)

_Ts = TypeVarTuple("_Ts")

GLANCE_S = 0.25
"""The longest that an event of ours waits for an application's loop that is stuck in something else, or has ended."""

_SOON_S = 0.05
"""The same for the next one, and from when a loop of the application is known until we look away from what it takes."""

_QUEUE = "PollerCompletionQueue"
_EVENT = "_handle_callback_wrapper"


class ControlPlaneLoop(asyncio.SelectorEventLoop):
    """A selector loop like any other until it is told of loops of the application by `share_with`."""

    def __init__(self) -> None:
        super().__init__()
        self._others: weakref.WeakSet[asyncio.AbstractEventLoop] = weakref.WeakSet()
        self._events: socket.socket | None = None
        self._take: Callable[[], None] = lambda: None
        self._looks_away = False
        self._next: asyncio.TimerHandle | None = None

    @property
    def looks_away(self) -> bool:
        """Whether gRPC's events are another loop's to take now."""
        return self._looks_away

    def share_with(self, other: asyncio.AbstractEventLoop) -> None:
        """`other` takes gRPC's events too, whenever it runs. On the loop's own thread."""
        self._others.add(other)
        # Not at once: a channel that was just made connects, and its loop may still be busy with the rest of a start.
        if self._next is None or self._next.when() > self.time() + _SOON_S:
            self._glance_in(_SOON_S)

    def listen(self) -> None:
        """Take gRPC's events here from now on: at our end nobody else may be there to do it."""
        self._others.clear()
        self._glance()

    def add_reader(self, fd: FileDescriptorLike, callback: Callable[[Unpack[_Ts]], Any], *args: *_Ts) -> None:
        """As asyncio's. gRPC calls it with the socket of its queue when the loop uses grpc.aio for the first time."""
        queue = getattr(getattr(callback, "func", None), "__self__", None)
        if type(queue).__name__ != _QUEUE or not isinstance(fd, socket.socket):
            super().add_reader(fd, callback, *args)
            return

        def take() -> None:
            try:
                callback(*args)
            except RuntimeError as error:
                # An application's loop that was closed with calls under way: what they come to is nobody's any more.
                _log.debug("an event came for a loop that is gone: %s", error)

        super().add_reader(fd, take)
        self._events, self._take = fd, take
        self._looks_away = False
        self._glance_in(_SOON_S)

    def call_soon_threadsafe(
        self, callback: Callable[[Unpack[_Ts]], object], *args: *_Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """As asyncio's. gRPC's polling thread calls it with each event if a loop leads that watches no descriptors."""
        try:
            return super().call_soon_threadsafe(callback, *args, context=context)
        except RuntimeError as error:
            if getattr(callback, "__name__", "") != _EVENT or not self.is_closed():
                raise
            # That thread is everybody's, and must not end by what is nobody's any more.
            _log.debug("an event came for a control plane that is gone: %s", error)
            return asyncio.Handle(callback, args, self, context)

    def remove_reader(self, fd: FileDescriptorLike) -> bool:
        """As asyncio's. gRPC calls it when its last channel and server are gone."""
        if fd is self._events:
            self._events = None
        return super().remove_reader(fd)

    def _glance_in(self, seconds: float) -> None:
        if self._next is not None:
            self._next.cancel()
        self._next = self.call_later(seconds, self._glance)

    def _glance(self) -> None:
        """Look away while somebody else looks, but for a moment now and then; listen again when nobody does."""
        if self._next is not None:
            self._next.cancel()
            self._next = None
        if self._events is None:
            return
        found = False
        if any(other.is_running() for other in self._others):
            if not self._looks_away:
                super().remove_reader(self._events)
            else:
                found = self._take_what_waits(self._events)
            self._looks_away = True
        elif self._looks_away:
            super().add_reader(self._events, self._take)
            self._looks_away = False
        if self._looks_away or any(not other.is_closed() for other in self._others):
            self._glance_in(_SOON_S if found else GLANCE_S)

    def _take_what_waits(self, events: socket.socket) -> bool:
        """Whether something waited: the loop that should have taken it is stuck, and more will follow."""
        with contextlib.suppress(BlockingIOError):  # nothing waits, or the other loop was quicker
            events.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
            self._take()
            return True
        return False
