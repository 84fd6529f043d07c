"""Policies against real replicas: weights that are reported, ejections, retries, keys; and what is refused."""

from __future__ import annotations

import json
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.command import lbdemo, start_lbdemo
from tests.support.eventually import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.timeout(90)

WEIGHTED = ("call", "--policy", "weighted_round_robin", "--json")


@pytest.fixture
def cluster() -> Iterator[None]:
    lbdemo("up", "--replicas", "3", ok=True)
    yield
    lbdemo("down", ok=True)


@pytest.mark.usefixtures("cluster")
def test_loads_of_one_two_and_four_tenths_spread_calls_four_to_two_to_one() -> None:
    for replica, load in (("r1", "0.1"), ("r2", "20%"), ("r3", "0.4")):
        ran = lbdemo("load", replica, load, ok=True)
        assert f"{replica} reports a utilization of " in ran.out
    report = lbdemo(*WEIGHTED, "--count", "5000", "--concurrency", "8", ok=True).json
    assert report["verdict"]["as_expected"] is True, report["verdict"]
    assert [round(b["expected_share"], 4) for b in report["backends"]] == [0.5714, 0.2857, 0.1429]
    shares = [backend["share"] for backend in report["backends"]]
    assert shares == pytest.approx([4 / 7, 2 / 7, 1 / 7], abs=0.01)
    assert lbdemo("load", "r1", "r2", "r3", "--clear", ok=True).out.count("reports the load that it measures") == 3
    # From here on it is what they measure.
    report = lbdemo(*WEIGHTED, "--count", "4000", "--concurrency", "16", ok=True).json
    assert report["verdict"]["as_expected"] is True, report["verdict"]
    (told,) = (reason for reason in report["verdict"]["reasons"] if reason.startswith("reported at the end"))
    assert all(f"{replica} 0." in told or f"{replica} 1" in told for replica in ("r1", "r2", "r3")), told


def calls_of(replica: str) -> int:
    found: dict[str, int] = {r["id"]: r["calls"] for r in lbdemo("status", "--json", ok=True).json["replicas"]}
    return found[replica]


@contextmanager
def calling(*args: str) -> Iterator[dict[str, Any]]:
    """`lbdemo call` with these arguments for as long as the block lasts; its report is in the dictionary then."""
    report: dict[str, Any] = {}
    with start_lbdemo("call", "--count", "1000000", "--json", *args) as process:
        try:
            yield report
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=20)
            assert process.returncode == 130, err
            report.update(json.loads(out))
        finally:
            process.kill()


@pytest.mark.usefixtures("cluster")
def test_a_replica_that_fails_half_of_its_calls_is_ejected_within_two_intervals_and_let_back_when_well() -> None:
    lbdemo("fault", "r2", "--error", "ABORTED", "--rate", "50%", ok=True)
    with calling("--rate", "300", "--outlier-detection", "interval=500ms,base-ejection-time=1s") as report:
        eventually(lambda: _at_least(calls_of("r1") - calls_of("r2"), 100), within_s=20)
        lbdemo("fault", "r2", "--clear", ok=True)
        before = calls_of("r2")
        eventually(lambda: _at_least(calls_of("r2"), before + 200), within_s=20)
    seen = [event for event in report["events"] if event["id"] == "r2" and event["kind"] in ("ejected", "let-back")]
    kinds = [event["kind"] for event in seen]
    assert kinds[:2] == ["ejected", "let-back"], kinds
    assert kinds[-1] == "let-back"
    # Two intervals, and what it takes to see it on a busy machine.
    assert seen[0]["at_s"] <= 2 * 0.5 + 0.8
    assert report["verdict"]["as_expected"] is not False, report["verdict"]
    assert any("r2 was ejected (inferred from the traffic)" in reason for reason in report["verdict"]["reasons"])
    assert 0 < report["failed"] < 0.2 * report["calls"]


@pytest.mark.usefixtures("cluster")
def test_calls_of_a_replica_that_is_killed_are_retried_and_counted() -> None:
    lbdemo("fault", "r3", "--latency", "200ms", ok=True)  # so that there are calls on it when it dies
    with calling("--concurrency", "16", "--retry", "4", "--retry-backoff", "50ms") as report:
        eventually(lambda: _at_least(calls_of("r3"), 20), within_s=20)
        lbdemo("kill", "r3", ok=True)
        before = calls_of("r1")
        eventually(lambda: _at_least(calls_of("r1"), before + 20), within_s=20)
    assert report["failed"] == 0, report["failures"]
    assert report["retried"] >= 1
    assert report["requested"]["retry"]["attempts"] == 4


def _at_least(number: int, least: int) -> None:
    assert number >= least


@pytest.mark.usefixtures("cluster")
def test_one_key_stays_with_one_replica() -> None:
    for user in ("ada", "grace"):
        args = ("call", "--policy", "ring_hash", "--hash-header", "user", "--metadata", f"user={user}", "--json")
        report = lbdemo(*args, "--count", "20", ok=True).json
        assert report["verdict"]["as_expected"] is True
        assert sorted(backend["calls"] for backend in report["backends"]) == [0, 0, 20]


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("call", "--policy", "least_request"), "there is no least_request: gRPC core has none"),
        (("call", "--policy", "ring_hash"), "needs --hash-header"),
        (("call", "--retry", "9"), "2 to 5"),
        (("call", "--via", "proxy", "--retry", "3"), "--retry is the client's"),
        (("call", "--policy", "ring_hash", "--hash-header", "x", "--target", "ipv4:127.0.0.1:1"), "target of ours"),
        (("call", "--retry", "3", "--retry-budget", "10", "--target", "ipv4:127.0.0.1:1"), "control plane"),
        (("load", "r1"), "name replicas, then the utilization"),
        (("load", "r1", "lots"), "'lots' is no utilization"),
        (("load", "r1", "-1"), "No such option"),
        (("load", "r1", "0"), "above 0 and up to 1000"),
        (("load", "r1", "0.5", "--clear"), "leave one of them away"),
    ],
)
def test_what_makes_no_sense_is_usage_in_a_line(args: tuple[str, ...], says: str) -> None:
    ran = lbdemo(*args)
    assert (ran.code, ran.out) == (2, "")
    assert says in ran.only_line
