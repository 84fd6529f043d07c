"""What gRPC core has counted of the calls on an address of ours: channelz, in this process, by a private module.

Core counts a call once on its channel and once for each attempt on a subchannel; the difference are retries.
"""

from __future__ import annotations

import importlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True)
class Counts:
    """By core's numbers of channels and subchannels.

    Attributes:
        calls: Calls that began, by channel.
        attempts: Those that were sent, by subchannel.
        in_flight: Calls that have not ended.
    """

    calls: dict[int, int]
    attempts: dict[int, int]
    in_flight: int

    @property
    def waiting(self) -> int:
        """Calls that have begun and were not sent, as far as these numbers tell."""
        return min(max(0, sum(self.calls.values()) - sum(self.attempts.values())), self.in_flight)

    def since(self, before: Counts) -> tuple[int, int]:
        """Calls and attempts since another look. What has ended its life meanwhile takes its last ones with it."""
        return _grown(before.calls, self.calls), _grown(before.attempts, self.attempts)


def counts_of(uri: str) -> Counts:
    """What core has counted on the channels to this target.

    Raises:
        ImportError, AttributeError: This gRPC does not show it.
    """
    cygrpc = importlib.import_module("grpc._cython.cygrpc")
    calls: dict[int, int] = {}
    attempts: dict[int, int] = {}
    in_flight = 0
    for number, channel in _top_channels(cygrpc):
        data = channel.get("data", {})
        if data.get("target") != uri:
            continue
        calls[number] = int(data.get("callsStarted", 0))
        in_flight += calls[number] - int(data.get("callsSucceeded", 0)) - int(data.get("callsFailed", 0))
        for reference in channel.get("subchannelRef", ()):
            subchannel = int(reference["subchannelId"])
            try:
                answer = json.loads(cygrpc.channelz_get_subchannel(subchannel))
            except ValueError:  # it went away between the two questions
                continue
            attempts[subchannel] = int(answer["subchannel"]["data"].get("callsStarted", 0))
    return Counts(calls, attempts, max(0, in_flight))


def _top_channels(cygrpc: Any) -> Iterator[tuple[int, Any]]:
    start = 0
    while True:
        page = json.loads(cygrpc.channelz_get_top_channels(start))
        for channel in page.get("channel", ()):
            number = int(channel["ref"]["channelId"])
            yield number, channel
            start = number + 1
        if page.get("end", True):
            return


def _grown(before: dict[int, int], after: dict[int, int]) -> int:
    return sum(number - before.get(key, 0) for key, number in after.items())
