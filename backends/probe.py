"""Asks every replica for its own figures, quickly, once for all who want to know at the same time."""

from __future__ import annotations

import asyncio
import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import grpc
import grpc.aio

from protos import cluster_pb2, cluster_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import Mapping

DEADLINE_S = 0.5
TELL_S = 2.0
AT_ONCE = 50

FRESH_S = 0.1
FRESH_S_EACH = 0.005
"""An answer stays good for a tenth of a second, and longer in a big fleet: at most 200 questions a second in all."""

Stats = dict[str, cluster_pb2.ReplicaStats | None]


@dataclass(slots=True)
class _Asked:
    channel: grpc.aio.Channel
    at: float
    answer: asyncio.Task[cluster_pb2.ReplicaStats | None]


class ReplicaProbe:
    """Keeps one channel to each replica it was asked about; leaving the block closes them.

    Not thread-safe: for one event loop.
    """

    def __init__(self) -> None:
        self._asked: dict[str, _Asked] = {}
        self._slots = asyncio.Semaphore(AT_ONCE)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._keep(frozenset())

    async def gather(self, addresses: Mapping[str, str]) -> Stats:
        """The figures of the replicas, id → address in, id → figures out; None for one that was silent too long."""
        fresh_s = max(FRESH_S, FRESH_S_EACH * len(addresses))
        await self._keep(frozenset(addresses.values()))
        answers = [self._ask(address, fresh_s) for address in addresses.values()]
        found = await asyncio.gather(*(asyncio.shield(answer) for answer in answers))
        return dict(zip(addresses, found, strict=True))

    async def rebalance(self, addresses: Mapping[str, str]) -> int:
        """Have these replicas ask their streams to move; returns how many were asked. Who is silent counts none."""
        await self.gather(addresses)  # which opens the channels
        request = cluster_pb2.RebalanceRequest(opened_before_ns=time.monotonic_ns())
        found = await asyncio.gather(*(self._rebalance(self._asked[a].channel, request) for a in addresses.values()))
        return sum(found)

    async def tell(self, address: str, method: str, request: Any) -> str:
        """Have a replica told something; returns "" when it heard, else the end of a sentence about it."""
        if asked := self._asked.get(address):
            asked.at = -math.inf  # what it said before that is old
        # A channel of its own: those of the questions close when a replica drains.
        async with grpc.aio.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)]) as channel:
            try:
                await getattr(cluster_pb2_grpc.ReplicaStub(channel), method)(request, timeout=TELL_S)
            except grpc.aio.AioRpcError as error:
                if error.code() in (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNAVAILABLE):
                    return "does not answer"
                return f"refuses: {error.details()}"
        return ""

    async def _rebalance(self, channel: grpc.aio.Channel, request: cluster_pb2.RebalanceRequest) -> int:
        async with self._slots:
            try:
                stub = cluster_pb2_grpc.ReplicaStub(channel)
                return (await stub.Rebalance(request, timeout=DEADLINE_S)).asked
            except (grpc.aio.AioRpcError, asyncio.CancelledError):  # its channel was closed: the replica left
                return 0

    def _ask(self, address: str, fresh_s: float) -> asyncio.Task[cluster_pb2.ReplicaStats | None]:
        now = time.monotonic()
        asked = self._asked.get(address)
        if asked is None:
            channel = grpc.aio.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)])
            asked = self._asked[address] = _Asked(channel, now, asyncio.create_task(self._call(channel)))
        elif now - asked.at > fresh_s and asked.answer.done():
            asked.at, asked.answer = now, asyncio.create_task(self._call(asked.channel))
        return asked.answer

    async def _call(self, channel: grpc.aio.Channel) -> cluster_pb2.ReplicaStats | None:
        async with self._slots:
            try:
                stub = cluster_pb2_grpc.ReplicaStub(channel)
                return await stub.GetStats(cluster_pb2.GetStatsRequest(), timeout=DEADLINE_S)
            except (grpc.aio.AioRpcError, asyncio.CancelledError):  # its channel was closed: the replica left
                return None

    async def _keep(self, addresses: frozenset[str]) -> None:
        """Close the channels to all other addresses; whoever still waits for their answers gets None."""
        for address in self._asked.keys() - addresses:
            await self._asked.pop(address).channel.close()
