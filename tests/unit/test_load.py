"""Load: what a replica measures, what it is told, and how it travels."""

from __future__ import annotations

import pytest
from xds.data.orca.v3 import orca_load_report_pb2  # type: ignore[import-untyped]  # not among the stubs

from backends.identity import Counters
from backends.load import TOLD_RPS, WINDOW_S, LoadMeter
from protos.orca import ORCA_KEY, Load, read_load


class Machine:
    """A clock, a processor and calls, moved by hand."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.cpu_s = 5.0
        self.counters = Counters()
        self.meter = LoadMeter(self.counters, clock=lambda: self.now_s, cpu=lambda: self.cpu_s)

    def work(self, seconds: float, *, busy: float, calls: int, failed: int = 0) -> Load:
        self.now_s += seconds
        self.cpu_s += busy
        self.counters.calls += calls
        self.counters.failed += failed
        self.meter.metadata()
        return self.meter.load


def test_the_first_report_knows_nothing_and_weighs_nothing() -> None:
    machine = Machine()
    machine.meter.metadata()
    assert machine.meter.load == Load(0.0, 0.0)
    assert machine.meter.load.weight() == 0.0


def test_load_is_that_of_the_window() -> None:
    machine = Machine()
    machine.meter.metadata()
    assert machine.work(1.0, busy=0.5, calls=100, failed=10) == Load(0.5, 100.0, 10.0)
    for _ in range(10):
        machine.work(WINDOW_S / 4, busy=0.1, calls=10)
    assert machine.meter.load.utilization == pytest.approx(0.2)
    assert machine.meter.load.rps == pytest.approx(20)
    assert machine.meter.load.eps == 0.0


def test_after_a_pause_there_is_still_something_to_compare_with() -> None:
    machine = Machine()
    machine.meter.metadata()
    machine.work(1.0, busy=0.5, calls=100)
    assert machine.work(99.0, busy=0.0, calls=100).rps == pytest.approx(100 / 99)


def test_a_report_is_good_for_a_moment() -> None:
    machine = Machine()
    machine.meter.metadata()
    first = machine.work(1.0, busy=0.5, calls=100)
    assert machine.work(0.05, busy=0.05, calls=50) is first
    assert machine.work(0.06, busy=0.0, calls=0) is not first


def test_a_load_that_is_told_holds_at_once_and_until_it_is_taken_back() -> None:
    machine = Machine()
    machine.work(1.0, busy=0.5, calls=100)
    machine.meter.tell(0.8)
    assert machine.meter.load == Load(0.8, TOLD_RPS, is_told=True)
    assert machine.work(10.0, busy=0.1, calls=7) == Load(0.8, TOLD_RPS, is_told=True)
    machine.meter.tell(None)
    assert machine.work(1.0, busy=0.25, calls=10).is_told is False


@pytest.mark.parametrize("utilization", [0.0, -1.0, float("nan"), float("inf"), 1001.0])
def test_what_is_no_utilization_is_refused(utilization: float) -> None:
    with pytest.raises(ValueError, match="above 0 and up to 1000"):
        Machine().meter.tell(utilization)


@pytest.mark.parametrize(
    ("load", "cpu", "application"),
    [(Load(0.25, 40.0, 2.0), 0.25, 0.0), (Load(0.25, 40.0, 2.0, is_told=True), 0.0, 0.25)],
)
def test_orca_is_what_its_own_message_reads(load: Load, cpu: float, application: float) -> None:
    report = orca_load_report_pb2.OrcaLoadReport.FromString(load.as_orca())
    assert (report.cpu_utilization, report.application_utilization) == (cpu, application)
    assert (report.rps_fractional, report.eps) == (40.0, 2.0)
    assert orca_load_report_pb2.OrcaLoadReport.FromString(Load(0.0, 0.0).as_orca()) == type(report)()


def test_a_meter_reports_orca() -> None:
    machine = Machine()
    machine.meter.tell(0.5)
    ((key, value),) = machine.meter.metadata()
    assert key == ORCA_KEY
    assert value == Load(0.5, TOLD_RPS, is_told=True).as_orca()


def test_weight_is_requests_for_utilization_less_the_errors() -> None:
    assert Load(0.5, 100.0).weight() == 200.0
    assert Load(0.5, 100.0, 50.0).weight() == 100.0
    assert Load(0.5, 100.0, 50.0).weight(0.0) == 200.0
    assert Load(0.0, 100.0).weight() == 0.0


def test_load_as_text_is_read_again() -> None:
    assert read_load(Load(0.25, 40.5, 2.0).as_text()) == Load(0.25, 40.5, 2.0)
    for text in ("", "1 2", "1 2 x", "-1 2 3", "nan 1 1", "1 inf 1"):
        assert read_load(text) is None
