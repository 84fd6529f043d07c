"""An event loop for processes that are ours: where a Python function of asyncio's only passes a question on, C answers.

gRPC and asyncio ask their loop some twenty times for each call: for a future, for a task, whether it is being debugged.
"""

from __future__ import annotations

import asyncio
import functools
from typing import Any


class LeanLoop(asyncio.SelectorEventLoop):
    """A selector loop that makes futures and tasks without a detour, unless it is being debugged or closed.

    So `create_future`, `create_task` and `get_debug` are not for subclasses to override. One that is not closed is for
    the garbage collector.
    """

    def __init__(self, *args: Any) -> None:
        self._is_ready = False
        super().__init__(*args)
        self._is_ready = True
        self._shorten()

    def close(self) -> None:
        """As asyncio's."""
        super().close()
        self._shorten()

    def set_debug(self, enabled: bool) -> None:
        """As asyncio's."""
        super().set_debug(enabled)
        self._shorten()

    def set_task_factory(self, factory: Any) -> None:
        """As asyncio's."""
        super().set_task_factory(factory)
        self._shorten()

    def _shorten(self) -> None:
        own = vars(self)
        for name in ("create_future", "create_task", "get_debug"):
            own.pop(name, None)
        if not self._is_ready or self.is_closed() or self.get_debug():
            return
        own["create_future"] = functools.partial(asyncio.Future, loop=self)
        own["get_debug"] = bool  # of nothing: False
        if self.get_task_factory() is None:
            own["create_task"] = functools.partial(asyncio.Task, loop=self)
