"""An event loop that works where gRPC's events arrive: on the thread on which gRPC polls, not woken by it.

grpc.aio polls on a thread of its own and hands each event to the loop's thread, two or three times before a call is
answered, and each time the answer waits for a thread to wake. Here whatever an event leads to runs on the polling
thread at once, and the loop's own thread sleeps on. What is not gRPC's (timers, signals, descriptors) is the loop's as
ever. At any time one thread at most runs callbacks, so that coroutines need no locks, as on any loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import math
import selectors
import sys
import threading
from collections import deque
from contextvars import Context, ContextVar, copy_context
from types import MethodType
from typing import TYPE_CHECKING, Any, TypeVarTuple, Unpack

from grpc._cython import cygrpc  # type: ignore[attr-defined]

from backends.lean_loop import LeanLoop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from _typeshed import FileDescriptorLike

_Ts = TypeVarTuple("_Ts")

_MOST_AT_ONCE = 64
"""Callbacks that one event may lead to before the loop's thread takes over: a call's are some ten, and while callbacks
run nothing is read from any connection."""

_EVENT: Callable[..., object] | None = getattr(cygrpc, "_handle_callback_wrapper", None)

_PATIENCE_S = 0.005
"""How long the polling thread waits for a loop that is at work. To hand the event over instead keeps the loop at work,
and so with all that follow; but it may be stuck, and what it is stuck in may wait for the polling thread."""

_set_running_loop = asyncio._set_running_loop  # noqa: SLF001 -- asyncio's, for whoever implements a loop

_NONE: Any = object()
"""In place of an argument."""

_polled: ContextVar[bool] = ContextVar("polled")


@contextlib.contextmanager
def polled() -> Iterator[None]:
    """Have the tasks and callbacks that are made in the block, and those that they make, run on the polling thread.

    The loop's own thread may run them too, never at the same time: they must not mind on which thread they are. What is
    made elsewhere runs on the loop's thread only. On another loop it means nothing.
    """
    token = _polled.set(True)
    try:
        yield
    finally:
        _polled.reset(token)


class _NobodysHandle(asyncio.Handle):
    """The handle of every callback for which none was made."""

    __slots__ = ()

    def cancel(self) -> None:
        raise RuntimeError("what looks like a future's own callback cannot be cancelled: have a function call it")


def _kind_of_steps() -> type:
    """The class of what a task has called soon for its next step; no module has a name for it."""

    class Catcher:
        caught: Any = None

        def call_soon(self, callback: object, *, context: Context) -> None:  # noqa: ARG002 -- asyncio's signature
            self.caught = callback

        def get_debug(self) -> bool:
            return False

    async def never() -> None: ...

    catcher, coroutine = Catcher(), never()
    task = asyncio.Task(coroutine, loop=catcher)  # type: ignore[arg-type]
    task._log_destroy_pending = False  # type: ignore[attr-defined]  # noqa: SLF001 -- as asyncio's own gather
    coroutine.close()
    kind, catcher.caught = type(catcher.caught), None  # which holds the task, and it the catcher
    return kind if kind is not MethodType else _NobodysHandle  # asyncio without its part in C, whose steps are common


# Once for the module: each is asked for a dozen times for a call.
_Future, _Task = asyncio.Future, asyncio.Task
_STEP, _BUILTIN, _CYTHON = _kind_of_steps(), type(len), type(_EVENT)


class PollerLoop(LeanLoop):
    """A selector loop that lends itself to gRPC's polling thread while it has nothing to do.

    For a process of which it is the first loop that uses grpc.aio (see `lead`): from then on gRPC hands its events over
    in another way (as to loops that watch no descriptors) in the whole process, and another loop, bound before, would
    wake for ever. In debug mode nothing runs on the polling thread.

    Lifecycle: as any loop's; `close()` lets go of gRPC, whose polling thread then ends unless somebody else holds it.

    Args:
        event: What gRPC's thread passes to `call_soon_threadsafe` with an event. gRPC's own; tests pass theirs.

    Attributes:
        taken: Events that were dealt with on the polling thread so far.
    """

    def __init__(self, event: Callable[..., object] | None = None) -> None:
        self._grpcs = event is None
        self._event = _EVENT if event is None else event
        self._is_plain = False
        self._turn = threading.RLock()  # held by the thread that runs callbacks
        self._rest = _Rest(self._turn)
        super().__init__(self._rest)
        self._rest.clock = self.time
        self._is_lent = False  # to a thread that runs callbacks instead of the loop's own
        self._threads = threading.local()  # which threads may
        # What it has to run: callback and argument, and in which context.
        self._steps: deque[tuple[Context, Callable[..., object], Any]] = deque()
        self._late: deque[Callable[[], object]] = deque()  # events that are the loop's own thread's to deal with
        self._outside = Context()
        self._done = asyncio.Handle(_nothing, (), self, self._outside)
        self._nobodys = _NobodysHandle(_nothing, (), self, self._outside)
        self._holds_grpc = False
        self.taken = 0

    @property
    def rests(self) -> bool:
        """Whether the loop's thread waits for something to happen."""
        return self._rest.lasts

    def run_forever(self) -> None:
        """As asyncio's."""
        with self._turn:
            super().run_forever()

    def close(self) -> None:
        """As asyncio's."""
        super().close()
        if self._holds_grpc:
            self._holds_grpc = False
            cygrpc.shutdown_grpc_aio()

    def set_debug(self, enabled: bool) -> None:
        """As asyncio's."""
        super().set_debug(enabled)
        self._is_plain = enabled

    def lead(self) -> None:
        """Be the first loop that gRPC knows, in a process in which others will use grpc.aio too.

        Those have to bear events after they are closed: by an error gRPC's thread would end, and with it all calls.
        """
        running = asyncio._get_running_loop()  # noqa: SLF001 -- asyncio's, for whoever implements a loop
        _set_running_loop(self)
        try:
            if self._grpcs and not self._holds_grpc:
                cygrpc.init_grpc_aio()
                self._holds_grpc = True
        finally:
            _set_running_loop(running)

    def stop(self) -> None:
        """As asyncio's."""
        super().stop()
        if self._is_lent:
            self._wake()

    def add_reader(self, fd: FileDescriptorLike, callback: Callable[[Unpack[_Ts]], Any], *args: *_Ts) -> None:
        """As asyncio's, except for the socket on which gRPC's thread would wake the loop.

        Raises:
            NotImplementedError: To gRPC, which then calls `call_soon_threadsafe` with each event, from that thread.
        """
        if _is_of_grpc(callback) and not self._is_plain:
            raise NotImplementedError("events are taken where they arrive")
        super().add_reader(fd, callback, *args)

    def call_soon_threadsafe(
        self, callback: Callable[[Unpack[_Ts]], object], *args: *_Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """As asyncio's. An event of gRPC's is dealt with before this returns, unless the loop is busy, and stays so."""
        if callback is not self._event:
            return super().call_soon_threadsafe(callback, *args, context=context)
        rest, turn = self._rest, self._turn
        # The loop's thread wants it, and events may follow each other without a gap; or it has not got to one before.
        is_wanted = rest.is_over or self._late or self._is_lent or self._is_plain
        if not is_wanted and (turn.acquire(False) or self._gets_turn_in_time()):
            try:
                # If it does not rest, it does not run.
                if rest.lasts and (getattr(self._threads, "may", False) or self._comes_to_know_thread()):
                    self._take(callback, args)
                    return self._done
            finally:
                turn.release()
        self._late.append(functools.partial(callback, *args))
        try:
            super().call_soon_threadsafe(self._run_late)
        except RuntimeError:
            if not self.is_closed():
                raise
            # Whoever waited for it is gone, and gRPC's thread must not end by it.
        return self._done

    def _gets_turn_in_time(self) -> bool:
        if not self._rest.is_rare and self._turn.acquire(timeout=_PATIENCE_S):
            return True
        self._rest.is_rare = True
        return False

    def _comes_to_know_thread(self) -> bool:
        """Whether this thread may run callbacks, asked once. With the turn."""
        if asyncio._get_running_loop() is not None:  # noqa: SLF001 -- asyncio's, for whoever implements a loop
            return False
        self._threads.may = True
        sys.set_asyncgen_hooks(*self._rest.hooks)
        # Whoever lets go of gRPC last waits for the end of this thread, and may be on it, for what ends a call lets go,
        # too. So it is the loop that does, when it closes.
        self.lead()
        return True

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., object], arg: Any = _NONE, *more: Any, context: Context | None = None
    ) -> asyncio.Handle:
        """As asyncio's, and any number of arguments, too: to pack the one that callbacks of futures have is dear.

        In place of the loop's thread what futures and tasks have called, if it is C's, is called with no handle made
        for it: they let go of it. They give a context; whoever does so, too, with such a callback and nothing but a
        future for it, gets a handle that refuses to be cancelled (RuntimeError).
        """
        if not self._is_lent:
            return super().call_soon(callback, *_packed(arg, *more), context=context)
        given, context = context, copy_context() if context is None else context
        if _polled not in context:
            return super().call_soon_threadsafe(callback, *_packed(arg, *more), context=context)
        kind = type(callback)
        if given is not None and (
            kind is _STEP
            if arg is _NONE
            else (kind is _BUILTIN or kind is _CYTHON) and (type(arg) is _Future or type(arg) is _Task) and not more
        ):
            self._steps.append((context, callback, arg))
            return self._nobodys
        handle = asyncio.Handle(callback, _packed(arg, *more), self, context)
        self._steps.append((self._outside, _run, handle))
        return handle

    def call_at(
        self, when: float, callback: Callable[[Unpack[_Ts]], object], *args: *_Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """As asyncio's."""
        timer = super().call_at(when, callback, *args, context=context)
        if self._is_lent and when < self._rest.until:
            self._wake()
        return timer

    def _wake(self) -> None:
        super().call_soon_threadsafe(_nothing)
        self._rest.until = -math.inf  # the next timer needs to wake nobody

    def _take(self, event: Callable[..., object], args: tuple[object, ...]) -> None:
        """Deal with an event, and with all that it leads to, on the thread that has the turn and is not the loop's."""
        self.taken += 1
        self._rest.is_disturbed = True
        self._is_lent = True
        _set_running_loop(self)
        steps, left = self._steps, _MOST_AT_ONCE
        try:
            try:
                event(*args)
            except (SystemExit, KeyboardInterrupt):
                raise
            except BaseException as error:  # noqa: BLE001 -- as asyncio's handles: a loop survives its callbacks
                self._tell(event, error)
            while steps and left:
                left -= 1
                context, callback, arg = steps.popleft()
                try:
                    if arg is _NONE:
                        context.run(callback)
                    else:
                        context.run(callback, arg)
                except (SystemExit, KeyboardInterrupt):
                    raise
                except BaseException as error:  # noqa: BLE001 -- as above
                    self._tell(callback, error)
        except (SystemExit, KeyboardInterrupt) as error:
            super().call_soon_threadsafe(_raise, error)
        finally:
            _set_running_loop(None)
            self._is_lent = False
            if steps:
                super().call_soon_threadsafe(self._run_rest)

    def _process_events(self, event_list: list[tuple[selectors.SelectorKey, int]]) -> None:
        super()._process_events(event_list)  # type: ignore[misc]
        if self._steps:
            # A signal's handler, which runs while the loop rests, called soon as the polling thread left.
            self._run_rest()

    def _run_late(self) -> None:
        event = self._late.popleft()
        event()

    def _run_rest(self) -> None:
        """Have what was left of an event follow on the loop's own thread, as if it had been called soon there."""
        while self._steps:
            context, callback, arg = self._steps.popleft()
            super().call_soon(callback, *_packed(arg), context=context)

    def _tell(self, callback: object, error: BaseException) -> None:
        self.call_exception_handler({"message": f"Exception in callback {callback!r}", "exception": error})


class _Rest(selectors.DefaultSelector):
    """The loop's selector. While its thread waits here, the turn to run callbacks is anybody's.

    Attributes:
        lasts: Whether the loop's thread waits.
        is_over: Whether it has waited long enough, and wants its turn.
        is_rare: Whether somebody has waited for the loop to rest, in vain, since it last did.
        until: When that is if nothing happens, on the loop's clock.
        is_disturbed: Whether callbacks ran meanwhile.
        hooks: The loop's for asynchronous generators; each thread has its own.
        clock: The loop's.
    """

    def __init__(self, turn: threading.RLock) -> None:
        super().__init__()
        self._turn = turn
        self.lasts = self.is_over = self.is_rare = self.is_disturbed = False
        self.until = -math.inf
        self.hooks = sys.get_asyncgen_hooks()
        self.clock: Callable[[], float]

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """As `selectors`'."""
        if timeout is not None and timeout <= 0:
            return super().select(timeout)
        self.hooks = sys.get_asyncgen_hooks()
        self.until = math.inf if timeout is None else self.clock() + timeout
        self.is_rare = self.is_disturbed = False
        try:
            self.lasts = True
            self._turn.release()
            ready = super().select(timeout)
        finally:
            self.is_over = True
            try:
                self._take_back()
            except BaseException:  # the handler of a signal raised it, such as KeyboardInterrupt
                self._take_back()
                raise
            finally:
                self.lasts = self.is_over = False
        # What is registered may have changed after it was looked up.
        return super().select(0) if self.is_disturbed else ready

    def _take_back(self) -> None:
        # One that was interrupted may have got it.
        while not self._turn._is_owned():  # type: ignore[attr-defined]  # noqa: SLF001 -- as threading.Condition asks
            self._turn.acquire()


def _is_of_grpc(callback: object) -> bool:
    return type(getattr(getattr(callback, "func", None), "__self__", None)).__name__ == "PollerCompletionQueue"


def _packed(arg: Any, *more: Any) -> tuple[Any, ...]:
    return () if arg is _NONE else (arg, *more)


def _run(handle: asyncio.Handle) -> None:
    if not handle.cancelled():
        handle._run()  # noqa: SLF001 -- asyncio's, for whoever implements a loop


def _nothing() -> None:
    """What a loop is woken with."""


def _raise(error: BaseException) -> None:
    raise error
