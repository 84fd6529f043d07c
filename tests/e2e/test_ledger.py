"""`lbdemo call --ledger` and `--html` on real replicas: every call is accounted for, whatever was done to them."""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.command import lbdemo, start_lbdemo, status
from tests.support.eventually import eventually
from tests.support.plain_greeter import plain_greeter

if TYPE_CHECKING:
    import subprocess

INTERRUPTED = 130

pytestmark = pytest.mark.timeout(90)


@pytest.fixture
def three_replicas() -> Any:
    lbdemo("up", "--replicas", "3", ok=True)
    yield
    lbdemo("down", ok=True)


def total_calls() -> int:
    return sum(int(replica["calls"]) for replica in status()["replicas"])


def wait_for_calls(more: int) -> None:
    """Until the replicas have got so many calls more."""
    before = total_calls()

    def check() -> None:
        assert total_calls() >= before + more

    eventually(check, within_s=20)


def serves_again(victim: dict[str, Any]) -> None:
    """Another process of it has got calls."""
    now = next(replica for replica in status()["replicas"] if replica["id"] == victim["id"])
    assert now["pid"] != victim["pid"]
    assert now["calls"] > 0


def finished(load: subprocess.Popen[str]) -> dict[str, Any]:
    """Its report. It is ended by Ctrl-C: however slow the machine is, what a test does falls into the run."""
    load.send_signal(signal.SIGINT)
    out, err = load.communicate(timeout=60)
    assert load.returncode == INTERRUPTED, (out, err)
    report: dict[str, Any] = json.loads(out)
    return report


def journals() -> list[Path]:
    return sorted(Path(os.environ["LBDEMO_STATE_DIR"]).glob("default/journals/**/*"))


@pytest.mark.usefixtures("three_replicas")
def test_every_call_is_accounted_for_when_a_replica_is_killed_under_load() -> None:
    victim = status()["replicas"][1]
    load = start_lbdemo("call", "--duration", "60s", "--concurrency", "32", "--ledger", "--json")
    wait_for_calls(300)
    os.kill(victim["pid"], signal.SIGKILL)
    eventually(lambda: serves_again(victim), within_s=20)
    report = finished(load)
    ledger = report["ledger"]
    assert (ledger["recorded"], ledger["complete"], ledger["unaccounted"]) == (True, True, 0)
    assert ledger["sent"] == ledger["answered"] + ledger["failed"] + ledger["cut_off"] == report["calls"]
    assert (ledger["failed"], ledger["lost"]) == (report["failed"], report["failed"])
    # Without retries nothing is lost but what the victim had, or what was on its way there.
    assert sum(fate["calls"] for fate in ledger["fates"]) == ledger["failed"]
    assert {fate["replica"] for fate in ledger["fates"]} <= {"r2"}
    assert {fate["fate"] for fate in ledger["fates"]} <= {"in-flight", "on-its-way", "answer-lost"}
    # What each replica wrote down is what the client has of it, and what the dead process had in hand.
    lost: Counter[str] = Counter()
    for fate in ledger["fates"]:
        lost[fate["fate"]] += fate["calls"]
    lines = {line["id"]: line for line in ledger["replicas"]}
    for name in ("r1", "r3"):
        assert lines[name]["attempts"] == lines[name]["answered"] == lines[name]["calls"]
    assert lines["r2"]["answered"] == lines["r2"]["calls"] + lost["answer-lost"]
    assert lines["r2"]["open"] == lost["in-flight"]
    assert lines["r2"]["processes"] == 2
    died = next(event for event in report["events"] if event["kind"] == "died")
    assert (died["source"], died["id"]) == ("cluster", "r2")
    assert died["noticed_ms"] < 2000
    assert died["calls"]["in_flight_failed"] + died["calls"]["after_failed"] == ledger["failed"]
    assert journals() == []


@pytest.mark.usefixtures("three_replicas")
def test_a_drain_under_load_loses_nothing_and_the_page_shows_it(tmp_path: Path) -> None:
    page = tmp_path / "run.html"
    load = start_lbdemo("call", "--duration", "60s", "--concurrency", "16", "--html", str(page), "--json")
    wait_for_calls(300)
    lbdemo("scale", "2", ok=True)
    wait_for_calls(300)
    report = finished(load)
    ledger = report["ledger"]
    assert (report["failed"], ledger["lost"], ledger["unaccounted"]) == (0, 0, 0)
    assert ledger["sent"] == ledger["answered"] == ledger["attempts"] == sum(b["calls"] for b in report["backends"])
    drain = next(event for event in report["events"] if event["kind"] == "drain-begun")
    assert (drain["id"], drain["calls"]["after_failed"]) == ("r3", 0)
    assert drain["noticed_ms"] < 1000
    timeline = report["timeline"]
    rows = {row["id"]: row["calls"] for row in timeline["backends"]}
    assert sum(map(sum, rows.values())) == report["calls"]
    assert sum(rows["r3"][-5:]) == 0
    found = Page.of(page.read_text())
    assert found.elements["svg"] == 1
    assert found.outside == []
    assert json.loads(found.report) == report


class Page(HTMLParser):
    """What of a page matters here: its elements, what it would load, the report in it."""

    def __init__(self) -> None:
        super().__init__()
        self.elements: Counter[str] = Counter()
        self.outside: list[str] = []
        self.report = ""
        self._in_report = False

    @classmethod
    def of(cls, text: str) -> Page:
        page = cls()
        page.feed(text)
        page.close()
        assert "url(" not in text
        assert "@import" not in text
        return page

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements[tag] += 1
        self.outside += [f"{tag} {name}" for name, _ in attrs if name in ("src", "href", "data", "action")]
        self._in_report = tag == "script" and ("id", "report") in attrs

    def handle_data(self, data: str) -> None:
        if self._in_report:
            self.report += data

    def handle_endtag(self, tag: str) -> None:  # noqa: ARG002 -- the parser's signature
        self._in_report = False


@pytest.mark.usefixtures("three_replicas")
def test_who_asks_for_no_ledger_leaves_no_trace() -> None:
    report = lbdemo("call", "--count", "30", "--json", ok=True).json
    assert report["ledger"] is None
    assert journals() == []


def test_servers_of_others_leave_what_this_side_knows() -> None:
    with plain_greeter() as address:
        report = lbdemo("call", "--target", address, "--ledger", "--json", ok=True).json
        page = lbdemo("call", "--target", address, "--ledger", ok=True).out
    ledger = report["ledger"]
    assert (ledger["sent"], ledger["answered"], ledger["failed"], ledger["lost"]) == (100, 100, 0, 0)
    assert (ledger["recorded"], ledger["complete"], ledger["attempts"], ledger["never_arrived"]) == (
        False, False, None, None,
    )  # fmt: skip
    assert ledger["gap"] == "these servers keep no journal that this client can ask for"
    assert "100 calls sent = 100 answered + 0 failed" in page
    assert "0 calls lost, as far as this side can tell" in page


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("", "--html {path}: that is a folder; name a file in it (see"),
        ("missing/run.html", "--html {path}: there is no folder {folder} (see"),
        ("file/run.html", "--html {path}: there is no folder {folder} (see"),
        ("x" * 300, "--html {path}: File name too long (see"),
    ],
)
def test_a_page_that_cannot_be_written_is_refused_before_any_call(tmp_path: Path, name: str, line: str) -> None:
    (tmp_path / "file").write_text("taken")
    path = tmp_path / name
    ran = lbdemo("call", "--html", str(path), "--target", "static:127.0.0.1:1")
    assert ran.code == 2
    assert line.format(path=path, folder=path.parent) in ran.err


def test_a_page_that_is_there_survives_a_run_that_is_none(tmp_path: Path) -> None:
    page = tmp_path / "run.html"
    page.write_text("before")
    assert lbdemo("call", "--html", str(page), "--target", "static:127.0.0.1:1", "--warm-up-timeout", "100ms").code == 1
    assert page.read_text() == "before"
    assert lbdemo("call", "--html", str(tmp_path / "new.html"), "--target", "static:127.0.0.1:1").code == 1
    assert not (tmp_path / "new.html").exists()
