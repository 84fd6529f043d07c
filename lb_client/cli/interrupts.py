"""What Ctrl-C does at each stage of a command: ends it at once, unwinds it, or comes too late to change anything.

KeyboardInterrupt is for stages that have something to undo. It comes up anywhere: inside an import it leaves half a
module or becomes another error, and in a clean-up it prints a traceback that nobody can catch. A SIGINT that whoever
started us ignores stays ignored.
"""

from __future__ import annotations

import os
import signal

TYPE_CHECKING = (
    False  # not from typing, whose import takes 5 ms: before the first handler is set, Ctrl-C is a traceback
)
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType
    from typing import NoReturn

CODE = 130
WORD = "interrupted"


def leave_at_once() -> None:
    """From here on nothing is held that would have to be given back: imports, options, waiting for input."""
    _set(_leave)


def unwind() -> None:
    """From here on Ctrl-C is a KeyboardInterrupt, as Python has it."""
    _set(signal.default_int_handler)


def pass_over() -> None:
    """From here on all is being given back, which takes a moment: Ctrl-C changes nothing."""
    _set(_pass_over)


def tell(who: Callable[[], object]) -> None:
    """From here on Ctrl-C calls `who`, in the main thread between any two of its steps."""
    _set(lambda _number, _frame: who())


def ignore() -> None:
    """For the rest of the process: Python's own end would print a traceback for each function that is cut short."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def break_line(code: int) -> None:
    """Before a line about Ctrl-C: the terminal has written ^C where the cursor was."""
    if code == CODE and os.isatty(2):
        os.write(2, b"\n")


def _set(handler: signal._HANDLER) -> None:
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, handler)


def _leave(_number: int, _frame: FrameType | None) -> NoReturn:
    try:
        break_line(CODE)
        os.write(2, f"lbdemo: {WORD}\n".encode())
    finally:
        os._exit(CODE)


def _pass_over(_number: int, _frame: FrameType | None) -> None:
    pass
