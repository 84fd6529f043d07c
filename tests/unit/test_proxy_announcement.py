"""Announcements of proxies: found while their owner holds them, never believed afterwards."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from backends.cluster_errors import StateFolderError
from backends.state import StateFolder
from lb_client.cli.proxy_announcement import Announcement, announced, find_proxy

ONE = Announcement("127.0.0.1:1", "127.0.0.1:2", "dir:///run/one")
TWO = Announcement("127.0.0.1:3", "127.0.0.1:4", "dir:///run/two")


def files() -> list[str]:
    return [path.name for path in StateFolder.of("c").path.glob("proxy*")]


def test_nothing_is_found_where_nothing_is() -> None:
    assert find_proxy("c") is None
    assert not StateFolder.of("c").path.exists()


def test_an_announcement_lasts_as_long_as_its_block() -> None:
    with announced("c", ONE):
        assert find_proxy("c") == ONE
        assert find_proxy("other") is None
    assert find_proxy("c") is None
    assert files() == []


def test_the_last_one_started_is_found_then_the_one_before() -> None:
    with announced("c", ONE):
        with announced("c", TWO):
            first, second = sorted(
                StateFolder.of("c").path.glob("proxy.*"), key=lambda path: ONE.address in path.read_text()
            )
            os.utime(second, ns=(1, 1))
            assert find_proxy("c") == TWO
            assert first.exists()
        assert find_proxy("c") == ONE


def test_what_nobody_holds_is_removed() -> None:
    StateFolder.of("c").prepare()
    stale = StateFolder.of("c").path / "proxy.dead"
    stale.write_text('{"address": "127.0.0.1:9", "l4_address": "", "target": ""}')
    with announced("c", ONE):
        assert find_proxy("c") == ONE
    assert not stale.exists()


def test_one_that_is_not_finished_is_left_alone() -> None:
    StateFolder.of("c").prepare()
    unfinished = StateFolder.of("c").path / "proxy.1234.new"
    unfinished.write_text("")
    assert find_proxy("c") is None
    assert unfinished.exists()


def test_a_folder_that_is_not_ours_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LBDEMO_STATE_DIR", str(tmp_path))
    (tmp_path / "c").mkdir(mode=0o755)
    Path(tmp_path / "c").chmod(0o777)
    with pytest.raises(StateFolderError):
        find_proxy("c")
