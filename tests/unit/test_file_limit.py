"""How many files a process may open: what is said when they are too few, and that the soft limit is raised."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys

import pytest

from backends import file_limit


def test_shortage_says_who_needs_how_many_and_what_to_do() -> None:
    assert file_limit.shortage("40 replicas", 72, limit=64) == (
        "40 replicas need 72 open files and only 64 are allowed: raise that with 'ulimit -n 72' or more"
    )
    assert file_limit.shortage("40 replicas", 64, limit=64) == ""


@pytest.mark.parametrize(("replicas", "limit", "fits"), [(1, 33, True), (1, 32, False), (1000, 1032, True)])
def test_supervisor_needs_a_connection_for_each_replica(replicas: int, limit: int, *, fits: bool) -> None:
    assert (not file_limit.shortage_of_supervisor(replicas, limit=limit)) is fits


def test_errors_for_want_of_descriptors_are_known_by_number_and_by_word() -> None:
    for number in (errno.EMFILE, errno.ENFILE):
        assert file_limit.is_shortage(OSError(number, os.strerror(number)))
        assert file_limit.tells_of_shortage(f"unix:/s: socket: {os.strerror(number)} (node ID:x)")
    assert not file_limit.is_shortage(FileNotFoundError(errno.ENOENT, "x"))
    assert not file_limit.tells_of_shortage("Connection refused")


def test_soft_limit_becomes_the_hard_one() -> None:
    code = (
        "import resource; from backends import file_limit;"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (20, 50));"
        "print(file_limit.allowed(), file_limit.allow_many(), file_limit.allowed())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "20 50 50\n"
    assert file_limit.allowed() == resource.getrlimit(resource.RLIMIT_NOFILE)[0]
