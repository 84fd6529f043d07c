"""The file of shares beside the records: read, refused, kept, and gone."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from resolver.model import Endpoint
from resolver.registry.directory import RecordFolder
from resolver.registry.records import RecordError, parse_record
from resolver.registry.shares import FILE, SharesError, SharesFile, parse_shares, with_share

if TYPE_CHECKING:
    from pathlib import Path


def test_shares_are_percent_by_version() -> None:
    assert parse_shares(b'{"v2": 10, "v3": "0.25"}') == {"v2": "10", "v3": "0.25"}
    assert parse_shares(b"{}") == {}


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"", "not JSON"),
        (b"[1]", "not a JSON object"),
        (b'{"v2": 101}', "the share of 'v2' is 101"),
        (b'{"v2": -1}', "the share of 'v2' is -1"),
        (b'{"v2": null}', "the share of 'v2' is null"),
        (b'{"": 1}', "the share of '' is 1"),
        (b'{"v2": 60, "v3": 50}', "add up to 110 %"),
        (b" " * 70_000, "larger than 64 KiB"),
    ],
)
def test_what_is_no_split_is_refused(raw: bytes, said: str) -> None:
    with pytest.raises(SharesError, match=said):
        parse_shares(raw)


def test_the_file_goes_before_what_a_record_says() -> None:
    endpoint = Endpoint("127.0.0.1", 1, metadata=(("share", "50"), ("version", "v2")))
    assert with_share(endpoint, {"v2": "10"}).share == 10
    assert with_share(endpoint, {"v3": "10"}) is endpoint


def test_a_broken_file_keeps_what_was_and_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = SharesFile(tmp_path)
    assert file.read() == {}
    (tmp_path / FILE).write_text('{"v2": 10}')
    assert file.read() == {"v2": "10"}
    (tmp_path / FILE).write_text('{"v2": 1000}')
    assert [file.read(), file.read()] == [{"v2": "10"}] * 2
    (told,) = caplog.messages
    assert "the share of 'v2' is 1000" in told
    (tmp_path / FILE).write_text('{"v2": 20}')
    assert file.read() == {"v2": "20"}


def test_a_file_that_is_gone_counts_for_two_seconds_more(tmp_path: Path) -> None:
    now = [100.0]
    file = SharesFile(tmp_path, clock=lambda: now[0])
    (tmp_path / FILE).write_text('{"v2": 10}')
    assert file.read() == {"v2": "10"}
    (tmp_path / FILE).unlink()
    assert file.read() == {"v2": "10"}
    now[0] += 1.9
    assert file.read() == {"v2": "10"}
    (tmp_path / FILE).write_text('{"v2": 10}')
    assert file.read() == {"v2": "10"}
    (tmp_path / FILE).unlink()
    now[0] += 1.9
    assert file.read() == {"v2": "10"}
    now[0] += 2.0
    assert file.read() == {}


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_is_no_file_is_no_reason_to_wait(tmp_path: Path, make: object) -> None:
    assert callable(make)
    make(tmp_path / FILE)
    assert SharesFile(tmp_path).read() == {}


def test_records_of_a_folder_carry_the_shares_of_their_versions(tmp_path: Path) -> None:
    for number, version in ((1, "v1"), (2, "v2")):
        record = f'{{"Addr": "127.0.0.1:{number}", "Metadata": {{"id": "r{number}", "version": "{version}"}}}}'
        (tmp_path / f"r{number}.json").write_text(record)
    folder = RecordFolder(tmp_path)
    assert [(each.version, each.share) for each in folder.read()] == [("v1", None), ("v2", None)]
    (tmp_path / FILE).write_text('{"v2": 12.5}')
    assert [(each.version, each.share) for each in folder.read()] == [("v1", None), ("v2", 12.5)]


def test_a_record_may_say_its_versions_share_itself() -> None:
    found = parse_record(b'{"Addr": "127.0.0.1:1", "Metadata": {"version": "v2", "share": 10}}')
    assert found is not None
    assert (found.version, found.share) == ("v2", 10.0)
    with pytest.raises(RecordError, match="share '200' is not a percentage"):
        parse_record(b'{"Addr": "127.0.0.1:1", "Metadata": {"version": "v2", "share": "200"}}')
    with pytest.raises(RecordError, match="version"):
        parse_record(b'{"Addr": "127.0.0.1:1", "Metadata": {"version": "\\u001b[2J"}}')
