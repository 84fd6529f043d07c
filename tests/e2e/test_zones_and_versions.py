"""Zones, weights and versions as a user meets them: real replicas, real calls, and what is refused."""

from __future__ import annotations

import json
import signal
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from lb_client.chance import bounds, is_possible
from tests.support.command import lbdemo, start_lbdemo, status
from tests.support.eventually import eventually
from tests.support.peers import require_envoy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.timeout(90)


@contextmanager
def up(*args: str) -> Iterator[dict[str, Any]]:
    yield dict(lbdemo("up", "--json", *args, ok=True).json)
    lbdemo("down", ok=True)


def call(*args: str, code: int = 0) -> dict[str, Any]:
    ran = lbdemo("call", "--json", *args)
    assert ran.code == code, ran
    return dict(ran.json)


def calls(report: dict[str, Any], key: str = "id") -> dict[str, int]:
    """By replica, or by another of its properties."""
    found: dict[str, int] = {}
    for backend in report["backends"]:
        if backend["calls"]:
            found[backend[key]] = found.get(backend[key], 0) + backend["calls"]
    return found


@contextmanager
def calls_all_the_time(*args: str) -> Iterator[Callable[[], dict[str, Any]]]:
    """`lbdemo call` beside the block, and what ends it by Ctrl-C and gives its report."""
    load = start_lbdemo("call", "--json", "--duration", "60s", "--rate", "200", *args)

    def over() -> dict[str, Any]:
        load.send_signal(signal.SIGINT)
        out, err = load.communicate(timeout=30)
        assert load.returncode == 130, (out, err)
        return dict(json.loads(out))

    try:
        yield over
    finally:
        if load.poll() is None:
            load.kill()
            load.communicate()


def assert_good(report: dict[str, Any]) -> None:
    assert report["failed"] == 0, report["failures"]
    assert report["verdict"]["as_expected"] is True, report["verdict"]


def test_zones_come_first_fail_over_and_return_and_outlast_scaling_and_death() -> None:
    require_envoy()
    with up("--replicas", "4", "--zones", "a,b") as view:
        assert [replica["zone"] for replica in view["replicas"]] == ["a", "b", "a", "b"]
        own = call("--zone", "a", "-n", "40")
        assert_good(own)
        assert calls(own) == {"r1": 20, "r3": 20}
        assert own["verdict"]["reasons"] == ["zone a comes first: r2 and r4 elsewhere stand by"]
        with calls_all_the_time("--zone", "a") as over:
            eventually(lambda: assert_called("r1", "r3"))
            lbdemo("health", "r1", "r3", "not-serving", ok=True)
            eventually(lambda: assert_called("r2", "r4"))
            assert calls(call("--via", "proxy", "--zone", "a", "-n", "20")) == {"r2": 10, "r4": 10}
            lbdemo("health", "r1", "r3", "auto", ok=True)
            report = over()
        assert_good(report)
        assert set(calls(report)) == {"r1", "r2", "r3", "r4"}
        assert "failover: for a time nobody in zone a could take calls" in " ".join(report["verdict"]["reasons"])
        kinds = [(event["id"], event["kind"]) for event in report["events"] if "id" in event]
        assert ("r2", "ready") in kinds
        lbdemo("kill", "r2", ok=True)
        lbdemo("scale", "5", ok=True)
        eventually(lambda: assert_zones("ababa"))


def assert_called(*names: str) -> None:
    """Each of them was called since a moment ago."""
    before = {replica["id"]: replica["calls"] for replica in status()["replicas"]}
    after = {replica["id"]: replica["calls"] for replica in status()["replicas"]}
    assert all(after[name] > before[name] for name in names)


def assert_zones(zones: str) -> None:
    found = status()
    assert found["serving"] == len(zones)
    assert "".join(replica["zone"] for replica in found["replicas"]) == zones


def test_weights_hold_in_the_client_and_in_the_proxy() -> None:
    require_envoy()
    with up("--replicas", "3", "--weights", "5,3,2"):
        report = call("--policy", "static_weights", "-n", "2500")
        assert_good(report)
        found = calls(report)
        assert is_possible([found[name] for name in ("r1", "r2", "r3")], [0.5, 0.3, 0.2]), found
        assert [backend["expected_share"] for backend in report["backends"]] == [0.5, 0.3, 0.2]
        even = call("-n", "300")
        assert_good(even)
        assert set(calls(even).values()) == {100}
        proxied = call("--via", "proxy", "-n", "300")
        assert_good(proxied)
        assert is_possible([calls(proxied)[name] for name in ("r1", "r2", "r3")], [0.5, 0.3, 0.2])


def test_a_version_lives_its_whole_life_under_calls_that_all_succeed() -> None:
    with up("--replicas", "2"), ExitStack() as stack:
        load = stack.enter_context(calls_all_the_time())
        assert lbdemo("up", "--version", "v2", "--share", "10", ok=True).out.startswith("version v2: 1 replica serves")
        tenth = call("-n", "1000")
        assert_good(tenth)
        low, high = bounds(1000, 0.1)
        assert low <= calls(tenth, "version")["v2"] <= high
        assert calls(call("--metadata", "x-version=v2", "-n", "30")) == {"r3": 30}
        lbdemo("up", "--version", "v2", "--share", "50", "--replicas", "2", ok=True)
        half = call("-n", "400")
        assert_good(half)
        low, high = bounds(400, 0.5)
        assert low <= calls(half, "version")["v2"] <= high
        lbdemo("up", "--version", "v2", "--share", "100", ok=True)
        whole = call("-n", "50")
        assert_good(whole)
        assert calls(whole) == {"r3": 25, "r4": 25}
        gone = lbdemo("down", "--version", "v1", ok=True)
        assert gone.out.startswith("version v1 is gone: 2 replicas drained")
        assert [(version["name"], version["share"]) for version in status()["versions"]] == [("v2", None)]
        assert calls(call("--metadata", "x-version=v2", "-n", "10")) == {"r3": 5, "r4": 5}
        report = load()
        assert report["failed"] == 0, report["failures"]
        assert set(calls(report)) == {"r1", "r2", "r3", "r4"}
        assert "the shares changed during the run" in " ".join(report["verdict"]["reasons"])


def test_what_makes_no_sense_of_a_running_cluster_costs_one_line() -> None:
    with up("--replicas", "2", "--zones", "a,b"):
        for args, said in (
            (("call", "--zone", "c"), "is of zone 'c': there are a, b"),
            (("call", "--metadata", "x-version=v9"), "is of version 'v9': there is v1"),
            (("up", "--replicas", "2", "--zones", "a,c"), "runs with other zones (r1 a, r2 b), which stay"),
            (("up", "--replicas", "2", "--weights", "2,1"), "runs with other weights (r1 1, r2 1), which stay"),
            (("up", "--version", "v1", "--share", "10"), "'v1' is the first version, which gets what the others leave"),
            (("down", "--version", "v9"), "there is no version 'v9': there is v1"),
            (("down", "--version", "v1"), "'v1' is the only version: 'lbdemo down' without --version stops it all"),
        ):
            ran = lbdemo(*args)
            assert ran.code == 1, ran
            assert said in ran.only_line


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (("up", "--version", "v2", "--share", "10"), 1, "a share is that of a version beside another"),
        (("up", "--share", "10"), 2, "--share 10 of which version? Name one, as --version v2"),
        (("up", "--replicas", "2", "--weights", "1,2,3"), 2, "3 weights are more than the 2 replicas they are for"),
        (("up", "--weights", "0"), 2, "'0' is no weight"),
        (("up", "--zones", "a,"), 2, "'' is no zone"),
        (("up", "--version", "v2", "--share", "101"), 2, "'101' is no share"),
        (("call", "--target", "localhost:1", "--zone", "a"), 2, "--zone needs a target of ours"),
        (("serve", "--weight", "70000"), 2, "'70000' is no weight: write 1 to 65,535"),
        (("serve", "--zone", "a", "--meta", "zone=b"), 2, "--zone and --meta zone=b say the same thing"),
        (("serve", "--meta", "version=v 2"), 2, "etadata version='v 2' is no name"),
    ],
)
def test_bad_input_is_told_in_one_line(args: tuple[str, ...], code: int, said: str) -> None:
    ran = lbdemo(*args)
    assert ran.code == code, ran
    assert said in ran.only_line
