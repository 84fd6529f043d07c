from __future__ import annotations

import click
import pytest

from lb_client.cli.call_live import Window, done_part
from lb_client.cli.call_target import check_target
from lb_client.cli.call_values import Deadline, Duration, Rate, Whole, metadata_pairs
from lb_client.driver import Load
from lb_client.records import CallRecord, CallRecorder


class AMeasurement:
    """As much of one as progress looks at."""

    def __init__(self, load: Load, calls: int) -> None:
        self.load = load
        self.recorder = CallRecorder()
        for _ in range(calls):
            self.recorder.add(CallRecord(0.0, 0.001))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("500ms", 0.5), ("20s", 20), ("2m", 120), ("1h", 3600), ("0.5", 0.5), (".5s", 0.5), ("1 s", 1), ("100us", 1e-4)],
)
def test_duration_is_written_as_people_do(text: str, seconds: float) -> None:
    assert Duration().convert(text, None, None) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["0", "-1s", "", "s", "5x", "nan", "inf", "25h", "1e3", "1s1s", "٣s"])
def test_duration_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter, match="write 500ms, 20s or 2m"):
        Duration().convert(text, None, None)


@pytest.mark.parametrize("text", ["999us", "1us", "0.9ms", "0.0009"])
def test_deadline_that_grpc_would_not_keep_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter, match="shorter than gRPC keeps a deadline: 1ms is the least"):
        Deadline().convert(text, None, None)


def test_deadline_of_a_millisecond_is_kept() -> None:
    assert [Deadline().convert(text, None, None) for text in ("1ms", "1000us", "5s")] == [0.001, 0.001, 5]


@pytest.mark.parametrize(("text", "number"), [("1", 1), ("1_000", 1000), ("1,000", 1000), ("10000000", 10_000_000)])
def test_count_is_a_whole_number(text: str, number: int) -> None:
    assert Whole(10_000_000, "calls").convert(text, None, None) == number


@pytest.mark.parametrize("text", ["0", "-1", "10000001", "1.5", "abc", "", "nan", "1e3", "9" * 5000])
def test_count_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter, match="calls"):
        Whole(10_000_000, "calls").convert(text, None, None)


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "-inf", "abc", "", "1e7"])
def test_rate_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter, match="calls per second"):
        Rate().convert(text, None, None)


def test_rate_may_be_a_fraction() -> None:
    assert Rate().convert("0.5", None, None) == 0.5


def test_metadata_is_pairs() -> None:
    context, option = click.Context(click.Command("call")), click.Option(["--metadata"])
    assert metadata_pairs(context, option, ("X-User=ada", "x-empty=", "x-eq=a=b")) == (
        ("x-user", "ada"),
        ("x-empty", ""),
        ("x-eq", "a=b"),
    )
    for bad in ("x", "=v", "grpc-timeout=1", "x-bin=AA", "x y=1", "x=ä", "x=a\nb"):
        with pytest.raises(click.BadParameter):
            metadata_pairs(context, option, (bad,))


@pytest.mark.parametrize(
    "target",
    [
        "localhost:50051",
        "127.0.0.1:1",
        "[::1]:50051",
        "dns:///greeter:80",
        "ipv4:1.2.3.4:5,6.7.8.9:10",
        "ipv6:[::1]:5",
        "unix:/tmp/x",
        "xds:///x",
        "DNS:greeter:80",
    ],
)
def test_targets_of_grpc_are_left_to_grpc(target: str) -> None:
    assert check_target(target) is False


@pytest.mark.parametrize("target", ["dir:///run/x", "static:127.0.0.1:1,127.0.0.1:2"])
def test_targets_of_ours_are_known(target: str) -> None:
    assert check_target(target) is True


@pytest.mark.parametrize(
    "target",
    [
        "",
        "foo",
        "foo bar",
        "a:b",
        "etcd:///x",
        "dns:",
        "dns:///",
        "ipv4:1.2.3:4",
        "ipv4:1.2.3.4",
        "ipv4:[::1]:5",
        "ipv6:1.2.3.4:5",
        "dir:x",
        "static:",
        "static:x:1",
        "x\x1b:1",
        "localhost:",
        "localhost:0",
        "127.0.0.1:99999",
        "dns:localhost:65536",
        "dns:///localhost:99999999",
        "static:[::1:5",
        "static:127.0.0.1]:5",
    ],
)
def test_malformed_target_is_one_clear_line(target: str) -> None:
    with pytest.raises(click.UsageError) as caught:
        check_target(target)
    assert "\n" not in str(caught.value)


def test_window_shows_the_last_fifth_of_a_second_of_fast_calls() -> None:
    window = Window()
    for tick in range(30):
        # From tick 20 on everything goes to r2.
        window.add(tick / 10, {("r1", "a"): min(tick, 20) * 100, ("r2", "b"): max(0, tick - 20) * 100})
    rates = window.rates()
    assert rates["r1", "a"] == 0
    assert rates["r2", "b"] == pytest.approx(1000)


def test_window_widens_for_slow_calls_up_to_its_bound() -> None:
    window = Window()
    for tick in range(100):
        window.add(tick / 10, {("r1", "a"): tick // 10})
    assert window.rates()["r1", "a"] == pytest.approx(1.0, rel=0.1)
    assert len(window._samples) <= 22


def test_window_of_one_sample_says_nothing() -> None:
    window = Window()
    window.add(0.0, {("r1", "a"): 5})
    assert window.rates() == {}


@pytest.mark.parametrize(
    ("load", "calls", "elapsed_s", "part"),
    [
        (Load(count=100), 25, 9.0, 0.25),
        (Load(count=None, duration_s=10), 25, 5.0, 0.5),
        (Load(count=100, duration_s=10), 90, 5.0, 0.9),
        (Load(count=100, duration_s=10), 10, 99.0, 1.0),
    ],
)
def test_progress_goes_by_the_nearer_bound(load: Load, calls: int, elapsed_s: float, part: float) -> None:
    assert done_part(AMeasurement(load, calls), elapsed_s) == pytest.approx(part)  # type: ignore[arg-type]
