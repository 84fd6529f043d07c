"""To test with, ours and yours: a registry that is edited by hand, and an accident to the control plane."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import threading
from typing import TYPE_CHECKING, Self

from resolver.model import Endpoint
from resolver.target import register, unregister

if TYPE_CHECKING:
    from collections.abc import Iterable

    from resolver.registry.base import EndpointWatcher
    from resolver.target import Target

_names = itertools.count(1)


class ManualRegistry:
    """A registry whose set is what you say it is. A context manager: leaving it takes its scheme back.

        with ManualRegistry(["127.0.0.1:50051"]) as registry:
            channel = lb_client.insecure_channel(registry.target)
            registry.add("127.0.0.1:50052")

    Every method may be called from any thread, before and while channels are open. `fail` does to the watchers what
    a registry out of reach does.

    Args:
        endpoints: What is there at first: addresses (`ip:port`) or Endpoints.

    Attributes:
        target: The resolver target that this registry answers; no two registries share one.
        watchers: How many watchers run now: 0 when no channel is open on the target.
    """

    def __init__(self, endpoints: Iterable[Endpoint | str] = ()) -> None:
        self._lock = threading.Lock()
        self._endpoints: dict[str, Endpoint] = {}
        self._wakes: dict[asyncio.Event, asyncio.AbstractEventLoop] = {}
        self._failure: Exception | None = None
        self._round = 0
        self._scheme = f"manual{next(_names)}"
        self.target = f"{self._scheme}:registry"
        self.set(endpoints)
        register(self._scheme, self._watch)

    def __enter__(self) -> Self:
        """The registry, which answers its target already."""
        return self

    def __exit__(self, *_: object) -> None:
        """Take the scheme back. Channels that are open keep their last endpoints."""
        unregister(self._scheme)

    @property
    def watchers(self) -> int:
        """How many watchers run now."""
        with self._lock:
            return len(self._wakes)

    def set(self, endpoints: Iterable[Endpoint | str]) -> None:
        """Make this the whole set."""
        with self._lock:
            self._endpoints = {e.address: e for e in map(_endpoint, endpoints)}
            self._wake()

    def add(self, *endpoints: Endpoint | str) -> None:
        """Add endpoints, or replace those at the same address."""
        with self._lock:
            self._endpoints |= {e.address: e for e in map(_endpoint, endpoints)}
            self._wake()

    def remove(self, *addresses: str) -> None:
        """Take endpoints out by address.

        Raises:
            KeyError: There is none at that address.
        """
        with self._lock:
            for address in addresses:
                del self._endpoints[address]
            self._wake()

    def fail(self, error: Exception) -> None:
        """Let every watcher that runs raise this error once. The set stays as it is, for those that come after."""
        with self._lock:
            self._failure = error
            self._round += 1
            self._wake()

    def _wake(self) -> None:
        for wake, loop in self._wakes.items():
            loop.call_soon_threadsafe(wake.set)

    async def _watch(self, target: Target) -> EndpointWatcher:  # noqa: ARG002 -- the scheme alone tells it is us
        wake = asyncio.Event()
        with self._lock:
            self._wakes[wake] = asyncio.get_running_loop()
            born = self._round
        try:
            while True:
                wake.clear()
                with self._lock:
                    endpoints = tuple(self._endpoints.values())
                    failure = self._failure if self._round != born else None
                if failure is not None:
                    raise failure
                yield endpoints
                await wake.wait()
        finally:
            with self._lock:
                del self._wakes[wake]


def _endpoint(value: Endpoint | str) -> Endpoint:
    return value if isinstance(value, Endpoint) else Endpoint.at(value)


def kill_control_plane() -> bool:
    """Cancel every task of ours in this process's control plane, as a fault would; False where there is none.

    Calls go on with the last endpoints, and the control plane begins again by itself.
    """
    from resolver import runtime  # noqa: PLC0415 -- brings gRPC, which the registry above does without

    plane = runtime._current  # noqa: SLF001 -- nobody but who breaks it needs to reach it
    loop = plane._loop if plane is not None else None  # noqa: SLF001 -- the same
    if loop is None:
        return False

    def cancel() -> None:
        for task in asyncio.all_tasks(loop):
            # Not gRPC's own: cancelled, its server leaves a stream open on which nobody will ever speak again. What of
            # it is compiled has frames without names.
            frame = getattr(task.get_coro(), "cr_frame", None)
            if frame is not None and frame.f_globals.get("__name__", "").startswith("resolver."):
                task.cancel()

    with contextlib.suppress(RuntimeError):  # it is about to end anyway
        loop.call_soon_threadsafe(cancel)
    return True
