"""A deadline for each attempt of a call, for asyncio: what gRPC's retries over xDS lack. A call stays one call.

A replica that is frozen answers nothing, so no status comes that a retry policy could act on, and the call's own
deadline ends all its attempts at once. Envoy's `per_try_timeout` is not in what gRPC takes from a route (gRFC A44), and
core's own `perAttemptRecvTimeout` is experimental and cannot be said over xDS. So it is done here, before the channel:
an attempt that has had its time is cancelled, and the next pick gets the call.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

_MOST = 0.9
"""So much of an attempt's time has to be over for it to count as timed out: clocks of two sides differ a little."""


class Attempts:
    """A unary method whose calls are made of attempts: called and awaited as what it wraps.

        hello = Attempts(stub.SayHello, attempt_s=0.5)
        reply = await hello(request, timeout=5.0)

    Only for methods that may be executed twice: whoever did not answer in time may have done its work all the same.

    Args:
        method: A unary method of a stub or channel for asyncio.
        attempt_s: Each attempt's deadline in seconds. The call's own, its `timeout`, holds for all of them together.
    """

    def __init__(self, method: Any, *, attempt_s: float) -> None:
        if not attempt_s > 0:
            raise ValueError(f"attempt_s must be more than 0, not {attempt_s!r}")
        self._method = method
        self._attempt_s = attempt_s

    def __call__(
        self, request: Any, *, timeout: float, metadata: Sequence[tuple[str, str | bytes]] | None = None
    ) -> AttemptedCall:
        """Begin a call that takes `timeout` seconds at most; it is to be awaited."""
        return AttemptedCall(self._method, self._attempt_s, request, time.monotonic() + timeout, metadata)


class AttemptedCall:
    """One call. Awaited, it gives the answer or raises the last attempt's `grpc.aio.AioRpcError`.

    Attributes:
        attempts: How many there have been.
    """

    def __init__(self, method: Any, attempt_s: float, request: Any, end_s: float, metadata: Any) -> None:
        self._method = method
        self._attempt_s = attempt_s
        self._request = request
        self._end_s = end_s
        self._metadata = metadata
        self._last: Any = None
        self.attempts = 0

    def __await__(self) -> Generator[Any, None, Any]:
        """The answer. Another time, the same."""
        return self._answer().__await__()

    async def _answer(self) -> Any:
        while self._last is None or not self._last.done():
            left_s = self._end_s - time.monotonic()
            self.attempts += 1
            attempt_s, began_s = min(self._attempt_s, left_s), time.monotonic()
            self._last = call = self._method(self._request, timeout=attempt_s, metadata=self._metadata)
            try:
                return await call
            except grpc.aio.AioRpcError as error:
                # Said by us, or by a replica that was told our deadline: in both cases its time is over. Earlier it is
                # an answer like any other, of a deadline that is not ours.
                now_s = time.monotonic()
                timed_out = error.code() is grpc.StatusCode.DEADLINE_EXCEEDED and now_s - began_s >= attempt_s * _MOST
                if not timed_out or self._end_s <= now_s:
                    raise
                self._last = None
        return await self._last

    async def trailing_metadata(self) -> Any:
        """The last attempt's."""
        return await self._last.trailing_metadata()
