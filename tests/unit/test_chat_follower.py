"""What looks where a room is ends when it is told to, whatever happens in that very moment."""

from __future__ import annotations

import asyncio

import pytest

from lb_client.chat_channels import RoomChannels
from lb_client.chat_session import ChatSession


@pytest.mark.parametrize("turns", range(6))
async def test_it_ends_when_it_is_told_to_as_the_endpoints_change(turns: int) -> None:
    session = ChatSession(RoomChannels(), room="kitchen", name="ann")
    follower = asyncio.create_task(session._follow())  # from outside, the moment cannot be met
    for _ in range(5):
        await asyncio.sleep(0)
    session._changed.set()
    for _ in range(turns):  # of the loop: in one of them, its wait is over and it does not know yet
        await asyncio.sleep(0)
    follower.cancel()
    done, _ = await asyncio.wait({follower}, timeout=2)
    follower.cancel()
    assert done
