"""`dir:` on a real folder: what happens in it reaches a watcher, and a channel, at once."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING

import grpc
import pytest

import lb_client
import resolver
from resolver.registry import directory
from resolver.target import Target
from tests.support.backend import Backend, assert_round_robin, who
from tests.support.eventually import aeventually, eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


def announce(where: Path, name: str, address: str) -> None:
    temporary = where / f".{name}.json.tmp"
    temporary.write_text(json.dumps({"Op": 0, "Addr": address, "Metadata": {"id": name}}))
    temporary.replace(where / f"{name}.json")


class Watched:
    """Everything that a watcher on a folder has yielded: the ids of each set."""

    def __init__(self, where: Path) -> None:
        self.sets: list[list[str]] = []
        self._watcher = directory.factory(Target.parse(f"dir://{where}"))
        self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        async with aclosing(self._watcher) as watcher:
            async for endpoints in watcher:
                self.sets.append(sorted(endpoint.id for endpoint in endpoints))

    async def ends_with(self, ids: list[str], *, within_s: float = 5.0) -> None:
        def check() -> None:
            assert self.sets
            assert self.sets[-1] == ids

        await aeventually(check, within_s=within_s)

    async def close(self) -> None:
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task


@pytest.fixture(params=["told by the kernel", "looking again"])
async def watched(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Watched]:
    if request.param == "looking again":
        monkeypatch.setattr(sys, "platform", "elsewhere")
    elif sys.platform != "linux":
        pytest.skip("inotify is Linux's")
    watched = Watched(tmp_path / "records")
    yield watched
    await watched.close()


async def test_records_that_come_change_and_go_are_seen(watched: Watched, tmp_path: Path) -> None:
    records = tmp_path / "records"
    await watched.ends_with([])
    records.mkdir()
    announce(records, "r1", "127.0.0.1:1")
    await watched.ends_with(["r1"])
    announce(records, "r2", "127.0.0.1:2")
    await watched.ends_with(["r1", "r2"])
    (records / "r1.json").unlink()
    await watched.ends_with(["r2"])
    (records / "r2.json").unlink()
    await watched.ends_with([])


async def test_a_folder_that_vanishes_keeps_the_last_set_and_says_so(
    watched: Watched, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    records = tmp_path / "records"
    records.mkdir()
    announce(records, "r1", "127.0.0.1:1")
    await watched.ends_with(["r1"])
    with caplog.at_level(logging.INFO):
        records.rename(tmp_path / "away")
        await aeventually(lambda: _contains(caplog, "the last 1 endpoints stay in force"))
        announce(tmp_path / "away", "r2", "127.0.0.1:2")
        assert watched.sets[-1] == ["r1"]
        (tmp_path / "away").rename(records)
        await watched.ends_with(["r1", "r2"])
        await aeventually(lambda: _contains(caplog, "is there"))


async def test_a_folder_that_is_removed_with_its_records_keeps_them_until_it_is_filled_again(
    watched: Watched, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    records = tmp_path / "records"
    ids = [f"r{n}" for n in range(1, 6)]
    records.mkdir()
    for n, name in enumerate(ids, start=1):
        announce(records, name, f"127.0.0.1:{n}")
    await watched.ends_with(ids)
    known = len(watched.sets)
    with caplog.at_level(logging.INFO):
        first, *others = records.iterdir()
        first.unlink()
        await asyncio.sleep(0.002)  # as `rm -r` does it, slowly enough for a watcher to see it happen
        for path in others:
            path.unlink()
        records.rmdir()
        await aeventually(lambda: _contains(caplog, "the last 5 endpoints stay in force"))
        records.mkdir()
        await aeventually(lambda: _contains(caplog, "is there"))
        for n, name in enumerate(ids[:-1], start=1):
            announce(records, name, f"127.0.0.1:{n}")
            await asyncio.sleep(0.05)
        assert watched.sets[known:] == []
        await watched.ends_with(ids[:-1])  # who does not come back has left
    assert caplog.text.count("stay in force") == 1
    announce(records, "r6", "127.0.0.1:6")
    await watched.ends_with([*ids[:-1], "r6"])


async def test_a_folder_that_is_replaced_is_followed_by_its_name(watched: Watched, tmp_path: Path) -> None:
    records = tmp_path / "records"
    records.mkdir()
    announce(records, "r1", "127.0.0.1:1")
    await watched.ends_with(["r1"])
    successor = tmp_path / "successor"
    successor.mkdir()
    announce(successor, "r2", "127.0.0.1:2")
    records.rename(tmp_path / "old")
    successor.rename(records)
    await watched.ends_with(["r2"])
    announce(records, "r3", "127.0.0.1:3")
    await watched.ends_with(["r2", "r3"])


async def test_a_record_written_in_two_halves_counts_when_it_is_whole(watched: Watched, tmp_path: Path) -> None:
    records = tmp_path / "records"
    records.mkdir()
    await watched.ends_with([])
    whole = json.dumps({"Op": 0, "Addr": "127.0.0.1:1", "Metadata": {"id": "r1"}})
    with (records / "r1.json").open("w") as file:
        file.write(whole[:20])
        file.flush()
        announce(records, "r2", "127.0.0.1:2")
        await watched.ends_with(["r2"])
        file.write(whole[20:])
    await watched.ends_with(["r1", "r2"])


async def test_a_burst_of_writes_ends_in_the_right_set(watched: Watched, tmp_path: Path) -> None:
    records = tmp_path / "records"
    records.mkdir()
    for n in range(300):
        announce(records, f"r{n:03}", f"127.0.0.1:{n + 1}")
        if n % 3:
            (records / f"r{n:03}.json").unlink()
    await watched.ends_with([f"r{n:03}" for n in range(0, 300, 3)])


async def test_a_record_of_which_the_kernel_does_not_tell_is_found_all_the_same(
    watched: Watched, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(directory, "_QUIET_AFTER_S", 0.0)
    records = tmp_path / "records"
    records.mkdir()
    await watched.ends_with([])
    # The kernel tells when a writer closes its file. This one does not.
    with (records / "r1.json").open("w") as file:
        file.write(json.dumps({"Op": 0, "Addr": "127.0.0.1:1", "Metadata": {"id": "r1"}}))
        file.flush()
        await watched.ends_with(["r1"])


def test_a_record_in_a_folder_reaches_a_live_channel(tmp_path: Path) -> None:
    with (
        Backend("r1") as r1,
        Backend("r2") as r2,
        lb_client.insecure_channel(f"dir://{tmp_path}") as channel,
    ):
        announce(tmp_path, "r1", r1.address)
        eventually(lambda: _answers(channel, ["r1"]))
        announce(tmp_path, "r2", r2.address)
        eventually(lambda: _answers(channel, ["r1", "r2"]))
        (tmp_path / "r1.json").unlink()
        eventually(lambda: _answers(channel, ["r2"]))


def test_ids_of_records_come_with_the_snapshot(tmp_path: Path) -> None:
    seen: list[resolver.Snapshot] = []
    with Backend("r1") as r1, resolver.watch(f"dir://{tmp_path}", seen.append):
        announce(tmp_path, "r1", r1.address)

        def check() -> None:
            assert [e.id for e in seen[-1].endpoints if e.health.takes_calls] == ["r1"]

        eventually(lambda: _not_empty(seen))
        eventually(check)


def _contains(caplog: pytest.LogCaptureFixture, text: str) -> None:
    assert text in caplog.text


def _not_empty(seen: list[resolver.Snapshot]) -> None:
    assert seen


def _answers(channel: grpc.Channel, names: list[str]) -> None:
    try:
        answers = who(channel, 2 * len(names))
    except grpc.RpcError as error:
        raise AssertionError(error) from None
    assert_round_robin(answers, names)
