from __future__ import annotations

from typing import TYPE_CHECKING

from backends import logbook
from backends.logbook import LogFollower, LogLine

if TYPE_CHECKING:
    from pathlib import Path


def _add(folder: Path, source: str, text: str) -> None:
    with (folder / f"{source}.log").open("a") as file:
        file.write(text)


def test_sources_come_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for name in ("r10", "r2", "supervisor", "r1"):
        _add(tmp_path, name, "")
    (tmp_path / "r1.log.1").touch()
    assert logbook.sources(tmp_path) == ("supervisor", "r1", "r2", "r10")


def test_no_folder_has_no_sources(tmp_path: Path) -> None:
    assert logbook.sources(tmp_path / "none") == ()


def test_last_lines_are_the_last(tmp_path: Path) -> None:
    _add(tmp_path, "r1", "a\nb\nc\n")
    path = tmp_path / "r1.log"
    assert [line.text for line in logbook.last_lines(path, "r1", 2)] == ["b", "c"]
    assert [line.text for line in logbook.last_lines(path, "r1", None)] == ["a", "b", "c"]
    assert logbook.last_lines(path, "r1", 0) == []


def test_follower_gives_old_lines_once_then_new_ones(tmp_path: Path) -> None:
    _add(tmp_path, "r1", "old\nolder\n")
    with LogFollower(tmp_path, tail=1) as follower:
        assert follower.poll() == [LogLine("r1", "older")]
        assert follower.poll() == []
        _add(tmp_path, "r1", "new\n")
        assert follower.poll() == [LogLine("r1", "new")]


def test_follower_waits_for_the_end_of_a_line(tmp_path: Path) -> None:
    with LogFollower(tmp_path) as follower:
        _add(tmp_path, "r1", "hal")
        assert follower.poll() == []
        _add(tmp_path, "r1", "f\n")
        assert follower.poll() == [LogLine("r1", "half")]


def test_follower_sees_new_replicas_from_their_first_line(tmp_path: Path) -> None:
    with LogFollower(tmp_path, tail=0) as follower:
        _add(tmp_path, "r7", "hello\n")
        assert follower.poll() == [LogLine("r7", "hello")]


def test_follower_of_some_passes_over_the_others(tmp_path: Path) -> None:
    with LogFollower(tmp_path, only=frozenset({"r2"})) as follower:
        _add(tmp_path, "r1", "no\n")
        _add(tmp_path, "r2", "yes\n")
        assert follower.poll() == [LogLine("r2", "yes")]


def test_follower_survives_a_log_put_aside(tmp_path: Path) -> None:
    _add(tmp_path, "r1", "a\n")
    with LogFollower(tmp_path, tail=0) as follower:
        _add(tmp_path, "r1", "last\n")
        (tmp_path / "r1.log").rename(tmp_path / "r1.log.1")
        _add(tmp_path, "r1", "first\n")
        assert [line.text for line in follower.poll()] == ["last", "first"]


def test_follower_survives_a_log_cut_short(tmp_path: Path) -> None:
    _add(tmp_path, "r1", "a long line\n")
    with LogFollower(tmp_path, tail=0) as follower:
        follower.poll()
        (tmp_path / "r1.log").write_text("b\n")
        assert [line.text for line in follower.poll()] == ["b"]


def test_endless_line_is_shown_in_pieces(tmp_path: Path) -> None:
    with LogFollower(tmp_path) as follower:
        _add(tmp_path, "r1", "x" * (logbook.LINE_MAX + 1))
        assert [len(line.text) for line in follower.poll()] == [logbook.LINE_MAX + 1]


def test_bytes_that_are_no_text_are_replaced(tmp_path: Path) -> None:
    (tmp_path / "r1.log").write_bytes(b"\xff\r\n")
    assert logbook.last_lines(tmp_path / "r1.log", "r1", None) == [LogLine("r1", "\ufffd")]
