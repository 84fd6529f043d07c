"""`lbdemo compare` on a real cluster: every way walked, and three who count the same."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from tests.support.command import lbdemo, start_lbdemo, status
from tests.support.eventually import eventually
from tests.support.peers import require_envoy

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.timeout(90)


@pytest.fixture
def cluster() -> Iterator[None]:
    """Three replicas."""
    require_envoy()
    lbdemo("up", "--replicas", "3", ok=True)
    yield
    lbdemo("down", ok=True)


def _some_calls() -> None:
    assert sum(replica["calls"] for replica in status()["replicas"]) > 100


def counts(phase: dict[str, Any]) -> list[int]:
    return sorted(phase["by_replica"].values())


@pytest.mark.usefixtures("cluster")
def test_every_way_gets_the_same_load_and_all_who_count_agree() -> None:
    args = ["--count", "100", "--streams", "7", "--messages", "20", "--connections", "3"]
    told = lbdemo("compare", *args, "--json", ok=True).json
    assert told["reconciled"], [way["differences"] for way in told["ways"]]
    ways = {way["key"]: way for way in told["ways"]}
    assert list(ways) == ["single", "pick_first", "round_robin", "proxy_l7", "proxy_l4", "proxy_l4_3"]
    for way in ways.values():
        assert sum(counts(way["calls"])) == 100
        assert sum(counts(way["streams"])) == 7
        assert way["calls"]["failed"] == way["streams"]["failed"] == 0
        messages = [each for each in way["streams"]["counted"] if each["what"] == "message"]
        assert [sum(each["by_replica"].values()) for each in messages] == [140, 140]
        assert way["calls"]["cpu_us"]["client"] > 0
        assert (way["calls"]["cpu_us"]["proxy"] is None) == (way["hops"] == 1)
    for key in ("single", "pick_first", "proxy_l4"):
        assert counts(ways[key]["calls"]) == [0, 0, 100]
        assert counts(ways[key]["streams"]) == [0, 0, 7]
        assert sorted(ways[key]["connections"].values()) == [0, 0, 1]
    for key in ("round_robin", "proxy_l7"):
        assert counts(ways[key]["calls"]) == [33, 33, 34]
        assert counts(ways[key]["streams"]) == [2, 2, 3]
        assert ways[key]["connections"] == {"r1": 1, "r2": 1, "r3": 1}
    assert sum(ways["proxy_l4_3"]["connections"].values()) == 3
    envoys = [each for each in ways["proxy_l7"]["calls"]["counted"] if each["who"] == "Envoy"]
    assert [(each["what"], sum(each["by_replica"].values())) for each in envoys] == [("call", 100), ("connection", 1)]


@pytest.mark.usefixtures("cluster")
def test_somebody_else_who_calls_meanwhile_is_told_of() -> None:
    other = start_lbdemo("call", "--duration", "30s", "--rate", "200")
    try:
        ran = lbdemo("compare", "--count", "200", "--streams", "3", "--messages", "100")
    finally:
        other.send_signal(signal.SIGINT)
        other.communicate(timeout=20)
    assert ran.code == 1
    assert "The counts do not agree. Somebody else called these replicas" in ran.out
    assert "the client counted" in ran.out


@pytest.mark.usefixtures("cluster")
def test_ctrl_c_ends_it_and_leaves_nothing() -> None:
    process = start_lbdemo("compare", "--count", "100000")
    eventually(_some_calls, within_s=20)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err.strip()) == (130, "", "lbdemo: interrupted")


@pytest.mark.usefixtures("cluster")
def test_an_envoy_that_dies_meanwhile_is_one_line() -> None:
    process = start_lbdemo("compare", "--count", "2000")
    eventually(_some_calls, within_s=20)
    (envoy,) = (child for child in psutil.Process(process.pid).children() if child.exe().endswith("/envoy/_bin/envoy"))
    envoy.kill()
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (1, "", "lbdemo: Envoy has ended, by SIGKILL\n")


@pytest.mark.usefixtures("cluster")
def test_no_client_outlives_a_comparison_that_was_killed() -> None:
    process = start_lbdemo("compare", "--count", "100000")
    eventually(_some_calls, within_s=20)
    children = psutil.Process(process.pid).children()
    process.kill()
    process.communicate(timeout=20)
    _, alive = psutil.wait_procs(children, timeout=10)
    assert len(children) == 6  # Envoy, and a client for each way
    assert not alive
    lbdemo("call", "--via", "proxy", "--count", "1", ok=True)  # which sweeps up the killed one's folders


def test_a_cluster_with_a_service_of_its_own_is_one_line(tmp_path: Any) -> None:
    require_envoy()
    (tmp_path / "mine.py").write_text(
        "from grpc_health.v1 import health_pb2\nimport grpc\n"
        "def add(server):\n"
        "    handler = grpc.unary_unary_rpc_method_handler(lambda request, context: request)\n"
        "    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler('my.Own', {'Do': handler}),))\n"
    )
    lbdemo("up", "--replicas", "1", "--service", "mine:add", cwd=tmp_path, ok=True)
    ran = lbdemo("compare")
    lbdemo("down", ok=True)
    assert ran.code == 1
    assert ran.only_line == (
        "lbdemo: compare calls the built-in services, and cluster 'default' does not serve "
        "helloworld.Greeter and lbdemo.v1.Conversation: start one without --service"
    )
