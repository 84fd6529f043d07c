"""The channels by which a room's calls find its replica: a new one, with a ring of its own, for each set of endpoints.

Why not one channel that lives as long as its target: a ring must never change (docs/xds.md says why), and an open
channel keeps each that it has left, connections included, for 15 minutes. A channel that is closed keeps nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from typing import TYPE_CHECKING, Self

import resolver
from lb_client import aio
from protos.chat_rules import ROOM_KEY
from resolver.policy import RingHash

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import TracebackType
    from typing import Any

    import grpc.aio

    from resolver.claims import Subscription
    from resolver.model import Snapshot


class RoomChannels:
    """Lends channels. `async with` it: leaving the block closes all of them.

    Args:
        channel: The one there is, where the endpoints are somebody else's matter (a proxy's, a single server's).

    Attributes:
        listeners: Called, on the loop, when there is another channel to ask.
        is_ring: Whether a room's calls are known to go to one replica.
    """

    def __init__(self, channel: grpc.aio.Channel | None = None) -> None:
        self.listeners: set[Callable[[], None]] = set()
        self.is_ring = False
        self._newest = channel
        self._uses: Counter[grpc.aio.Channel] = Counter()
        self._closing: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._replace(None)
        for channel in [*self._uses]:
            self._close(channel)
        await asyncio.gather(*self._closing)

    @contextlib.contextmanager
    def lend(self) -> Iterator[grpc.aio.Channel | None]:
        """The newest channel, open for as long as the block lasts; None while there is no endpoint."""
        channel = self._newest
        if channel is None:
            yield None
            return
        self._uses[channel] += 1
        try:
            yield channel
        finally:
            self._uses[channel] -= 1
            if not self._uses[channel]:
                del self._uses[channel]
                if channel is not self._newest:
                    self._close(channel)

    def _replace(self, channel: grpc.aio.Channel | None) -> None:
        before, self._newest = self._newest, channel
        if before is not None and not self._uses[before]:
            self._close(before)
        for listener in [*self.listeners]:
            listener()

    def _close(self, channel: grpc.aio.Channel) -> None:
        task = asyncio.create_task(channel.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


class RingChannels(RoomChannels):
    """Those of a resolver target: rings of the endpoints that may get calls.

    Args:
        target: One of ours.
        options: Channel arguments.

    Raises:
        ResolverError: On entering.
    """

    def __init__(self, target: str, *, options: Sequence[tuple[str, Any]] = ()) -> None:
        super().__init__()
        self.is_ring = True
        self._target = target
        self._options = options
        self._addresses: frozenset[str] = frozenset()
        self._subscription: Subscription | None = None

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()

        def tell(snapshot: Snapshot) -> None:  # on the control plane's thread
            with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(self._take, snapshot.addresses)

        self._subscription = resolver.watch(self._target, tell)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._subscription is not None:
            self._subscription.close()
            self._subscription = None
        await super().__aexit__(kind, error, trace)

    def _take(self, addresses: frozenset[str]) -> None:
        if self._subscription is None or addresses == self._addresses:
            return
        self._addresses = addresses
        channel = None
        if addresses:
            # Health is in the set already: who is not healthy is not in it.
            fixed = f"static:{','.join(sorted(addresses))}"
            channel = aio.insecure_channel(
                fixed, policy=RingHash(ROOM_KEY), health_check=False, options=list(self._options)
            )
        self._replace(channel)
