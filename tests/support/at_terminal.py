"""The command at a real terminal: a pseudo-terminal to type at, and what was written there."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import termios
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.support.command import LBDEMO
from tests.support.eventually import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator


class AtTerminal:
    """`lbdemo` on a pseudo-terminal, which answers nothing and keeps what is written."""

    def __init__(self, *args: str) -> None:
        self._fd, slave = pty.openpty()
        termios.tcsetwinsize(slave, (24, 80))
        # As prompt_toolkit's own tests have it: nobody answers where the cursor is.
        env = {**os.environ, "TERM": "xterm", "PROMPT_TOOLKIT_NO_CPR": "1"}
        self.popen = subprocess.Popen(
            [*LBDEMO, *args], stdin=slave, stdout=slave, stderr=slave, env=env, start_new_session=True
        )
        os.close(slave)
        self.written = ""

    def type(self, text: str) -> None:
        os.write(self._fd, text.encode())

    def take(self) -> None:
        while select.select([self._fd], [], [], 0)[0]:
            try:
                self.written += os.read(self._fd, 65536).decode(errors="replace")
            except OSError:  # all have closed the other end
                return

    @property
    def text(self) -> str:
        """What was written, without its escape sequences."""
        return re.sub(r"\x1b(\[[0-9;?]*[A-Za-z]|[=>])", "", self.written).replace("\r", "")

    def shows(self, pattern: str) -> None:
        def check() -> None:
            self.take()
            assert re.search(pattern, self.text), self.text

        eventually(check, within_s=30)

    def ends(self) -> int:
        def check() -> None:
            self.take()
            assert self.popen.poll() is not None, self.text

        eventually(check, within_s=30)
        self.take()
        return self.popen.wait()

    def close(self) -> None:
        if self.popen.poll() is None:
            self.popen.terminate()
            self.ends()
        os.close(self._fd)


@contextmanager
def at_terminal(*args: str) -> Iterator[AtTerminal]:
    """`lbdemo` with these arguments, at a terminal as long as the block lasts."""
    terminal = AtTerminal(*args)
    try:
        yield terminal
    finally:
        terminal.close()
