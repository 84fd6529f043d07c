"""Events reach the starter as whole JSON lines; a starter that is gone is no error."""

from __future__ import annotations

import json
import os

from backends import notify


def test_each_event_is_one_json_line() -> None:
    read, write = os.pipe()
    try:
        tell = notify.to_fd(write)
        tell({"event": "serving", "id": "r1", "pid": 1})
        tell({"event": "cannot-start", "reason": "one line with \n and ü"})
        lines = os.read(read, 4096).split(b"\n")
    finally:
        os.close(read)
        os.close(write)
    assert [json.loads(line) for line in lines[:-1]] == [
        {"event": "serving", "id": "r1", "pid": 1},
        {"event": "cannot-start", "reason": "one line with \n and ü"},
    ]
    assert lines[-1] == b""


def test_reader_that_went_away_is_no_error() -> None:
    read, write = os.pipe()
    os.close(read)
    try:
        notify.to_fd(write)({"event": "serving"})
    finally:
        os.close(write)
