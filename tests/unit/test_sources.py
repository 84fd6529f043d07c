"""A source that has ended is begun again; one whose timeout is just over has not ended."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING

import pytest

from resolver.claims import SourceSpec
from resolver.sources import _SURELY_S, Sources

if TYPE_CHECKING:
    from resolver.registry.base import EndpointWatcher
    from resolver.target import Target

SPEC = SourceSpec.of("static:127.0.0.1:1", health_check=False)


class Registry:
    """Counts its watches; each waits, with a timeout inside that is over when the test says so."""

    def __init__(self, *, stubborn: bool) -> None:
        self.watches = 0
        self.timeout: asyncio.Timeout | None = None
        self._stubborn = stubborn

    def watch(self, _target: Target) -> EndpointWatcher:
        return self._watch()

    async def _watch(self) -> EndpointWatcher:
        self.watches += 1
        yield ()
        while True:
            try:
                async with asyncio.timeout(None) as self.timeout:
                    await asyncio.sleep(3600)
            except TimeoutError:
                pass
            except asyncio.CancelledError:
                if self._stubborn:
                    await asyncio.sleep(3600)
                raise


async def _begun(registry: Registry) -> Sources:
    sources = Sources(lambda _key, _snapshot: None)
    sources.ensure("key", SPEC, registry.watch)
    async with asyncio.timeout(5):
        while registry.timeout is None:  # noqa: ASYNC110 -- a step of the loop is what is waited for
            await asyncio.sleep(0)
    return sources


async def test_timeout_that_is_over_at_the_moment_of_a_look_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    registry = Registry(stubborn=False)
    sources = await _begun(registry)
    task = sources._running["key"].task
    assert registry.timeout is not None
    registry.timeout.reschedule(0)
    while not task.cancelling():  # noqa: ASYNC110 -- the same
        await asyncio.sleep(0)
    sources.mend()
    await asyncio.sleep(_SURELY_S * 2)
    assert (sources._running["key"].task is task, registry.watches, caplog.records) == (True, 1, [])
    await sources.end(1)


@pytest.mark.parametrize("stubborn", [False, True])
async def test_source_that_was_cancelled_is_begun_again(stubborn: bool, caplog: pytest.LogCaptureFixture) -> None:
    registry = Registry(stubborn=stubborn)
    sources = await _begun(registry)
    task = sources._running["key"].task
    task.cancel()
    await asyncio.sleep(0.01)
    assert task.done() is not stubborn
    sources.mend()
    async with asyncio.timeout(5):
        while registry.watches < 2:  # noqa: ASYNC110 -- the same
            await asyncio.sleep(0.01)
    assert [record.levelno for record in caplog.records] == [logging.CRITICAL]
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    await sources.end(1)
