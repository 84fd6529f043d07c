"""A write that comes too late leaves the end of the call as it is, which gRPC's own does not."""

from __future__ import annotations

import grpc
import grpc.aio

from backends.replica import Replica
from backends.spec import ReplicaSpec
from lb_client.writing import closed, wrote
from protos import conversation_pb2, conversation_pb2_grpc
from tests.support.eventually import aeventually

Line = conversation_pb2.Line
SPEC = ReplicaSpec(id="r1", linger_s=0)


async def test_answers_and_status_survive_a_write_that_came_too_late() -> None:
    async with (
        Replica(ReplicaSpec(id="r1", linger_s=0)) as replica,
        grpc.aio.insecure_channel(replica.address) as channel,
    ):
        stub = conversation_pb2_grpc.ConversationStub(channel)
        call = stub.ServerCloses(timeout=20)
        assert await wrote(call, Line(conversation="c", number=1, count=1))

        async def refused() -> None:
            assert not await wrote(call, Line(number=2))

        # The server has ended the call, and nobody has read its answer yet.
        await aeventually(refused)
        await closed(call)
        assert await call.read() == Line(conversation="c", number=1)
        assert await call.read() is grpc.aio.EOF
        assert await call.code() is grpc.StatusCode.OK


async def test_write_to_a_call_that_is_over_is_no_error() -> None:
    async with (
        Replica(ReplicaSpec(id="r1", linger_s=0)) as replica,
        grpc.aio.insecure_channel(replica.address) as channel,
    ):
        call = conversation_pb2_grpc.ConversationStub(channel).PingPong(timeout=20)
        assert await wrote(call, Line(number=1))
        assert await call.read() == Line(number=1)
        call.cancel()
        assert not await wrote(call, Line(number=2))
        await closed(call)
        assert await call.code() is grpc.StatusCode.CANCELLED
