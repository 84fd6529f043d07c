"""When a replica that drains may stop: its clients have heard of it and left. One pure decision; replica.py asks it.

A stop must not begin while calls still come. gRPC core's goes gently about connections, with a first GOAWAY, a ping and
a second GOAWAY, so that no call is lost on the way; but from its first moment on, it cancels every call that is not yet
in a servicer's hands, those that wait for the event loop and those that the client sends before it reads the GOAWAY
(`Server::ShutdownAndNotify` and `CallData::StartNewRpc` in src/core/server/server.cc; grpc/grpc#41785). The server has
taken them by then, so they are not tried elsewhere either. A grace is for the calls that were begun, no help to these.
"""

from __future__ import annotations

from dataclasses import dataclass

TICK_S = 0.02
"""How often to ask."""

QUIET_S = 0.5
"""So long without a new call, clients have left, or will not call: what tells them reaches them within milliseconds."""

PROVEN_S = 0.06
"""So long suffices where everybody who ever called has closed the connection."""

PATIENCE_S = 2.0
"""After the linger, so long at most: a client that looks at neither registry nor health never leaves by itself."""


@dataclass(slots=True)
class Leaving:
    """From the moment at which clients were told.

    A client that has left closes its connection, as soon as its calls have ended: that is proof, and needs no waiting.
    One that keeps it may have nothing to call, or calls of its own in flight, or be stuck: it gets some time.

    Attributes:
        linger_s: Seconds that pass in any case.
        patience_s: Seconds after that in which it may become quiet.
        calls: How many had come at the last look.
    """

    linger_s: float
    patience_s: float
    calls: int
    _quiet_ticks: int = 0

    def over(self, elapsed_s: float, calls: int, *, connected: bool) -> bool:
        """Whether to stop now. To be asked every tick: a loop that was stuck for long has looked once, not many times.

        Args:
            elapsed_s: Since clients were told.
            calls: How many have come by now.
            connected: Whether anybody who ever called is still connected.
        """
        self._quiet_ticks = self._quiet_ticks + 1 if calls == self.calls else 0
        self.calls = calls
        if elapsed_s < self.linger_s:
            return False
        quiet_s = self._quiet_ticks * TICK_S
        return quiet_s >= (QUIET_S if connected else PROVEN_S) or elapsed_s >= self.linger_s + self.patience_s
