"""Scenarios and plays for tests: a file's text around the part that a test is about, and a play made of literals."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lb_client.scenario.call_log import Call
from lb_client.scenario.checks import check
from lb_client.scenario.errors import ScenarioError
from lb_client.scenario.played import Look, Played
from lb_client.scenario.reader import read

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from lb_client.scenario.model import Expectation, Scenario

HEAD = "calls: {duration: 10s}\n"
BEGIN_S = 1000.0


def scenario(text: str) -> Scenario:
    """The scenario of a file with this text, read and checked."""
    found = read(text.encode(), "test.yaml")
    check(found)
    return found


def refusal(text: str) -> str:
    """The line by which a file with this text is refused."""
    with pytest.raises(ScenarioError) as caught:
        scenario(text)
    return caught.value.line("test.yaml")


def expectation(text: str, *, steps: str = "[]") -> Expectation:
    """One entry of `expect`, in YAML's short form, of a cluster with two zones and version v2."""
    cluster = "cluster: {zones: [a, b], version: v2}"
    return scenario(f"{HEAD}steps: {steps}\nexpect:\n- {{{text}}}\n{cluster}\n").expectations[0]


class Calls:
    """Calls as a play has them."""

    def __init__(self, calls: Iterable[Call]) -> None:
        self._calls = tuple(calls)

    def between(self, begin_s: float, end_s: float) -> Iterator[Call]:
        """Those that started then."""
        return (call for call in self._calls if begin_s <= call.start_s < end_s)


def call(at_s: float, replica: str = "r1", status: str = "OK", *, took_s: float = 0.001, attempts: int = 0) -> Call:
    """A call that started so long after the first one."""
    return Call(BEGIN_S + at_s, BEGIN_S + at_s + took_s, status, replica, attempts)


def in_turn(names: str, count: int, *, begin_s: float = 0.0, every_s: float = 0.01) -> list[Call]:
    """Calls to these in turn: `r1 r2 r3`."""
    replicas = names.split()
    return [call(begin_s + n * every_s, replicas[n % len(replicas)]) for n in range(count)]


def look(at_s: float, names: str) -> Look:
    """From then on these can take calls."""
    return Look(BEGIN_S + at_s, frozenset(names.split()))


def played(calls: Iterable[Call], **more: object) -> Played:
    """A play of ten seconds."""
    values: dict[str, object] = {"looks": [look(0, "r1 r2 r3")], **more}
    return Played(begin_s=BEGIN_S, end_s=BEGIN_S + 10, calls=Calls(calls), **values)  # type: ignore[arg-type]  # literals


def refusal_of_bytes(data: bytes) -> str:
    """The line by which a file of these bytes is refused."""
    with pytest.raises(ScenarioError) as caught:
        check(read(data, "test.yaml"))
    return caught.value.line("test.yaml")
