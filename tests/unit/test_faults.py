from __future__ import annotations

from typing import Any, NoReturn

import click
import grpc
import pytest

from backends.fault import CODES, NO_FAULT, Fault
from backends.faulty import Striker, faulty
from backends.names import nearest, unknown_line
from lb_client.cli.fault_values import Code, Milliseconds, Rate
from protos import cluster_pb2


class Aborted(Exception):  # noqa: N818 -- what gRPC's own is called
    pass


class FakeContext:
    def __init__(self) -> None:
        self.told: list[object] = []

    async def abort(self, code: grpc.StatusCode, details: str) -> NoReturn:
        self.told.append((code.name, details))
        raise Aborted

    async def send_initial_metadata(self, _metadata: object) -> None:
        self.told.append("metadata")


def test_fault_survives_the_wire() -> None:
    fault = Fault(latency_ms=50, jitter_ms=20, error="UNAVAILABLE", rate=0.3, for_ms=10_000)
    message = fault.message()
    assert message is not None
    assert Fault.of(message) == fault
    assert Fault.of(cluster_pb2.Fault()) == NO_FAULT
    assert NO_FAULT.message() is None
    assert Fault.of(cluster_pb2.Fault(error="ABORTED")).rate == 1


@pytest.mark.parametrize(
    ("fault", "line"),
    [
        (cluster_pb2.Fault(latency_ms=-1), "latency_ms -1 is not between 0 and an hour"),
        (cluster_pb2.Fault(jitter_ms=float("nan")), "jitter_ms nan is not between"),
        (cluster_pb2.Fault(for_ms=float("inf")), "for_ms inf is not between"),
        (cluster_pb2.Fault(latency_ms=1, rate=1.01), "rate 1.01 is not above 0 and up to 1"),
        (cluster_pb2.Fault(error="OK"), "'OK' is no error: CANCELLED"),
    ],
)
def test_impossible_fault_is_refused(fault: cluster_pb2.Fault, line: str) -> None:
    with pytest.raises(ValueError, match=line):
        Fault.of(fault)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (NO_FAULT, "none"),
        (Fault(latency_ms=50), "50 ms late"),
        (Fault(latency_ms=50, jitter_ms=20, error="UNAVAILABLE", rate=0.3), "50-70 ms late, UNAVAILABLE, 30% of calls"),
        (Fault(jitter_ms=20), "0-20 ms late"),
        (Fault(latency_ms=4000, jitter_ms=500), "4-4.5 s late"),
        (Fault(error="ABORTED", rate=0.005), "ABORTED, 0.5% of calls"),
    ],
)
def test_fault_in_words(fault: Fault, words: str) -> None:
    assert str(fault) == words


def test_codes_are_those_of_grpc() -> None:
    assert list(CODES) == [code.name for code in sorted(grpc.StatusCode, key=lambda c: c.value[0])][1:]


async def test_rate_decides_which_calls_are_struck() -> None:
    chances = iter([0.29, 0.0, 0.3, 0.31])
    striker = Striker(Fault(error="ABORTED", rate=0.3), chance=lambda: next(chances))
    context = FakeContext()
    with pytest.raises(Aborted):
        await striker.strike(context)
    await striker.strike(context)
    await striker.strike(context)
    assert context.told == [("ABORTED", "on purpose: lbdemo fault")]


async def test_fault_whose_time_is_over_strikes_nobody() -> None:
    now = 1000.0
    striker = Striker(Fault(error="ABORTED", for_ms=500), clock=lambda: now)
    with pytest.raises(Aborted):
        await striker.strike(FakeContext())
    now = 1000.5
    assert striker.over
    await striker.strike(FakeContext())


@pytest.mark.parametrize("struck", [True, False])
async def test_initial_metadata_waits_until_the_call_has_passed(struck: bool) -> None:
    async def stream(request: Any, _context: Any) -> Any:
        yield request

    async def answer(request: Any, _context: Any) -> Any:
        return request

    for behavior in (stream, answer):
        context = FakeContext()
        striker = Striker(Fault(error="ABORTED", rate=0.5), chance=lambda: 0.0 if struck else 1.0)
        wrapped = faulty(behavior, striker, initial_metadata=True)
        try:
            seen = [each async for each in wrapped(1, context)] if behavior is stream else [await wrapped(1, context)]
        except Aborted:
            seen = []
        assert seen == ([] if struck else [1])
        assert context.told == ([("ABORTED", "on purpose: lbdemo fault")] if struck else ["metadata"])


@pytest.mark.parametrize(("text", "value"), [("50ms", 50), ("1.5s", 1500), ("2m", 120_000), (".5s", 500)])
def test_lengths_of_time(text: str, value: float) -> None:
    assert Milliseconds().convert(text, None, None) == value


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("50", "'50' has no unit: write 50ms or 50s"),
        ("-5ms", "no length of time"),
        ("0ms", "no length of time"),
        ("soon", "write 50ms or 1.5s"),
        ("61m", "at most 60m"),
        ("nan", "no length"),
    ],
)
def test_nonsense_lengths_of_time(text: str, line: str) -> None:
    with pytest.raises(click.BadParameter, match=line):
        Milliseconds().convert(text, None, None)


@pytest.mark.parametrize(("text", "value"), [("0.3", 0.3), ("30%", 0.3), ("1", 1), ("100%", 1), ("0.5 %", 0.005)])
def test_rates(text: str, value: float) -> None:
    assert Rate().convert(text, None, None) == pytest.approx(value)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("30", "'30' is more than all calls: write at most 1 or 100%, or 30%"),
        ("130%", "at most 1 or 100%"),
        ("1.1", "more than all"),
        ("0", "--clear ends one"),
        ("-1", "no share"),
        ("half", "write 0.3 or 30%"),
    ],
)
def test_nonsense_rates(text: str, line: str) -> None:
    with pytest.raises(click.BadParameter, match=line):
        Rate().convert(text, None, None)


@pytest.mark.parametrize("text", ["UNAVAILABLE", "unavailable", "14"])
def test_codes(text: str) -> None:
    assert Code().convert(text, None, None) == "UNAVAILABLE"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("UNAVAILBLE", r"did you mean UNAVAILABLE\?"),
        ("deadline", r"did you mean DEADLINE_EXCEEDED\?"),
        ("teapot", "one of CANCELLED, UNKNOWN"),
        ("OK", "OK is no error"),
        ("0", "OK is no error"),
        ("17", "no status code"),
    ],
)
def test_nonsense_codes(text: str, line: str) -> None:
    with pytest.raises(click.BadParameter, match=line):
        Code().convert(text, None, None)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("R2", "r2"),
        ("2", "r2"),
        ("02", "r2"),
        ("replica-2", "r2"),
        ("r1,r2", "r1 r2"),
        ("r9", ""),
        ("", ""),
        ("rr2", "r2"),
    ],
)
def test_nearest_name(name: str, meant: str) -> None:
    assert nearest(name, ["r1", "r2", "r3"]) == meant


def test_many_names_are_cut_short() -> None:
    line = unknown_line(["x"], [f"r{n}" for n in range(1, 1001)], cluster="blue")
    assert line.startswith("no replica 'x' in cluster 'blue': there are r1, r2, ")
    assert line.endswith("r12 and 988 more")
