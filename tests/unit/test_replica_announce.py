"""What a replica announces: addresses, the record, and what of a spec cannot be announced."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import shutil
import socket
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from backends import address
from backends.announce import Record, check, identity, keep
from backends.errors import CannotStart
from backends.spec import ReplicaSpec
from tests.support.eventually import aeventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.mark.parametrize(
    ("advertise", "expected"),
    [
        ("10.0.0.7", "10.0.0.7:4000"),
        ("10.0.0.7:1", "10.0.0.7:1"),
        ("replica-1", "replica-1:4000"),
        ("replica-1.example.org:65535", "replica-1.example.org:65535"),
        ("fd00::7", "[fd00::7]:4000"),
        ("[fd00::7]", "[fd00::7]:4000"),
        ("[fd00::7]:50051", "[fd00::7]:50051"),
    ],
)
def test_advertised_host_takes_the_bound_port_unless_it_names_one(advertise: str, expected: str) -> None:
    assert address.advertised(advertise, 4000) == expected


@pytest.mark.parametrize(
    "advertise",
    [
        "", ":", ":4000", "host:", "host:0", "host:65536", "host:-1", "host:x", "host:\uff11", "a b", "a/b", "dns:///a:1",
        "[fd00::7", "fd00::7]", "[fd00::7]4000", "[fd00::7]:", "[host]:4000", "-host", "host-", "a,b", "hôte",
        "x" * 300,
    ],
)  # fmt: skip
def test_what_is_no_address_is_not_advertised(advertise: str) -> None:
    with pytest.raises(CannotStart, match=r"cannot advertise .*: use host or host:port"):
        address.advertised(advertise, 4000)


@pytest.mark.parametrize("advertise", ["0.0.0.0:4000", "::", "[::]", "[::]:4000"])
def test_wildcard_is_not_advertised(advertise: str) -> None:
    with pytest.raises(CannotStart, match="nobody can connect to it"):
        address.advertised(advertise, 4000)


def test_bound_address_is_its_own_reachable_one() -> None:
    assert [address.reachable(host) for host in ("127.0.0.1", "::1", "10.1.2.3")] == ["127.0.0.1", "::1", "10.1.2.3"]


def test_without_any_route_loopback_is_announced_and_said(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def no_route(*_: object) -> None:
        return None

    def unknown_name(*_: object, **__: object) -> None:
        raise OSError

    monkeypatch.setattr(address, "_source", no_route)
    monkeypatch.setattr(socket, "getaddrinfo", unknown_name)
    assert [address.reachable(host) for host in (_every(4), _every(6))] == ["127.0.0.1", "::1"]
    assert "announcing loopback" in caplog.text


def test_without_a_route_out_the_hosts_own_name_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    def found(*_: object, **__: object) -> list[Any]:
        return [(0, 0, 0, "", (host, 0)) for host in ("127.0.1.1", "169.254.1.1", "10.89.0.5")]

    monkeypatch.setattr(address, "_source", lambda *_: None)
    monkeypatch.setattr(socket, "getaddrinfo", found)
    assert address.reachable(_every(4)) == "10.89.0.5"


def _every(version: int) -> str:
    return "::" if version == 6 else "0.0.0.0"  # noqa: S104 -- nothing is bound here


def test_record_is_grpcs_etcd_json_and_readable_at_every_moment(tmp_path: Path) -> None:
    record = Record(tmp_path, "r1", "127.0.0.1:4000", (("zone", "a"),))
    record.write()
    assert json.loads((tmp_path / "r1.json").read_text()) == {
        "Op": 0,
        "Addr": "127.0.0.1:4000",
        "Metadata": {"id": "r1", "weight": "1", "zone": "a"},
    }
    before = (tmp_path / "r1.json").stat().st_ino
    record.write()
    # Another file under the same name: no reader ever saw it half-written. And nothing else is left there.
    assert (tmp_path / "r1.json").stat().st_ino != before
    assert [path.name for path in tmp_path.iterdir()] == ["r1.json"]


def test_withdrawing_removes_our_record_and_may_be_repeated(tmp_path: Path) -> None:
    record = Record(tmp_path, "r1", "127.0.0.1:4000")
    record.withdraw()
    record.write()
    record.withdraw()
    record.withdraw()
    assert list(tmp_path.iterdir()) == []


def test_successors_record_is_not_withdrawn(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    first, second = (Record(tmp_path, "r1", f"127.0.0.1:{port}") for port in (4000, 4001))
    first.write()
    with caplog.at_level(logging.WARNING):
        second.write()
    assert "replacing another replica's record" in caplog.text
    assert "127.0.0.1:4000" in caplog.text
    first.withdraw()
    assert json.loads((tmp_path / "r1.json").read_text())["Addr"] == "127.0.0.1:4001"


def test_missing_folder_is_made_private_and_a_given_one_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "given").mkdir(mode=0o755)
    for folder in (tmp_path / "new", tmp_path / "given"):
        Record(folder, "r1", "127.0.0.1:4000").write()
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "given").stat().st_mode) == 0o755


def test_folder_that_vanished_is_no_error_when_withdrawing(tmp_path: Path) -> None:
    record = Record(tmp_path / "gone", "r1", "127.0.0.1:4000")
    record.write()
    (tmp_path / "gone" / "r1.json").unlink()
    (tmp_path / "gone").rmdir()
    record.withdraw()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_unwritable_folder_is_told_with_what_to_do(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(CannotStart, match=r"cannot announce in .*: Permission denied; give --registry a folder"):
            Record(tmp_path, "r1", "127.0.0.1:4000").write()
    finally:
        tmp_path.chmod(0o700)


def test_file_in_the_folders_place_is_told_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CannotStart, match=r"cannot announce in .*/file: File exists; give --registry a folder"):
        Record(tmp_path / "file", "r1", "127.0.0.1:4000").write()


def test_failing_to_write_leaves_no_unfinished_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_path: Path, _target: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(CannotStart, match="No space left on device"):
        Record(tmp_path, "r1", "127.0.0.1:4000").write()
    assert list(tmp_path.iterdir()) == []


async def _kept(record: Record, check: Callable[[], None], *, is_ours: Callable[[], bool] = lambda: True) -> None:
    keeping = asyncio.create_task(keep(record, is_ours=is_ours, every_s=0.001))
    try:
        await aeventually(check)
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)


async def test_record_that_somebody_deleted_is_put_back_and_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "registry" / "r1.json"
    record = Record(path.parent, "r1", "127.0.0.1:4000")
    record.write()
    for whole_folder in (False, True):
        caplog.clear()
        if whole_folder:
            shutil.rmtree(path.parent)
        else:
            path.unlink()
        await _kept(record, lambda: _assert_exists(path))
        assert json.loads(path.read_text())["Addr"] == "127.0.0.1:4000"
        assert caplog.text.count("was removed; announced again") == 1


async def test_record_whose_folder_cannot_be_made_waits_for_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "above" / "registry" / "r1.json"
    record = Record(path.parent, "r1", "127.0.0.1:4000")
    record.write()
    shutil.rmtree(tmp_path / "above")

    def told() -> None:
        assert "is gone and cannot be written: No such file or directory" in caplog.text

    async def come_back() -> None:
        await aeventually(told)
        path.parent.mkdir(parents=True)

    coming = asyncio.create_task(come_back())
    await _kept(record, lambda: _assert_exists(path))
    await coming
    assert caplog.text.count("cannot be written") == 1


async def test_record_of_a_successor_is_left_alone(tmp_path: Path) -> None:
    first, second = (Record(tmp_path, "r1", f"127.0.0.1:{port}") for port in (4000, 4001))
    first.write()
    second.write()
    looks = iter(range(10))
    await _kept(first, lambda: _assert_last(looks))
    assert json.loads((tmp_path / "r1.json").read_text())["Addr"] == "127.0.0.1:4001"
    second.withdraw()
    await _kept(first, lambda: _assert_exists(tmp_path / "r1.json"))


async def test_registry_of_another_cluster_gets_no_record(tmp_path: Path) -> None:
    record = Record(tmp_path, "r1", "127.0.0.1:4000")
    asked = iter(range(10))
    done: list[bool] = []

    def is_ours() -> bool:
        done.append(next(asked, None) is None)
        return False

    def asked_enough() -> None:
        assert any(done)

    await _kept(record, asked_enough, is_ours=is_ours)
    assert os.listdir(tmp_path) == []  # noqa: PTH208 -- names only


def test_identity_tells_a_file_from_the_one_that_takes_its_place(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    assert identity(str(path)) is None
    path.touch()
    first = identity(str(path))
    path.rename(tmp_path / "old")
    path.touch()
    assert first is not None
    assert identity(str(path)) not in (None, first)


def _assert_exists(path: Path) -> None:
    assert path.exists()


def _assert_last(numbers: Iterator[int]) -> None:
    assert next(numbers, None) is None


@pytest.mark.parametrize("id", ["r1", "a", "replica-1.blue_2", "x" * 63])
def test_sound_ids_pass(id: str) -> None:
    check(ReplicaSpec(id=id))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        *[
            (ReplicaSpec(id=name), "is no replica id")
            for name in ("", ".", ".r1", "a/b", "../x", "r 1", "r1\n", "é", "x" * 64)
        ],
        (ReplicaSpec(id="r1", port=65536), "port 65536 is not between 0 and 65535"),
        (ReplicaSpec(id="r1", port=-1), "port -1 is not between 0 and 65535"),
        (ReplicaSpec(id="r1", advertise="a b"), "cannot advertise 'a b'"),
        (ReplicaSpec(id="r1", metadata=(("id", "r2"),)), "metadata 'id' cannot be set"),
        (ReplicaSpec(id="r1", metadata=(("", "x"),)), "metadata '' cannot be set"),
        *[
            (ReplicaSpec(id="r1", metadata=(("weight", weight),)), f"metadata weight='{weight}' is no whole number")
            for weight in ("", "0", "-1", "1.5", "x", "4294967296")
        ],
    ],
)
def test_what_cannot_be_announced_is_told_before_anything_is_bound(spec: ReplicaSpec, message: str) -> None:
    with pytest.raises(CannotStart) as error:
        check(spec)
    assert message in str(error.value)
    assert "\n" not in str(error.value)
