"""What a replica writes down of calls that ask for it: every kind of end, retries, streams; and nothing of others."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio
import pytest

from backends import journal_files
from backends.journal import Outcome
from backends.replica import Replica
from backends.spec import ReplicaSpec
from tests.support.bytes_method import bytes_method
from tests.support.eventually import aeventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

RUN = "00112233445566778899aabbccddeeff"
STATUS = grpc.StatusCode


class Servicer:
    """Does what the request says; fails `flaky` calls until they were tried twice before."""

    async def act(self, request: bytes, context: Any) -> bytes:
        tried = dict(context.invocation_metadata()).get("grpc-previous-rpc-attempts", "0")
        if request == b"flaky" and int(tried) < 2:
            await context.abort(STATUS.UNAVAILABLE, "not yet")
        if request == b"abort":
            await context.abort(STATUS.ABORTED, "no")
        if request == b"code":
            context.set_code(STATUS.NOT_FOUND)
        if request == b"raise":
            raise RuntimeError("boom")
        if request == b"hang":
            await asyncio.Event().wait()
        return b"done"

    async def stream(self, requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        async for request in requests:
            yield await self.act(request, context)


def register(server: grpc.aio.Server) -> None:
    servicer = Servicer()
    handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
        "Act": grpc.unary_unary_rpc_method_handler(servicer.act),
        "Stream": grpc.stream_stream_rpc_method_handler(servicer.stream),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Journal", handlers),))


@pytest.fixture
async def replica(tmp_path: Path) -> AsyncIterator[Replica]:
    spec = ReplicaSpec(id="r1", service=f"{__name__}:register", journals=str(tmp_path / "journals"))
    async with Replica(spec) as replica:
        yield replica


def marks(call: int) -> tuple[tuple[str, str], ...]:
    return (("lbdemo-run", RUN), ("lbdemo-call", str(call)))


def written(tmp_path: Path) -> list[tuple[int, int, Outcome]]:
    found = journal_files.read(tmp_path / "journals", RUN)
    return [(call, earlier, Outcome(outcome)) for file in found for call, earlier, outcome, _ in file.entries]


async def test_every_end_of_a_call_is_written_down(
    replica: Replica, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("CRITICAL", logger="grpc._cython.cygrpc")
    requests = (b"well", b"abort", b"code", b"raise", b"hang")
    async with grpc.aio.insecure_channel(replica.address) as channel:
        call = bytes_method(channel, "/test.Journal/Act")
        codes = []
        for number, request in enumerate(requests, 1):
            try:
                await call(request, metadata=marks(number), timeout=0.2 if request == b"hang" else 5)
                codes.append(STATUS.OK)
            except grpc.aio.AioRpcError as error:
                codes.append(error.code())
    assert codes == [STATUS.OK, STATUS.ABORTED, STATUS.NOT_FOUND, STATUS.UNKNOWN, STATUS.DEADLINE_EXCEEDED]
    ends = (Outcome.ANSWERED, Outcome.ERROR, Outcome.ERROR, Outcome.ERROR, Outcome.CANCELLED)
    await aeventually(lambda: _equal(written(tmp_path), [(n, 0, end) for n, end in enumerate(ends, 1)]))


def _equal(found: object, expected: object) -> None:
    assert found == expected


async def test_each_attempt_of_a_retried_call_is_written_down(replica: Replica, tmp_path: Path) -> None:
    retry = {"maxAttempts": 4, "initialBackoff": "0.01s", "maxBackoff": "0.01s", "backoffMultiplier": 1}
    policy = {"name": [{}], "retryPolicy": {**retry, "retryableStatusCodes": ["UNAVAILABLE"]}}
    options = [("grpc.service_config", json.dumps({"methodConfig": [policy]}))]
    async with grpc.aio.insecure_channel(replica.address, options) as channel:
        rpc = bytes_method(channel, "/test.Journal/Act")(b"flaky", metadata=marks(9), timeout=5)
        assert await rpc == b"done"
        trailing = await rpc.trailing_metadata()
    assert trailing.get("lbdemo-previous-attempts") == "2"
    expected = [(9, 0, Outcome.ERROR), (9, 1, Outcome.ERROR), (9, 2, Outcome.ANSWERED)]
    await aeventually(lambda: _equal(written(tmp_path), expected))


async def test_a_stream_is_one_attempt_and_answers_as_ever(replica: Replica, tmp_path: Path) -> None:
    async with grpc.aio.insecure_channel(replica.address) as channel:
        rpc = bytes_method(channel, "/test.Journal/Stream", "stream_stream")(
            iter([b"a", b"b"]), metadata=marks(3), timeout=5
        )
        assert [message async for message in rpc] == [b"done", b"done"]
        assert (await rpc.trailing_metadata()).get("lbdemo-replica") == "r1"
    assert written(tmp_path) == [(3, 0, Outcome.ANSWERED)]
    assert replica.calls == 1


async def test_a_method_that_nobody_serves_is_an_error_of_an_attempt(replica: Replica, tmp_path: Path) -> None:
    async with grpc.aio.insecure_channel(replica.address) as channel:
        with pytest.raises(grpc.aio.AioRpcError):
            await bytes_method(channel, "/test.Journal/Nothing")(b"", metadata=marks(1), timeout=5)
    await aeventually(lambda: _equal(written(tmp_path), [(1, 0, Outcome.ERROR)]))


async def test_who_does_not_ask_leaves_no_file(replica: Replica, tmp_path: Path) -> None:
    async with grpc.aio.insecure_channel(replica.address) as channel:
        call = bytes_method(channel, "/test.Journal/Act")
        for metadata in ((), (("lbdemo-call", "1"),), (("lbdemo-run", "../x"), ("lbdemo-call", "1"))):
            assert await call(b"well", metadata=metadata, timeout=5) == b"done"
    assert not (tmp_path / "journals").exists()


async def test_a_folder_that_cannot_be_made_costs_no_call(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    spec = ReplicaSpec(id="r1", service=f"{__name__}:register", journals=str(tmp_path / "taken"))
    async with Replica(spec) as replica, grpc.aio.insecure_channel(replica.address) as channel:
        for number in (1, 2):
            assert (
                await bytes_method(channel, "/test.Journal/Act")(b"well", metadata=marks(number), timeout=5) == b"done"
            )
