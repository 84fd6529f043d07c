"""What is said of a fleet: the log's lines, the leash's news, the view's JSON, the command's words."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
from dataclasses import replace

import click
import pytest

from backends import nursery, supervisor_leash
from backends.fleet import Fleet, Member
from backends.phase import Phase
from backends.spec import ReplicaSpec
from backends.starting import cannot_start_line, not_serving_line, paused_line
from backends.transitions import signal_name, transitions
from backends.view import ClusterView, ReplicaView
from lb_client.cli import fleet_options, fleet_view, up
from protos import cluster_pb2

R1 = Member(number=1, phase=Phase.RUNNING, address="127.0.0.1:9001", pid=7)
STATUS_KEYS = {"id", "address", "health", "pid", "calls", "in_flight", "uptime_s"}


def _view(*phases: Phase, wanted: int | None = None) -> ClusterView:
    replicas = tuple(ReplicaView(id=f"r{n}", phase=phase) for n, phase in enumerate(phases, 1))
    return ClusterView(
        cluster="c", target="dir:///x", wanted=wanted or len(phases), replicas=replicas, log_folder="/logs"
    )


@pytest.mark.parametrize(
    ("after", "level", "line"),
    [
        (Member(number=1), logging.INFO, "r1 starts"),
        (Member(number=1, restarts=2), logging.INFO, "r1 starts again (2)"),
        (R1, logging.INFO, "r1 serves at 127.0.0.1:9001, pid 7"),
        (replace(R1, phase=Phase.DRAINING), logging.INFO, "r1 drains"),
        (
            Member(number=1, phase=Phase.BACKING_OFF, deaths=2, reason="killed by SIGKILL"),
            logging.WARNING,
            "r1 killed by SIGKILL; next start in 0.2 s",
        ),
        (Member(number=1, phase=Phase.FAILED, reason="no module"), logging.ERROR, "r1 failed: no module"),
    ],
    ids=lambda value: value.phase.name if isinstance(value, Member) else "",
)
def test_each_phase_has_its_line(after: Member, level: int, line: str) -> None:
    news = transitions(Fleet(wanted=1), Fleet(wanted=1, members=(after,)))
    assert [(n.level, n.line) for n in news] == [(level, line)]


def test_what_did_not_change_its_phase_is_not_logged() -> None:
    before = Fleet(wanted=1, members=(R1,))
    assert transitions(before, Fleet(wanted=1, members=(replace(R1, pid=8),))) == []


def test_bar_is_off_the_screen_before_a_line_is_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    screen = Terminal()
    monkeypatch.setattr("sys.stderr", screen)
    monkeypatch.setattr(fleet_view, "PATIENCE_S", 0.0)
    monkeypatch.setenv("TERM", "xterm")
    with fleet_view.progress("restarting", lambda _: (1, 3)) as bar:
        bar(_view(Phase.RUNNING))
        bar.clear()
        assert "restarting" in screen.getvalue()
        assert screen.getvalue().endswith("\x1b[2K"), "the line would be glued to the bar"
        bar(_view(Phase.RUNNING))
    assert screen.getvalue().endswith("\x1b[2K")
    assert screen.getvalue().count("\x1b[?25h") == 2, "the cursor is back"


def test_signals_have_names() -> None:
    assert [signal_name(9), signal_name(40)] == ["SIGKILL", "signal 40"]


def test_leash_tells_only_what_changed() -> None:
    fleet = Fleet(wanted=2, members=(R1, Member(number=2)))
    known = {m.id: m for m in fleet.members}
    assert supervisor_leash.changes(known, fleet) == []
    after = Fleet(wanted=1, members=(replace(R1, restarts=1),))
    assert [(e["event"], e["id"]) for e in supervisor_leash.changes(known, after)] == [
        ("replica", "r1"),
        ("gone", "r2"),
    ]


def test_spec_survives_the_link_to_the_nursery() -> None:
    spec = ReplicaSpec(id="r1", registry="/x", service="a.b:c", metadata=(("zone", "a"), ("version", "2")))
    assert nursery.spec_from_json(json.loads(json.dumps(nursery.spec_to_json(spec)))) == spec


def test_view_knows_every_phase_of_the_message() -> None:
    names = [name for name, number in cluster_pb2.Phase.items() if number]
    replicas = [cluster_pb2.ReplicaStatus(id="r1", phase=name) for name in names]
    view = ClusterView.of(cluster_pb2.ClusterStatus(cluster="c", replicas=replicas))
    assert [r.phase.name for r in view.replicas] == names


def test_status_json_keeps_its_contract() -> None:
    data = _view(Phase.RUNNING).as_dict()
    assert {"cluster", "replicas"} <= data.keys()
    assert isinstance(data["replicas"], list)
    assert data["replicas"][0].keys() >= STATUS_KEYS
    json.dumps(data)


def test_status_tells_what_was_done_on_purpose() -> None:
    fault = cluster_pb2.Fault(latency_ms=50, error="UNAVAILABLE", rate=0.3)
    replicas = [
        cluster_pb2.ReplicaStatus(id="r1", phase="RUNNING", health="UNREACHABLE", paused=True),
        cluster_pb2.ReplicaStatus(id="r2", phase="RUNNING", health="UNKNOWN", told_health="UNKNOWN", fault=fault),
        cluster_pb2.ReplicaStatus(id="r3", phase="RUNNING", health="SERVING", spare=True),
        cluster_pb2.ReplicaStatus(id="r4", phase="RUNNING", health="SERVING"),
    ]
    roll = cluster_pb2.Roll(done=["r1"], now="r2", todo=["r4"])
    view = ClusterView.of(cluster_pb2.ClusterStatus(cluster="c", wanted=3, replicas=replicas, roll=roll))
    notes = ["paused", "told UNKNOWN; fault: 50 ms late, UNAVAILABLE, 30% of calls", "spare", ""]
    assert [r.note for r in view.replicas] == notes
    table = fleet_view.plain_table(view).splitlines()
    assert table[0].endswith("RESTARTS  NOTE")
    assert [line.endswith(note) for line, note in zip(table[1:], notes, strict=True)] == [True] * 4
    assert fleet_view.heading(view) == "cluster c: 3 of 3 replicas serve; rolling restart: 1 of 3 done"
    assert "NOTE" in fleet_view.shown(view, 200)
    assert "NOTE" not in fleet_view.shown(view, 60)
    assert fleet_view.notes(view)[0] == "r1: paused"
    data = json.loads(json.dumps(view.as_dict()))
    assert data["roll"] == {"done": ["r1"], "now": "r2", "todo": ["r4"]}
    assert (data["replicas"][0]["paused"], data["replicas"][0]["fault"]) == (True, None)
    assert data["replicas"][1]["told_health"] == "UNKNOWN"
    assert data["replicas"][1]["fault"] == {
        "latency_ms": 50, "jitter_ms": 0, "error": "UNAVAILABLE", "rate": 0.3, "for_ms": 0,
    }  # fmt: skip
    assert "NOTE" not in fleet_view.plain_table(_view(Phase.RUNNING))


def test_scale_and_up_tell_of_the_frozen() -> None:
    view = _view(Phase.RUNNING, Phase.RUNNING, Phase.RUNNING)
    frozen = [replace(r, paused=True, health="UNREACHABLE") for r in view.replicas[:2]]
    view = replace(view, replicas=(*frozen, view.replicas[2]))
    assert view.settled_but_paused
    assert paused_line(view) == ("1 of 3 replicas serve, r1, r2 are paused: 'lbdemo resume r1 r2' lets them go on")


def test_view_is_settled_only_when_exactly_the_wanted_serve() -> None:
    running, draining = Phase.RUNNING, Phase.DRAINING
    assert _view(running, running).settled
    assert not _view(running, draining).settled
    assert not _view(running, running, wanted=1).settled
    assert not _view(running, wanted=2).settled


def test_view_takes_news_in_the_order_of_numbers() -> None:
    view = _view(*[Phase.RUNNING] * 10).without_replica("r2").with_replica(ReplicaView(id="r2", pid=5))
    assert [r.id for r in view.replicas] == [f"r{n}" for n in range(1, 11)]
    assert view.replicas[1].pid == 5


def test_replicas_that_cannot_start_are_told_in_one_line() -> None:
    view = _view(Phase.FAILED, Phase.FAILED)
    view = view.with_replica(replace(view.replicas[0], reason="no module 'x'"))
    assert cannot_start_line(view) == "2 replicas cannot start: no module 'x' (log: /logs/r1.log)"


def test_replicas_that_are_late_are_named() -> None:
    line = not_serving_line(_view(Phase.RUNNING, *[Phase.STARTING] * 7), 30)
    assert line.startswith("1 of 8 replicas serve after 30 s (r2 starting, r3 starting")
    assert "r7" not in line
    assert "and 2 more" in line


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0s"), (59.94, "59.9s"), (61, "1m01s"), (3600, "1h00m"), (49 * 3600, "2d01h")],
)
def test_spans_are_short(seconds: float, text: str) -> None:
    assert fleet_view.span(seconds) == text


def test_plain_table_aligns_its_columns_and_explains_trouble() -> None:
    view = _view(Phase.RUNNING, Phase.FAILED)
    view = view.with_replica(replace(view.replicas[1], reason="port is taken"))
    header, first, second, trouble = fleet_view.plain_table(view).splitlines()
    assert header.split()[:3] == ["REPLICA", "ADDRESS", "HEALTH"]
    assert first.index("UNKNOWN") == second.index("UNKNOWN") == header.index("HEALTH")
    assert trouble == "r2: port is taken (log: /logs/r2.log)"


@pytest.mark.parametrize(("text", "seconds"), [("30", 30), ("30s", 30), ("500ms", 0.5), ("2m", 120), ("1.5s", 1.5)])
def test_lengths_of_time_are_read(text: str, seconds: float) -> None:
    assert fleet_options.Seconds().convert(text, None, None) == seconds


@pytest.mark.parametrize("text", ["", "0", "-1s", "s", "1h", "nan", "inf", "61m", "1e3"])
def test_what_is_no_length_of_time_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter, match="30s, 500ms or 2m"):
        fleet_options.Seconds().convert(text, None, None)


@pytest.mark.parametrize(
    ("before", "served", "phases", "wanted", "line"),
    [
        (0, 0, [Phase.RUNNING] * 3, 3, "3 replicas serve after 0.12 s"),
        (0, 0, [Phase.RUNNING], 1, "1 replica serves after 0.12 s"),
        (5, 5, [Phase.RUNNING] * 2, 2, "2 replicas serve after 0.12 s (5 before)"),
        (3, 3, [Phase.RUNNING] * 3, 3, "3 replicas serve already: nothing to do"),
        (1, 1, [Phase.RUNNING], 1, "1 replica serves already: nothing to do"),
        (3, 2, [Phase.RUNNING] * 3, 3, "3 replicas serve after 0.12 s (2 of 3 before)"),
        (3, 0, [Phase.RUNNING] * 5, 5, "5 replicas serve after 0.12 s (0 of 3 before)"),
        (0, 0, [Phase.STARTING] * 2, 2, "0 of 2 replicas serve; the others start"),
        (3, 3, [Phase.RUNNING] * 2 + [Phase.DRAINING], 2, "2 replicas serve; 1 more drains"),
        (4, 4, [Phase.RUNNING] + [Phase.DRAINING] * 3, 1, "1 replica serves; 3 more drain"),
    ],
)
def test_up_says_what_happened(before: int, served: int, phases: list[Phase], wanted: int, line: str) -> None:
    assert click.unstyle(up.what_happened(_view(*phases, wanted=wanted), before, served, 0.123, asked=wanted)) == line


@pytest.mark.parametrize(
    ("before", "phases", "asked", "line"),
    [
        (0, [Phase.RUNNING] * 3, 2, "somebody scaled to 3 meanwhile, not to the 2 of this command: 3 replicas serve"),
        (3, [Phase.RUNNING] * 3, 5, "somebody scaled to 3 meanwhile, not to the 5 of this command: 3 replicas serve"),
        (
            2,
            [Phase.RUNNING, Phase.STARTING],
            1,
            "somebody scaled to 2 meanwhile, not to the 1 of this command: 1 of 2 replicas serve; the others start",
        ),
    ],
)
def test_up_that_was_overruled_says_by_what(before: int, phases: list[Phase], asked: int, line: str) -> None:
    said = click.unstyle(up.what_happened(_view(*phases), before, before, 0.123, asked=asked))
    assert said.startswith(line)
    assert "nothing to do" not in said


def test_replica_that_does_not_answer_does_not_serve() -> None:
    view = _view(Phase.RUNNING, Phase.RUNNING)
    view = view.with_replica(replace(view.replicas[1], health="UNREACHABLE"))
    assert (view.serving, view.settled) == (1, False)
    assert not_serving_line(view, 5) == "1 of 2 replicas serve after 5 s (r2 does not answer); logs: /logs"


def test_advice_names_the_service_and_how_to_call_it() -> None:
    view = replace(_view(Phase.RUNNING), service="currency_server:register")
    assert "lbdemo call --method pkg.Service/… " in up.how_to_use(view)
    named = up.how_to_use(replace(view, services=("currency.Exchange", "currency.Rates")))
    assert "lbdemo call --method currency.Exchange/… " in named
    assert "currency.Exchange and currency.Rates, by currency_server:register" in click.unstyle(named)


def test_advice_names_the_cluster_unless_it_is_the_default() -> None:
    assert "lbdemo down --cluster c" in up.how_to_use(_view(Phase.RUNNING))
    assert "--cluster" not in up.how_to_use(replace(_view(Phase.RUNNING), cluster="default"))


def _heavy_after(code: str) -> str:
    code += "; import sys; print(sorted({'grpc', 'rich', 'google'} & set(sys.modules)))"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_nursery_and_supervisor_begin_without_grpc() -> None:
    code = "from backends.nursery import preload; preload(); import backends.supervise"
    assert _heavy_after(code) == "['google']"


def test_command_begins_without_anything_heavy() -> None:
    assert _heavy_after("import backends.cluster, lb_client.cli.up") == "[]"


def test_narrow_terminal_does_without_what_says_least() -> None:
    view = _view(Phase.RUNNING, Phase.RUNNING)
    assert len(fleet_view.shown(view, 200)) == 10
    assert "RESTARTS" not in fleet_view.shown(view, 78)
    assert fleet_view.shown(view, 10) == ("REPLICA", "ADDRESS", "HEALTH", "CALLS", "STREAMS")
    restarted = replace(view, replicas=(replace(view.replicas[0], restarts=1, phase=Phase.BACKING_OFF),))
    assert fleet_view.shown(restarted, 10) == (
        "REPLICA", "ADDRESS", "HEALTH", "PHASE", "CALLS", "STREAMS", "RESTARTS",
    )  # fmt: skip
