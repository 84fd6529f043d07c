"""Who else can tell of a run of `lbdemo call`: the cluster, of its events and of what its replicas wrote down."""

from __future__ import annotations

import asyncio
import contextlib
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lb_client.history.happenings import Happening, told
from lb_client.history.recording import NOBODY_TOLD, Told
from lb_client.ledger.journals import Journals, ProcessJournal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from backends.state import StateFolder

ANSWER_S = 5.0


def cluster_behind(target: str, cluster: str | None) -> StateFolder | None:
    """The folder of the cluster that runs behind a target; None where there is none that is ours to ask."""
    from backends.cluster_errors import StateFolderError  # noqa: PLC0415 -- help needs none of it
    from backends.state import StateFolder  # noqa: PLC0415 -- the same
    from resolver.registry.directory import folder_of  # noqa: PLC0415 -- the same

    try:
        if cluster is not None:
            return StateFolder.of(cluster)
        records = folder_of(target) if target.startswith("dir:") else None
        if records is None or not records.parent.joinpath("cluster.sock").exists():
            return None
        folder = StateFolder(records.parent.name, Path(records.parent))
        folder.check()
    except StateFolderError:
        return None
    return folder


async def ask_cluster(folder: StateFolder, run: str | None) -> Told:
    """What the cluster says: its events as far as it remembers, and the journals of a run, which it then forgets.

    A cluster that does not answer is a gap in the ledger, and no error.
    """
    import grpc.aio  # noqa: PLC0415 -- help needs none of it

    from protos import cluster_pb2_grpc  # noqa: PLC0415 -- the same

    async with grpc.aio.insecure_channel(folder.socket_target, [("grpc.enable_http_proxy", 0)]) as channel:
        stub: Any = cluster_pb2_grpc.ClusterStub(channel)
        try:
            events = await _events(stub)
        except grpc.aio.AioRpcError:
            events = ()
        if run is None:
            return Told(events)
        try:
            return Told(events, await _journals(stub, run))
        except grpc.aio.AioRpcError as error:
            why = " ".join((error.details() or error.code().name).split())
            return Told(events, Journals(missing=f"the cluster does not tell what its replicas wrote down: {why}"))


@asynccontextmanager
async def hearing(folder: StateFolder | None, heard: list[Happening]) -> AsyncIterator[None]:
    """In the block, what the cluster says is added to `heard` as it happens. One that does not answer says nothing."""
    if folder is None:
        yield
        return
    import grpc.aio  # noqa: PLC0415 -- help needs none of it

    from protos import cluster_pb2, cluster_pb2_grpc  # noqa: PLC0415 -- the same

    async def follow(stub: Any) -> None:
        with contextlib.suppress(grpc.aio.AioRpcError):
            async for event in stub.WatchEvents(cluster_pb2.WatchEventsRequest(only_new=True)):
                heard.append(happening_of(event))  # noqa: PERF401 -- one by one, as they come

    async with grpc.aio.insecure_channel(folder.socket_target, [("grpc.enable_http_proxy", 0)]) as channel:
        following = asyncio.create_task(follow(cluster_pb2_grpc.ClusterStub(channel)))
        try:
            yield
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)


def nobody_to_ask(run: str | None) -> Told:
    """What is told where there is no cluster."""
    if run is None:
        return NOBODY_TOLD
    return Told((), Journals(missing="these servers keep no journal that this client can ask for"))


async def _events(stub: Any) -> tuple[Happening, ...]:
    from protos import cluster_pb2  # noqa: PLC0415 -- as above

    request = cluster_pb2.WatchEventsRequest(no_wait=True)
    return tuple([happening_of(event) async for event in stub.WatchEvents(request, timeout=ANSWER_S)])


def happening_of(event: Any) -> Happening:
    """A ClusterEvent as a happening."""
    return told(event.at_s, event.kind, event.replica, event.address, event.detail)


async def _journals(stub: Any, run: str) -> Journals:
    from protos import cluster_pb2  # noqa: PLC0415 -- as above

    status = await stub.GetStatus(cluster_pb2.GetStatusRequest(), timeout=ANSWER_S)
    alive = {replica.pid for replica in status.replicas if replica.pid}
    found: dict[tuple[str, int], ProcessJournal] = {}
    async for part in stub.GetLedger(cluster_pb2.GetLedgerRequest(run=run, over=True), timeout=6 * ANSWER_S):
        journal = found.setdefault((part.replica, part.pid), ProcessJournal(part.replica, part.pid))
        journal.alive = part.pid in alive
        journal.full = journal.full or part.full
        for entry in part.entries:
            journal.add(entry.call, entry.previous_attempts, entry.outcome, entry.begin_s)
    missing = "" if found else "the replicas wrote nothing down"
    return Journals(tuple(found.values()), missing)
