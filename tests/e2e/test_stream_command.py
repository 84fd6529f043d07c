"""`lbdemo stream` and `lbdemo rebalance` as people use them: every shape, many at once, on the move, and wrongly."""

from __future__ import annotations

import json
import os
import signal
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.command import lbdemo, start_lbdemo, status
from tests.support.eventually import eventually
from tests.support.plain_greeter import plain_greeter

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

pytestmark = pytest.mark.timeout(90)


@pytest.fixture
def cluster() -> Iterator[None]:
    lbdemo("up", "--replicas", "3", ok=True)
    yield
    lbdemo("down", ok=True)


def open_streams() -> list[int]:
    return [int(replica["streams"]) for replica in status()["replicas"]]


def wait_for_streams(expected: list[int]) -> None:
    def check() -> None:
        assert open_streams() == expected

    eventually(check, within_s=20)


def finished(running: subprocess.Popen[str], code: int = 0) -> dict[str, Any]:
    out, err = running.communicate(timeout=60)
    assert (running.returncode, err) == (code, ""), (out, err)
    report: dict[str, Any] = json.loads(out)
    return report


def assert_nothing_lost_or_repeated(report: dict[str, Any]) -> None:
    """Every line has exactly one answer: the client drops repetitions, and a lost one would leave the counts apart."""
    assert report["failed"] == 0, report["statuses"]
    assert all(talk["sent"] == talk["received"] > 0 for talk in report["conversations"])
    assert report["messages"]["sent"] == report["messages"]["received"]


@pytest.mark.usefixtures("cluster")
def test_every_shape_ends_as_it_should_and_both_sides_say_so() -> None:
    for mode, ending, client, server in (
        ("metadata-first", "completed", "OK", (3, 3)),
        ("ping-pong", "completed", "OK", (3, 3)),
        ("collect", "completed", "OK", (3, 3)),
        ("independent", "completed", "OK", (3, 3)),
        ("server-closes", "completed", "OK", (3, 3)),
        ("deadline", "deadline-exceeded", "DEADLINE_EXCEEDED", (3, 3)),
        ("cancel", "cancelled", "CANCELLED", (3, 3)),
    ):
        late = ("--deadline", "2s") if mode == "deadline" else ()
        report = lbdemo("stream", "--mode", mode, "--count", "3", *late, "--json", ok=True).json
        (talk,) = report["conversations"]
        (seen,) = talk["servers"]
        assert (mode, talk["status"], seen["ending"]) == (mode, client, ending)
        assert (seen["received"], seen["sent"]) == server
        assert report["disagreements"] == []
        assert {moment["replica"] for moment in report["timeline"]} - {None} == {seen["replica"]}


@pytest.mark.usefixtures("cluster")
def test_timeline_tells_the_shapes_apart() -> None:
    def whats(mode: str) -> list[str]:
        report = lbdemo("stream", "--mode", mode, "--count", "2", "--interval", "20ms", "--json", ok=True).json
        return [f"{moment['who']} {moment['what']}" for moment in report["timeline"]]

    first = whats("metadata-first")
    assert first.index("server metadata") < first.index("client wrote")
    ping_pong = whats("ping-pong")
    assert ping_pong.index("client wrote") < ping_pong.index("server metadata")
    assert [w for w in ping_pong if w.split()[1] in ("wrote", "read")] == ["client wrote", "server read"] * 2
    collect = whats("collect")
    assert collect.index("client closed") < collect.index("server read")
    closes = whats("server-closes")
    assert "client closed" not in closes
    assert closes[-1] == "server ended"
    cancel = whats("cancel")
    assert cancel[-2:] == ["client cancelled", "client ended"]


@pytest.mark.usefixtures("cluster")
def test_timeline_is_plain_in_a_pipe() -> None:
    ran = lbdemo("stream", "--count", "2", "--text", "hello", ok=True)
    assert ran.err == ""
    assert "\x1b" not in ran.out
    lines = ran.out.splitlines()
    assert lines[1].startswith(" ping-pong, round_robin over dir:///")
    assert lines[3].split() == ["ms", "client", "server", "replica"]
    assert any("1 hello ─▶" in line for line in lines)
    assert any("◀─ 1 hello" in line and line.rstrip()[-2:] in ("r1", "r2", "r3") for line in lines)
    assert "✔ One call, 4 messages, all with r" in ran.out
    assert "Calls are balanced, messages are not: a stream stays on its replica" in ran.out


@pytest.mark.usefixtures("cluster")
def test_escape_codes_in_a_line_are_not_printed() -> None:
    ran = lbdemo("stream", "--count", "1", "--text", "\x1b[2Jgone", ok=True)
    assert "\x1b" not in ran.out
    assert "◀─ 1 ?[2Jgone" in ran.out


@pytest.mark.usefixtures("cluster")
def test_streams_are_balanced_and_messages_follow_them() -> None:
    report = lbdemo("stream", "--streams", "30", "--count", "4", "--json", ok=True).json
    assert [backend["streams"] for backend in report["backends"]] == [10, 10, 10]
    assert [backend["messages_sent"] for backend in report["backends"]] == [40, 40, 40]
    assert report["verdict"]["even"] is True
    assert report["servers"] == {"completed": 30}
    uneven = lbdemo("stream", "--streams", "3", "--count", "10", "--uneven", "--json", ok=True).json
    assert [backend["streams"] for backend in uneven["backends"]] == [1, 1, 1]
    assert sorted(backend["messages_received"] for backend in uneven["backends"]) == [10, 20, 30]
    ran = lbdemo("stream", "--streams", "30", "--count", "4", ok=True)
    assert "✔ Calls are balanced: 30 streams over 3 endpoints, 10/10/10." in ran.out
    assert "Messages are not" in ran.out


@pytest.mark.usefixtures("cluster")
def test_so_many_streams_are_open_at_once_and_status_shows_them() -> None:
    running = start_lbdemo("stream", "--streams", "300", "--interval", "100ms", "--duration", "60s", "--json")
    wait_for_streams([100, 100, 100])
    running.send_signal(signal.SIGINT)
    report = finished(running, code=130)
    assert report["interrupted"] is True
    assert report["statuses"] == {"OK": 300}
    assert_nothing_lost_or_repeated(report)
    wait_for_streams([0, 0, 0])


@pytest.mark.usefixtures("cluster")
def test_rebalance_spreads_long_streams_over_new_replicas_and_loses_nothing() -> None:
    running = start_lbdemo("stream", "--streams", "30", "--interval", "20ms", "--duration", "60s", "--json")
    wait_for_streams([10, 10, 10])
    lbdemo("scale", "5", ok=True)
    assert open_streams() == [10, 10, 10, 0, 0]
    assert lbdemo("rebalance", ok=True).out == "30 streams asked to spread over 5 replicas\n"

    def even() -> None:
        found = open_streams()
        assert sum(found) == 30
        assert max(found) - min(found) <= 1

    eventually(even, within_s=20)
    running.send_signal(signal.SIGINT)
    report = finished(running, code=130)
    assert report["moves"] == {"rebalance": 30}
    assert_nothing_lost_or_repeated(report)


@pytest.mark.usefixtures("cluster")
def test_scale_down_moves_streams_and_loses_nothing() -> None:
    running = start_lbdemo("stream", "--streams", "30", "--interval", "5ms", "--duration", "60s", "--json")
    wait_for_streams([10, 10, 10])
    lbdemo("scale", "1", ok=True)
    wait_for_streams([30])
    running.send_signal(signal.SIGINT)
    report = finished(running, code=130)
    assert set(report["moves"]) == {"drain"}
    assert report["moves"]["drain"] >= 20
    moved = [talk for talk in report["conversations"] if talk["moves"]]
    assert {talk["servers"][0]["ending"] for talk in moved} == {"moved"}
    assert {talk["servers"][-1]["ending"] for talk in report["conversations"]} == {"completed"}
    assert_nothing_lost_or_repeated(report)


@pytest.mark.usefixtures("cluster")
@pytest.mark.parametrize("mode", ["ping-pong", "collect"])
def test_killed_replica_loses_nothing_acknowledged(mode: str) -> None:
    running = start_lbdemo(
        "stream", "--mode", mode, "--streams", "30", "--interval", "5ms", "--duration", "6s", "--json"
    )
    wait_for_streams([10, 10, 10])
    os.kill(status()["replicas"][1]["pid"], signal.SIGKILL)
    report = finished(running)
    assert report["moves"]["lost"] >= 10
    assert_nothing_lost_or_repeated(report)


@pytest.mark.usefixtures("cluster")
def test_without_moving_a_killed_replica_takes_its_streams_along() -> None:
    running = start_lbdemo("stream", "--no-move", "--interval", "10ms", "--duration", "60s")
    eventually(lambda: _assert_equal(sum(open_streams()), 1), within_s=20)
    assert lbdemo("rebalance", ok=True).out == "no stream is open that could move\n"
    home = next(replica for replica in status()["replicas"] if replica["streams"])
    os.kill(home["pid"], signal.SIGKILL)
    out, err = running.communicate(timeout=30)
    assert (running.returncode, err) == (1, "")
    assert "1 stream: UNAVAILABLE instead of OK" in " ".join(out.split())


@pytest.mark.usefixtures("cluster")
def test_ctrl_c_in_a_timeline_closes_the_stream_and_reports() -> None:
    running = start_lbdemo("stream", "--interval", "20ms", "--duration", "60s")
    eventually(lambda: _assert_equal(sum(open_streams()), 1), within_s=20)
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=20)
    assert (running.returncode, err) == (130, "")
    assert "closes its side" in out
    assert "(interrupted)" in out
    assert "saw   completed" in out


@pytest.mark.usefixtures("cluster")
def test_message_over_the_size_limit_is_told_with_its_status() -> None:
    ran = lbdemo("stream", "--size", "5000000", "--count", "1")
    assert ran.code == 1
    told = " ".join(ran.out.split())
    assert "status RESOURCE_EXHAUSTED 1" in told
    assert "RESOURCE_EXHAUSTED instead of OK: " in told
    assert "larger than max" in told
    assert lbdemo("stream", "--size", "1000000", "--count", "2", ok=True).err == ""


@pytest.mark.usefixtures("cluster")
def test_streams_move_behind_a_proxy_too() -> None:
    running = start_lbdemo(
        "stream", "--via", "proxy", "--streams", "30", "--interval", "20ms", "--duration", "60s", "--json"
    )
    wait_for_streams([10, 10, 10])
    lbdemo("scale", "1", ok=True)
    wait_for_streams([30])
    running.send_signal(signal.SIGINT)
    report = finished(running, code=130)
    assert (report["via"], report["moves"]["drain"] >= 20) == ("proxy", True)
    assert_nothing_lost_or_repeated(report)


@pytest.mark.usefixtures("cluster")
def test_metadata_and_a_deadline_are_taken() -> None:
    args = ("--metadata", "x-team=blue", "--deadline", "10s", "--json")
    report = lbdemo("stream", *args, ok=True).json
    assert report["requested"]["metadata"] == {"x-team": "blue"}
    assert report["requested"]["deadline_s"] == 10.0


def test_rebalance_without_a_cluster_is_one_line() -> None:
    ran = lbdemo("rebalance")
    assert (ran.code, ran.out) == (1, "")
    assert ran.only_line == "lbdemo: cluster 'default' is not running: start it with 'lbdemo up'"


@pytest.mark.usefixtures("cluster")
def test_rebalance_without_streams_says_so() -> None:
    assert lbdemo("rebalance", ok=True).out == "no stream is open that could move\n"
    assert lbdemo("rebalance", "--json", ok=True).json == {"cluster": "default", "asked": 0, "serving": 3}


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--mode", "shout"], "'shout' is not one of 'metadata-first', 'ping-pong'"),
        (["--count", "0"], "0 lines make no sense: 1 to 1,000,000 are possible"),
        (["--count", "1e3"], "'1e3' is no whole number of lines"),
        (["--streams", "0"], "0 streams make no sense: 1 to 10,000 are possible"),
        (["--streams", "-3"], "-3 streams make no sense"),
        (["--deadline", "0"], "'0' is no length of time"),
        (["--deadline", "0s"], "'0s' is no length of time"),
        (["--deadline", "10us"], "shorter than gRPC keeps a deadline: 1ms is the least"),
        (["--size", "0"], "0 bytes make no sense"),
        (["--size", "99999999999"], "99999999999 bytes make no sense"),
        (["--size", "3", "--text", "x"], "give one of them"),
        (["--delay", "2h"], "the server waits an hour at most"),
        (["--uneven"], "--uneven is for several --streams"),
        (["--uneven", "--streams", "10000", "--count", "200"], "more than 1,000,000 lines"),
        (["--metadata", "Bad Name=1"], "'bad name' is no metadata key"),
        (["--metadata", "grpc-timeout=1"], "'grpc-timeout' is no metadata key"),
        (["--metadata", "x-bin=1"], "'x-bin' would hold bytes"),
        (["--metadata", "x=\x07"], "must be printable ASCII"),
        (["--metadata", "=1"], "'' is no metadata key"),
        (["--target", "nowhere:///x"], "nor of a known scheme"),
        (["--target", "127.0.0.1:1", "--via", "proxy"], "leave --via away"),
        (["--policy", "pick_first", "--via", "proxy"], "an Envoy balances"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(args: list[str], words: str) -> None:
    ran = lbdemo("stream", *args)
    assert (ran.code, ran.out) == (2, "")
    assert words in ran.only_line


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ([], "cluster 'default' is not running: start it with 'lbdemo up'"),
        (["--target", "127.0.0.1:1"], "no server reachable at 127.0.0.1:1"),
    ],
)
def test_nobody_to_talk_to_is_one_line_and_exit_code_1(args: list[str], words: str) -> None:
    ran = lbdemo("stream", *args)
    assert (ran.code, ran.out) == (1, "")
    assert words in ran.only_line


def test_servers_without_the_service_are_told_as_such() -> None:
    with plain_greeter() as one:
        ran = lbdemo("stream", "--target", one, "--json")
    assert (ran.code, ran.out) == (1, "")
    assert ran.only_line.startswith(f"lbdemo: {one} does not serve lbdemo.v1.Conversation")


def _assert_equal(found: object, expected: object) -> None:
    assert found == expected
