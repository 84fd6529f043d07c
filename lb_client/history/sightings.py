"""What else a client can see of a run: connections that come and go, and what gRPC refuses of what it is told."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from lb_client.channelz import ChannelView
    from lb_client.history.happenings import Happening
    from lb_client.tracking import MembershipTracker

LOOK_EVERY_S = 0.1
MOST_CONNECTIONS = 64
"""A look costs about 0.2 ms for each: more would hold up the calls that are measured."""

_ADS_SERVER = "resolver.xds.server"


async def follow_connections(view: ChannelView, tracker: MembershipTracker, seen: list[Happening]) -> None:
    """Add to `seen` which endpoint connected, and which lost its connection, until cancelled."""
    from lb_client.history.happenings import Happening  # noqa: PLC0415 -- most runs see nothing of this

    up = {subchannel.address for subchannel in view.look() if subchannel.state == "READY"}
    while True:
        await asyncio.sleep(LOOK_EVERY_S)
        subchannels = view.look()
        if len(subchannels) > MOST_CONNECTIONS:
            return
        now_up = {subchannel.address for subchannel in subchannels if subchannel.state == "READY"}
        names = {member.address: member.id for look in tracker.looks for member in look.members}
        for address in sorted(up ^ now_up):
            came = address in now_up
            replica = names.get(address, "")
            text = f"{replica or address} {'connected' if came else 'lost its connection'}"
            kind = "connected" if came else "disconnected"
            seen.append(
                Happening(
                    at_s=time.monotonic(), source="client", kind=kind, replica=replica, address=address, text=text
                )
            )
        up = now_up


class Rejections(logging.Handler):
    """In its block, adds to `seen` what this process's gRPC refuses (a NACK), as our ADS server logs it."""

    def __init__(self, seen: list[Happening]) -> None:
        super().__init__(logging.WARNING)
        self._seen = seen

    def __enter__(self) -> Self:
        logging.getLogger(_ADS_SERVER).addHandler(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        logging.getLogger(_ADS_SERVER).removeHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Take one line of the log, on the control plane's thread."""
        from lb_client.history.happenings import Happening  # noqa: PLC0415 -- as above

        line = record.getMessage()
        if "rejected" in line:
            self._seen.append(
                Happening(
                    at_s=time.monotonic(),
                    source="client",
                    kind="nack",
                    text="gRPC refuses what it was told",
                    detail=line,
                )
            )
