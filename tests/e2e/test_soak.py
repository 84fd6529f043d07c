"""The soak in short: random faults from a seed that is printed, nothing leaks, every call is accounted for."""

from __future__ import annotations

import faulthandler
import secrets

import pytest

from tests.soak.play import play

DURATION_S = 60.0


@pytest.mark.soak
@pytest.mark.timeout(240)
def test_random_faults_leak_nothing_and_lose_sight_of_no_call() -> None:
    faulthandler.cancel_dump_traceback_later()  # pytest's, which is for tests that take seconds
    seed = secrets.randbelow(10**6)
    lines: list[str] = []
    outcome = play(seed, DURATION_S, rate=400.0, told=lines.append)
    again = f"python -m tests.soak --minutes {DURATION_S / 60} --rate 400 --seed {seed}"
    assert not outcome.wrong, "\n".join([again, *lines, *outcome.facts, *outcome.wrong])
