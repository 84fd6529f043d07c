"""The promise people come to see: calls go on while the fleet grows, shrinks and loses a member."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from typing import Any

import pytest

from tests.support.command import LBDEMO, lbdemo, start_lbdemo, status
from tests.support.eventually import eventually

pytestmark = pytest.mark.timeout(90)


@pytest.fixture
def three_replicas() -> Any:
    lbdemo("up", "--replicas", "3", ok=True)
    yield
    lbdemo("down", ok=True)


def finished(load: subprocess.Popen[str]) -> dict[str, Any]:
    out, err = load.communicate(timeout=60)
    assert load.returncode == 0, (out, err)
    report: dict[str, Any] = json.loads(out)
    return report


def total_calls() -> int:
    return sum(int(replica["calls"]) for replica in status()["replicas"])


def wait_for_calls(more: int) -> None:
    """Until the replicas have been called so many times more."""
    before = total_calls()
    eventually(lambda: _at_least(total_calls(), before + more), within_s=20)


def _at_least(value: int, bound: int) -> None:
    assert value >= bound


@pytest.mark.usefixtures("three_replicas")
@pytest.mark.parametrize("concurrency", ["1", "64"])
def test_the_spread_follows_the_fleet_up_and_down_and_no_call_fails(concurrency: str) -> None:
    load = start_lbdemo("call", "--duration", "6s", "--concurrency", concurrency, "--json")
    wait_for_calls(200)
    lbdemo("scale", "5", ok=True)
    wait_for_calls(200)
    lbdemo("scale", "2", ok=True)
    report = finished(load)
    assert report["failed"] == 0
    assert set(report["statuses"]) == {"OK"}
    calls = {backend["id"]: backend["calls"] for backend in report["backends"]}
    assert set(calls) == {"r1", "r2", "r3", "r4", "r5"}
    assert all(calls.values()), calls
    assert report["verdict"]["as_expected"], report["verdict"]


@pytest.mark.usefixtures("three_replicas")
def test_a_killed_replica_costs_only_what_it_had_in_hand_and_returns() -> None:
    victim = status()["replicas"][1]
    load = subprocess.Popen([*LBDEMO, "call", "--duration", "4s", "--json"], stdout=subprocess.PIPE, text=True)
    wait_for_calls(200)
    os.kill(victim["pid"], signal.SIGKILL)
    out, _ = load.communicate(timeout=30)
    report = json.loads(out)
    # One call at a time: at most the one that was on its way fails.
    assert report["failed"] <= 1
    assert load.returncode == (1 if report["failed"] else 0)
    replicas = {replica["id"]: replica for replica in status()["replicas"]}
    assert replicas[victim["id"]]["health"] == "SERVING"
    assert replicas[victim["id"]]["pid"] != victim["pid"]
