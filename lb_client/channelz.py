"""What this process's own gRPC core knows of one channel: its subchannels, their state, the calls sent to each.

Channelz (https://github.com/grpc/proposal/blob/master/A14-channelz.md) counts calls by address, so it tells how
calls spread over servers that say nothing of who they are. Nothing goes over the network. Core's registry is reached by
a private module, the one grpcio-channelz itself uses; where it is missing there is no view, and less can be known.
"""

from __future__ import annotations

import contextlib
import importlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Channel = TypeVar("Channel")


@dataclass(frozen=True, slots=True)
class Subchannel:
    """One address of a channel at one moment.

    Attributes:
        id: Core's number for it.
        address: `host:port`, or a unix socket with its scheme.
        state: IDLE, CONNECTING, READY, TRANSIENT_FAILURE or SHUTDOWN.
        started: Calls sent to it since it was made, all kinds.
        failed: Those of them that ended with another status than OK.
    """

    id: int
    address: str
    state: str
    started: int
    failed: int


@dataclass(frozen=True, slots=True)
class Traffic:
    """What one address got: calls started, and those of them that failed."""

    started: int = 0
    failed: int = 0


class ChannelView:
    """Looks at one channel, again and again, and remembers what subchannels did that are gone.

    A look costs about 0.2 ms for each subchannel.
    """

    def __init__(self, channel_id: int) -> None:
        self._id = channel_id
        self._seen: dict[int, Subchannel] = {}
        self._zero: dict[int, Subchannel] = {}

    def look(self) -> tuple[Subchannel, ...]:
        """The subchannels that there are now, by address. Empty once the channel is closed."""
        try:
            channel = json.loads(_cygrpc().channelz_get_channel(self._id))["channel"]
        except ValueError:
            return ()
        found = []
        for reference in channel.get("subchannelRef", ()):
            with contextlib.suppress(ValueError):  # it went away between the two questions
                found.append(_subchannel(json.loads(_cygrpc().channelz_get_subchannel(int(reference["subchannelId"])))))
        self._seen.update((subchannel.id, subchannel) for subchannel in found)
        return tuple(sorted(found, key=lambda subchannel: (subchannel.address, subchannel.id)))

    def reset(self) -> None:
        """Count traffic from now on."""
        self.look()
        self._zero = dict(self._seen)

    def traffic(self) -> dict[str, Traffic]:
        """By address, what was sent since `reset`, as of the last look; those that got nothing are there with zeros."""
        found: dict[str, Traffic] = {}
        for number, now in self._seen.items():
            zero = self._zero.get(number)
            so_far = found.get(now.address, Traffic())
            found[now.address] = Traffic(
                so_far.started + now.started - (zero.started if zero else 0),
                so_far.failed + now.failed - (zero.failed if zero else 0),
            )
        return found


def open_viewed(make: Callable[[], Channel]) -> tuple[Channel, ChannelView | None]:
    """Open a channel by `make` and return it with a view of it; without a view where core does not offer one.

    `make` may start further channels in other threads (a control plane's): the one that has an xDS target, else the
    first one opened, is taken for its own.
    """
    try:
        newest = max((number for number, _ in _top_channels()), default=0)
    except (ImportError, AttributeError, ValueError):
        return make(), None
    channel = make()
    opened = [(not target.startswith("xds:"), number) for number, target in _top_channels(newest + 1)]
    return channel, ChannelView(min(opened)[1]) if opened else None


def _top_channels(start: int = 0) -> Iterator[tuple[int, str]]:
    while True:
        page = json.loads(_cygrpc().channelz_get_top_channels(start))
        for channel in page.get("channel", ()):
            number = int(channel["ref"]["channelId"])
            yield number, channel.get("data", {}).get("target", "")
            start = number + 1
        if page.get("end", True):
            return


def _subchannel(answer: Any) -> Subchannel:
    data = answer["subchannel"]["data"]
    return Subchannel(
        id=int(answer["subchannel"]["ref"]["subchannelId"]),
        address=_address(data.get("target", "")),
        state=data.get("state", {}).get("state", "IDLE"),
        started=int(data.get("callsStarted", 0)),
        failed=int(data.get("callsFailed", 0)),
    )


def _address(uri: str) -> str:
    """`ipv4:127.0.0.1:1` → `127.0.0.1:1`, `ipv6:%5B::1%5D:1` → `[::1]:1`; a socket's path keeps its scheme."""
    scheme, _, rest = uri.partition(":")
    return unquote(rest) if scheme in ("ipv4", "ipv6") else unquote(uri)


def _cygrpc() -> Any:
    # The private module of the docstring above; types-grpcio knows nothing of it.
    return importlib.import_module("grpc._cython.cygrpc")
