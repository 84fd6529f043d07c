"""Reading a folder of records: what is good is taken, what is bad is named once, what was good is not lost."""

from __future__ import annotations

import json
import logging
import os
from typing import TYPE_CHECKING

import pytest

from resolver.errors import TargetError
from resolver.registry.directory import _QUIET_AFTER_S, _QUIET_TICK_S, _TICK_S, RecordFolder, _Ticks, factory
from resolver.target import Target

if TYPE_CHECKING:
    from pathlib import Path


def write(folder: Path, name: str, address: str, **metadata: str) -> Path:
    file = folder / f"{name}.json"
    temporary = folder / f".{name}.tmp"
    temporary.write_text(json.dumps({"Op": 0, "Addr": address, "Metadata": {"id": name, **metadata}}))
    temporary.replace(file)
    return file


def ids(folder: RecordFolder) -> list[str]:
    return [endpoint.id for endpoint in folder.read()]


def test_records_come_sorted_and_other_files_are_not_looked_at(tmp_path: Path) -> None:
    write(tmp_path, "r2", "127.0.0.1:2")
    write(tmp_path, "r1", "127.0.0.1:1")
    (tmp_path / ".r3.json.77.tmp").write_text("half")
    (tmp_path / "README").write_text("not a record")
    (tmp_path / "folder").mkdir()
    assert ids(RecordFolder(tmp_path)) == ["r1", "r2"]


def test_a_changed_record_is_read_again_and_a_removed_one_is_gone(tmp_path: Path) -> None:
    folder = RecordFolder(tmp_path)
    file = write(tmp_path, "r1", "127.0.0.1:1")
    assert [e.port for e in folder.read()] == [1]
    write(tmp_path, "r1", "127.0.0.1:2")
    assert [e.port for e in folder.read()] == [2]
    file.unlink()
    assert folder.read() == ()


def test_an_unchanged_record_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = RecordFolder(tmp_path)
    write(tmp_path, "r1", "127.0.0.1:1")
    assert ids(folder) == ["r1"]
    monkeypatch.setattr(os, "read", None)  # reading would fail now
    assert ids(folder) == ["r1"]


def test_a_bad_record_is_named_once_and_does_not_hide_the_good(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path, "good", "127.0.0.1:1")
    (tmp_path / "bad.json").write_text("{")
    folder = RecordFolder(tmp_path)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert ids(folder) == ["good"]
    (line,) = caplog.messages
    assert "bad.json" in line
    assert "not JSON" in line
    assert "ignored" in line


def test_a_record_that_is_half_written_keeps_what_it_said_before(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = write(tmp_path, "r1", "127.0.0.1:1")
    folder = RecordFolder(tmp_path)
    folder.read()
    whole = file.read_text()
    file.write_text(whole[: len(whole) // 2])
    with caplog.at_level(logging.WARNING):
        assert ids(folder) == ["r1"]
    assert "127.0.0.1:1, announced by it before, is kept" in caplog.text
    file.write_text(whole.replace(":1", ":2"))
    assert [e.port for e in folder.read()] == [2]


def test_a_symbolic_link_a_pipe_a_folder_and_a_giant_are_refused(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    outside = write(elsewhere, "r1", "127.0.0.1:1")
    records = tmp_path / "records"
    records.mkdir()
    (records / "link.json").symlink_to(outside)
    os.mkfifo(records / "pipe.json")
    (records / "folder.json").mkdir()
    (records / "giant.json").write_bytes(b" " * 100_000)
    with caplog.at_level(logging.WARNING):
        assert RecordFolder(records).read() == ()
    for reason in (
        "link.json: is a symbolic link",
        "pipe.json: is not a regular file",
        "folder.json: is not a regular file",
        "giant.json: larger than 64 KiB",
    ):
        assert reason in caplog.text


def test_a_record_that_may_not_be_read_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, "r1", "127.0.0.1:1")

    def refuse(*_: object) -> int:  # root may read everything, so the kernel's refusal is played
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with caplog.at_level(logging.WARNING):
        assert RecordFolder(tmp_path).read() == ()
    assert "Permission denied" in caplog.text


def test_two_records_for_one_address_are_one_endpoint_and_one_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path, "a", "127.0.0.1:1")
    write(tmp_path, "b", "127.0.0.1:1")
    folder = RecordFolder(tmp_path)
    with caplog.at_level(logging.WARNING):
        assert ids(folder) == ["a"]
        assert ids(folder) == ["a"]
    (line,) = caplog.messages
    assert "b.json" in line
    assert "127.0.0.1:1" in line


def test_a_withdrawn_record_is_no_endpoint(tmp_path: Path) -> None:
    (tmp_path / "r1.json").write_text('{"Op": 1, "Addr": "127.0.0.1:1"}')
    assert RecordFolder(tmp_path).read() == ()


def test_a_folder_that_is_not_there_is_an_error_of_the_folder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        RecordFolder(tmp_path / "nowhere").read()


def test_a_target_that_is_no_absolute_folder_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    for text, says in (
        (f"dir://{file}", "is a file"),
        ("dir:records", "absolute path"),
        ("dir://run/greeter", "three slashes"),
    ):
        with pytest.raises(TargetError, match=says):
            factory(Target.parse(text))


def test_a_quiet_folder_is_looked_at_less_often_until_something_happens() -> None:
    now_s = 100.0
    ticks = _Ticks(lambda: now_s)
    ticks.saw(change=True, told=True)
    assert ticks.next_s() == _TICK_S
    now_s += _QUIET_AFTER_S
    ticks.saw(change=False, told=False)
    assert ticks.next_s() == _QUIET_TICK_S
    ticks.saw(change=False, told=True)  # of something that is no record, but somebody is at work there
    assert ticks.next_s() == _TICK_S


def test_a_folder_of_whose_changes_the_kernel_does_not_tell_is_looked_at_often_for_ever() -> None:
    now_s = 100.0
    ticks = _Ticks(lambda: now_s)
    ticks.saw(change=True, told=True)
    now_s += _QUIET_AFTER_S
    ticks.saw(change=True, told=False)
    now_s += 10 * _QUIET_AFTER_S
    assert ticks.next_s() == _TICK_S
