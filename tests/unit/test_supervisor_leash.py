"""The supervisor's end of the leash: what it takes for the command's last word."""

from __future__ import annotations

import asyncio
import os
import socket
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from backends.leash import DETACH
from backends.supervisor_leash import SupervisorLeash

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from backends.supervisor import FleetSupervisor


class ScriptedSupervisor:
    """Has no replicas, and notes why it was stopped."""

    def __init__(self) -> None:
        self.plan = SimpleNamespace(replicas=0)
        self.services: tuple[str, ...] = ()
        self.stopped: list[str] = []
        self._over = asyncio.Event()

    def stop(self, reason: str) -> None:
        self.stopped.append(reason)
        self._over.set()

    async def changes(self) -> AsyncIterator[Any]:
        yield SimpleNamespace(total=0, wanted=0, members=())
        await self._over.wait()


@pytest.mark.parametrize("last_word", [DETACH, b"", b"det"], ids=["let go", "died", "died at its last word"])
@pytest.mark.parametrize("told", [False, True], ids=["read in time", "told something before it is read"])
async def test_only_a_command_that_let_go_leaves_the_cluster(
    last_word: bytes, told: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = socket.socketpair()
    until_the_end = os.dup(ours.fileno())
    monkeypatch.setattr(os, "dup", lambda _fd: until_the_end)
    supervisor, opened = ScriptedSupervisor(), asyncio.Event()
    leash = SupervisorLeash(ours, cast("FleetSupervisor", supervisor))
    holding = asyncio.create_task(leash.hold(opened))
    for _ in range(5):
        await asyncio.sleep(0)
    if told:
        opened.set()  # the task that tells it runs before the loop looks at the socket again
    theirs.sendall(last_word)
    theirs.close()
    await asyncio.wait_for(holding, 5)
    if supervisor.stopped:
        os.close(until_the_end)  # as its process's end would
    assert supervisor.stopped == ([] if last_word == DETACH else ["the command that holds it has ended"])
