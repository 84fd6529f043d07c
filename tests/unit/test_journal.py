from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from backends import journal_files
from backends.journal import MOST_RUNS, Journal, Outcome

RUN = "0123456789abcdef"
KILLED = """
import pathlib, sys, time
from backends.journal import Journal, Outcome
journal = Journal(pathlib.Path(sys.argv[1]), "r7")
answered, _ = journal.begin(sys.argv[2], "1", ""), journal.begin(sys.argv[2], "2", "")
answered.end(Outcome.ANSWERED)
print("written", flush=True)
time.sleep(60)
"""


def entries(folder: Path, run: str = RUN) -> list[tuple[int, int, int]]:
    return [entry[:3] for found in journal_files.read(folder, run) for entry in found.entries]


def test_an_attempt_is_there_as_soon_as_it_came_and_so_is_its_outcome(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journals", "r1")
    before = time.monotonic()
    first, second = journal.begin(RUN, "1", ""), journal.begin(RUN, "2", "3")
    assert first is not None
    assert second is not None
    assert entries(tmp_path / "journals") == [(1, 0, Outcome.OPEN), (2, 3, Outcome.OPEN)]
    second.end(Outcome.ANSWERED)
    first.end(Outcome.CANCELLED)
    assert entries(tmp_path / "journals") == [(1, 0, Outcome.CANCELLED), (2, 3, Outcome.ANSWERED)]
    (found,) = journal_files.read(tmp_path / "journals", RUN)
    assert (found.replica, found.pid, found.full) == ("r1", os.getpid(), False)
    assert before <= found.entries[0][3] <= found.entries[1][3] <= time.monotonic()


def test_nothing_is_made_before_the_first_call(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journals", "r1")
    for run, call in (("../../etc", "1"), ("", "1"), ("x" * 16, "1"), (RUN.upper(), "1")):
        assert journal.begin(run, call, "") is None
    assert not (tmp_path / "journals").exists()


@pytest.mark.parametrize("call", ["", "0", "-1", "1e3", "²", "4294967296", "9" * 5000])
def test_what_is_no_number_of_a_call_is_not_written_down(tmp_path: Path, call: str) -> None:
    assert Journal(tmp_path, "r1").begin(RUN, call, "") is None
    assert entries(tmp_path) == []


def test_a_full_journal_says_so_and_keeps_what_it_has(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "r1", most=3)
    assert [journal.begin(RUN, str(call), "") is not None for call in range(1, 6)] == [True, True, True, False, False]
    (found,) = journal_files.read(tmp_path, RUN)
    assert found.full
    assert [entry[0] for entry in found.entries] == [1, 2, 3]


def test_a_disk_without_room_costs_entries_and_no_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(tmp_path, "r1")
    assert journal.begin(RUN, "1", "") is not None

    def no_room(_fd: int, _offset: int, _length: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", no_room)
    kept = [call for call in range(2, 6000) if journal.begin(RUN, str(call), "") is not None]
    assert kept == list(range(2, 4096))
    (found,) = journal_files.read(tmp_path, RUN)
    assert found.full
    assert len(found.entries) == 4095
    assert journal.begin("f" * 16, "1", "") is None


def test_a_long_journal_grows_and_is_read_whole(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "r1")
    for call in range(1, 20_001):
        entry = journal.begin(RUN, str(call), "")
        assert entry is not None
        entry.end(Outcome.ANSWERED)
    assert entries(tmp_path) == [(call, 0, 1) for call in range(1, 20_001)]


def test_a_journal_is_handed_on_in_pieces_and_never_all_at_once(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "r1")
    journal.begin(RUN, "", "")
    (found,) = journal_files.read(tmp_path, RUN)
    assert list(found.pieces(3)) == [[]]  # it is there, and has nothing yet
    for call in range(1, 8):
        journal.begin(RUN, str(call), "")
    (found,) = journal_files.read(tmp_path, RUN)
    assert [[entry[0] for entry in piece] for piece in found.pieces(3)] == [[1, 2, 3], [4, 5, 6], [7]]


def test_a_ninth_run_takes_the_place_of_the_oldest(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "r1")
    runs = [f"{number:016x}" for number in range(1, MOST_RUNS + 2)]
    for number, run in enumerate(runs):
        assert journal.begin(run, "1", "") is not None
        os.utime(tmp_path / run, ns=(number, number))
    assert sorted(path.name for path in tmp_path.iterdir()) == runs[1:]


def test_a_long_run_outlives_many_short_ones_that_nobody_asks_for(tmp_path: Path) -> None:
    journal, long = Journal(tmp_path, "r1"), "a" * 16
    for number in range(1, 3 * MOST_RUNS):
        assert journal.begin(long, str(number), "") is not None
        os.utime(tmp_path / long, ns=(1, 1))  # it began before all of them
        assert journal.begin(f"{number:016x}", "1", "") is not None
    assert [entry[0] for entry in entries(tmp_path, long)] == list(range(1, 3 * MOST_RUNS))
    assert len(list(tmp_path.iterdir())) == MOST_RUNS


def test_the_room_of_a_run_that_was_read_is_given_back_with_the_next(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "r1")
    journal.begin(RUN, "1", "")
    journal_files.forget(tmp_path, RUN)
    assert _descriptors_of(RUN) == 2  # the file and its memory
    journal.begin("f" * 16, "1", "")
    assert _descriptors_of(RUN) == 0
    assert entries(tmp_path, "f" * 16) == [(1, 0, Outcome.OPEN)]


def _descriptors_of(run: str) -> int:
    links = [path for path in Path("/proc/self/fd").iterdir() if path.is_symlink()]
    return sum(run in str(path.readlink()) for path in links)


def test_a_killed_process_leaves_what_it_wrote(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path), RUN], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"written\n"
        process.kill()
    (found,) = journal_files.read(tmp_path, RUN)
    assert (found.replica, found.pid) == ("r7", process.pid)
    assert [entry[:3] for entry in found.entries] == [(1, 0, Outcome.ANSWERED), (2, 0, Outcome.OPEN)]


def test_a_run_is_forgotten_and_so_are_all(tmp_path: Path) -> None:
    folder = tmp_path / "journals"
    journal = Journal(folder, "r1")
    for run in (RUN, "f" * 8):
        journal.begin(run, "1", "")
    journal_files.forget(folder, RUN)
    assert [path.name for path in folder.iterdir()] == ["f" * 8]
    journal_files.forget(folder, "../..")
    journal_files.sweep(folder, keep=0)
    assert not folder.exists()
    assert list(journal_files.read(folder, RUN)) == []


def test_a_name_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no name of a run"):
        list(journal_files.read(tmp_path, "../.."))
