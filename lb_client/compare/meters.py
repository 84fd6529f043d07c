"""What others have counted, read from outside: the replicas' own figures, and the CPU of a process."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import grpc

from protos import cluster_pb2, cluster_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import Iterable

_ANSWER_S = 5.0


class MeterError(Exception):
    """A replica did not tell its figures. One line."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What replicas have counted since they were started, each by the replica's address.

    Attributes:
        calls: All calls, streams among them.
        streams: Calls with a stream.
        messages: Messages sent on these.
    """

    calls: dict[str, int]
    streams: dict[str, int]
    messages: dict[str, int]


class ReplicaMeter:
    """Asks replicas for their figures, which counts as no call. A context manager."""

    def __init__(self, addresses: Iterable[str]) -> None:
        options = [("grpc.enable_http_proxy", 0)]
        self._channels = {address: grpc.insecure_channel(address, options) for address in addresses}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for channel in self._channels.values():
            channel.close()

    def services(self) -> set[str]:
        """What all of them serve.

        Raises:
            MeterError: One gives no answer.
        """
        return set.intersection(*(set(stats.services) for stats in self._stats().values()))

    def read(self) -> Figures:
        """The figures now.

        Raises:
            MeterError: A replica gives no answer.
        """
        stats = self._stats()
        return Figures(
            calls={address: each.calls for address, each in stats.items()},
            streams={address: each.streams for address, each in stats.items()},
            messages={address: each.messages_sent for address, each in stats.items()},
        )

    def _stats(self) -> dict[str, cluster_pb2.ReplicaStats]:
        found = {}
        for address, channel in self._channels.items():
            try:
                found[address] = cluster_pb2_grpc.ReplicaStub(channel).GetStats(
                    cluster_pb2.GetStatsRequest(), timeout=_ANSWER_S
                )
            except grpc.RpcError as error:
                code = getattr(error, "code", lambda: grpc.StatusCode.UNKNOWN)().name
                hint = "it is no replica of lbdemo" if code == "UNIMPLEMENTED" else "is it gone?"
                raise MeterError(f"the replica at {address} does not tell its figures ({code}): {hint}") from None
        return found


def cpu_of(pid: int) -> float:
    """CPU seconds that a process has used so far, all its threads, to the nanosecond.

    The kernel has a clock for each process (clock_getcpuclockid(3)); /proc counts in hundredths of a second.

    Raises:
        ProcessLookupError: There is no such process.
    """
    try:
        return time.clock_gettime((~pid << 3) | 2)
    except OSError as error:
        raise ProcessLookupError(f"process {pid} has ended") from error
