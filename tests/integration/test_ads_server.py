"""The ADS server over a real gRPC stream, spoken to by hand: what a well-behaved client never does included."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio
import pytest
from envoy.config.endpoint.v3 import endpoint_pb2
from envoy.service.discovery.v3 import ads_pb2_grpc, discovery_pb2

from lb_client.history.sightings import Rejections
from resolver.model import Endpoint, Health, Snapshot
from resolver.policy import PickFirst, RoundRobin
from resolver.snapshots import next_version
from resolver.xds.resources import CLUSTER, ENDPOINTS, LISTENER, name
from resolver.xds.server import AdsServer
from resolver.xds.store import ResourceStore
from tests.support.eventually import aeventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from lb_client.history.happenings import Happening


def snapshot(*ports: int) -> Snapshot:
    return Snapshot(tuple(Endpoint("127.0.0.1", port, health=Health.HEALTHY) for port in ports), next_version())


class Conversation:
    """One stream, its requests written and its responses read by the test."""

    def __init__(self, call: Any) -> None:
        self._call = call

    async def ask(self, type_url: str, *names: str, nonce: str = "", error: str = "") -> None:
        request = discovery_pb2.DiscoveryRequest(type_url=type_url, resource_names=names, response_nonce=nonce)
        if error:
            request.error_detail.message = error
        await self._call.write(request)

    async def answer(self) -> Any:
        return await asyncio.wait_for(self._call.read(), 5)

    async def silence(self) -> None:
        """Nothing comes: shown by asking for something else, which is answered next."""
        await self.ask(LISTENER, "probe")
        response = await self.answer()
        assert response.type_url == LISTENER
        await self.ask(LISTENER, nonce=response.nonce)

    async def half_close(self) -> None:
        await self._call.done_writing()


class Lab:
    def __init__(self) -> None:
        self.store = ResourceStore()
        self.ended = 0
        self.ads = AdsServer(self.store, stream_ended=self._stream_ended)

    def _stream_ended(self) -> None:
        self.ended += 1

    def put(self, key: str, *ports: int) -> None:
        self.store.put_snapshot(key, snapshot(*ports))
        self.ads.changed()

    @asynccontextmanager
    async def conversation(self) -> AsyncIterator[Conversation]:
        async with grpc.aio.insecure_channel(self.address) as channel:
            call = ads_pb2_grpc.AggregatedDiscoveryServiceStub(channel).StreamAggregatedResources()
            try:
                yield Conversation(call)
            finally:
                call.cancel()

    address: str


@pytest.fixture
async def lab() -> AsyncIterator[Lab]:
    lab = Lab()
    server = grpc.aio.server(options=(("grpc.so_reuseport", 0),))
    lab.ads.add_to(server)
    lab.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    yield lab
    await server.stop(None)


def ports(response: Any) -> list[int]:
    assignment = endpoint_pb2.ClusterLoadAssignment.FromString(response.resources[0].value)
    return [e.endpoint.address.socket_address.port_value for e in assignment.endpoints[0].lb_endpoints]


async def test_a_subscription_is_answered_and_followed(lab: Lab) -> None:
    lab.put("a", 1)
    async with lab.conversation() as stream:
        await stream.ask(ENDPOINTS, name(ENDPOINTS, "a"))
        first = await stream.answer()
        assert ports(first) == [1]
        lab.put("a", 1, 2)
        second = await stream.answer()
        assert ports(second) == [1, 2]
        assert second.version_info != first.version_info
        assert second.nonce != first.nonce


async def test_services_are_told_with_their_policy(lab: Lab) -> None:
    lab.store.put_service("even", "a", RoundRobin())
    lab.store.put_service("first", "a", PickFirst())
    async with lab.conversation() as stream:
        await stream.ask(CLUSTER)
        assert len((await stream.answer()).resources) == 2


async def test_a_rejection_is_logged_once_and_not_repeated(lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    lab.put("a", 1)
    async with lab.conversation() as stream:
        await stream.ask(ENDPOINTS, name(ENDPOINTS, "a"))
        first = await stream.answer()
        seen: list[Happening] = []
        with caplog.at_level(logging.ERROR), Rejections(seen):
            for _ in range(3):
                await stream.ask(ENDPOINTS, name(ENDPOINTS, "a"), nonce=first.nonce, error="no such port")
            await stream.silence()
        assert [(event.kind, event.detail) for event in seen] == [("nack", caplog.messages[0])]
        (line,) = [record.getMessage() for record in caplog.records]
        assert "no such port" in line
        assert first.version_info in line
        lab.put("a", 2)
        assert ports(await stream.answer()) == [2]


async def test_streams_are_told_apart(lab: Lab) -> None:
    lab.put("a", 1)
    lab.put("b", 2)
    async with lab.conversation() as one, lab.conversation() as other:
        await one.ask(ENDPOINTS, name(ENDPOINTS, "a"))
        await other.ask(ENDPOINTS, name(ENDPOINTS, "b"))
        assert ports(await one.answer()) == [1]
        assert ports(await other.answer()) == [2]
        lab.put("b", 3)
        assert ports(await other.answer()) == [3]
        await one.silence()
        assert lab.ads.streams == 2
    await aeventually(lambda: _equal(lab.ads.streams, 0))
    assert lab.ended == 2


async def test_a_client_that_half_closes_ends_its_stream(lab: Lab) -> None:
    async with lab.conversation() as stream:
        await stream.ask(ENDPOINTS, "x")
        await stream.half_close()
        assert await stream.answer() is grpc.aio.EOF
        await aeventually(lambda: _equal(lab.ads.streams, 0))


async def test_a_client_that_does_not_read_holds_up_nobody(lab: Lab) -> None:
    many = range(1, 3001)
    lab.put("a", *many)
    async with lab.conversation() as lazy, lab.conversation() as eager:
        await lazy.ask(ENDPOINTS, name(ENDPOINTS, "a"))
        await eager.ask(ENDPOINTS, name(ENDPOINTS, "a"))
        for last in range(3001, 3041):
            assert len(ports(await eager.answer())) == 3000
            lab.put("a", *range(2, 3000), last, last + 1)
        # What the lazy one reads in the end is the present, after what was on its way.
        newest: list[int] = []
        while 3041 not in newest:
            newest = ports(await lazy.answer())


def _equal(value: object, expected: object) -> None:
    assert value == expected
