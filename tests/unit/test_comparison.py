"""Comparisons from literals: the arithmetic of counts, the table, the paragraph, and the JSON."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from lb_client.compare.page import page_of
from lb_client.compare.parts import Part, phase_of, shares
from lb_client.compare.result import Comparison, Phase, Walked
from lb_client.compare.tally import Tally, counts_text, differences, growth, spread_text
from lb_client.compare.ways import Way, all_ways
from lb_client.compare.words import explanation
from lb_client.paper import Paper

REPLICAS = {"h:1": "r1", "h:2": "r2", "h:3": "r3"}
EVEN = {"h:1": 100, "h:2": 100, "h:3": 100}
ALL_ON_ONE = {"h:2": 300}


def phase(
    by_address: dict[str, int], *, p50: float, cpu_us: float, envoy_us: float | None, what: str, through: str
) -> Phase:
    done = sum(by_address.values()) * (1 if what == "call" else 50)
    tallies = [
        Tally("the client", what, by_address),
        Tally("the replicas", what, dict.fromkeys(REPLICAS, 0) | by_address),
    ]
    if through == "l7":
        tallies.append(Tally("Envoy", what, by_address))
    return Phase(
        by_address=by_address,
        failed=0,
        failures=(),
        done=done,
        elapsed_s=done * p50 / 1000,
        latency_ms={"min": p50, "p50": p50, "p90": p50, "p99": 2 * p50, "max": 2 * p50},
        client_cpu_s=done * cpu_us / 1e6,
        proxy_cpu_s=None if envoy_us is None else done * envoy_us / 1e6,
        tallies=(tuple(tallies),),
    )


def walked(way: Way, by_address: dict[str, int], *, p50: float = 0.5, envoy_us: float | None = None) -> Walked:
    return Walked(
        way=way,
        calls=phase(by_address, p50=p50, cpu_us=200, envoy_us=envoy_us, what="call", through=way.through),
        streams=phase(
            {address: number // 50 for address, number in by_address.items()},
            p50=p50,
            cpu_us=100,
            envoy_us=envoy_us,
            what="stream",
            through=way.through,
        ),
        connections=dict.fromkeys(by_address, 1),
    )


@pytest.fixture
def comparison() -> Comparison:
    single, first, client, l7, l4 = all_ways(1)
    return Comparison(
        target="dir:///run/greeter",
        envoy="1.40.0",
        replicas=REPLICAS,
        requested={"count": 300, "concurrency": 1, "streams": 6, "messages": 50, "deadline_s": 10.0},
        ways=(
            walked(single, {"h:1": 300}),
            walked(first, ALL_ON_ONE),
            walked(client, EVEN),
            walked(l7, EVEN, p50=0.75, envoy_us=150),
            walked(l4, ALL_ON_ONE, p50=0.6, envoy_us=50),
        ),
    )


@pytest.mark.parametrize(
    ("count", "concurrency", "expected"),
    [
        (600, 1, (100,) * 6),
        (601, 1, (101, *(100,) * 5)),
        (100, 1, (50, 50)),
        (99, 1, (99,)),
        (1, 1, (1,)),
        (600, 64, (600,)),
        (6000, 64, (1000,) * 6),
    ],
)
def test_calls_are_sent_in_rounds_none_too_small(count: int, concurrency: int, expected: tuple[int, ...]) -> None:
    assert shares(count, concurrency) == expected


def test_rounds_add_up() -> None:
    def part(calls: dict[str, int], **more: Any) -> Part:
        answer = {
            "by_address": calls,
            "lost": 1,
            "done": sum(calls.values()) + 1,
            "failed": 1,
            "failures": ["UNAVAILABLE (gone)"],
            "elapsed_s": 0.5,
            "latency_ms": {"p50": more["p50"]},
            "cpu_s": 0.1,
        }
        return Part(answer=answer, replicas=calls, messages={}, envoy=calls, proxy_cpu_s=0.25)

    rounds = [part({"h:1": 2, "h:2": 1}, p50=1.0), part({"h:1": 1, "h:3": 2}, p50=2.0)]
    beside = (Tally("the client", "connection", {"": 1}),)
    l7 = phase_of(rounds, all_ways(1)[3], "call", (beside,))
    assert l7.by_address == {"h:1": 3, "h:2": 1, "h:3": 2}
    assert (l7.done, l7.failed, l7.failures) == (8, 2, ("UNAVAILABLE (gone)",))
    assert (l7.elapsed_s, l7.client_cpu_s, l7.proxy_cpu_s) == (1.0, 0.2, 0.5)
    assert l7.latency_ms == {"p50": 2.0}
    assert l7.rate_per_s == 8.0
    assert [[(tally.who, tally.total) for tally in group] for group in l7.tallies] == [
        [("the client", 8), ("the replicas", 6), ("Envoy", 6)],
        [("the client", 1)],
    ]
    client = phase_of(rounds, all_ways(1)[2], "call")
    assert client.proxy_cpu_s is None
    assert [tally.who for tally in client.tallies[0]] == ["the client", "the replicas"]


def test_growth_is_what_was_added_and_a_counter_that_began_anew_counts_from_zero() -> None:
    assert growth({"a": 3, "b": 5}, {"a": 7, "b": 5, "c": 2}) == {"a": 4, "b": 0, "c": 2}
    assert growth({"a": 30}, {"a": 4}) == {"a": 4}


def test_tallies_that_agree_differ_in_nothing_and_zeros_may_be_missing() -> None:
    client, replicas = Tally("the client", "call", {"h:1": 2}), Tally("the replicas", "call", {"h:1": 2, "h:2": 0})
    assert differences((client, replicas), REPLICAS) == ()
    assert differences((client,), REPLICAS) == ()


def test_each_difference_says_who_counted_what_where() -> None:
    tallies = (
        Tally("the client", "call", {"h:1": 100, "": 1}),
        Tally("the replicas", "call", {"h:1": 103}),
        Tally("Envoy", "call", {"h:1": 100, "h:9": 1, "": 1}),
    )
    assert differences(tallies, REPLICAS) == (
        "nobody known: the client counted 1 call, the replicas 0",
        "r1: the client counted 100 calls, the replicas 103",
        "h:9: the client counted 0 calls, Envoy 1",
    )


@pytest.mark.parametrize(
    ("counts", "text"),
    [
        ([34, 33, 33], "34/33/33"),
        ([1000, 0], "1,000/0"),
        ([10] * 30, "10 on 30 of 30"),
        ([10, 11] * 15, "10-11 on 30 of 30"),
        ([300] + [0] * 29, "300 on 1 of 30"),
        ([0] * 7, "0 on 0 of 7"),
    ],
)
def test_counts_are_told_one_by_one_or_of_many_by_their_range(counts: list[int], text: str) -> None:
    assert counts_text(counts) == text


@pytest.mark.parametrize(
    ("counts", "text", "even"),
    [
        ({"r1": 34, "r2": 33, "r3": 33}, "even", True),
        ({"r1": 35, "r2": 33, "r3": 33}, "uneven", False),
        ({"r1": 0, "r2": 100, "r3": 0}, "all r2", False),
        ({"r1": 50, "r2": 50, "r3": 0}, "on 2 of 3", False),
        ({"r1": 100}, "the only one", True),
        ({"r1": 1, "r2": 0, "r3": 0}, "all r1", False),
        ({"r1": 0}, "nothing", False),
        ({"r1": 1, "r2": 0, "r3": 1}, "even", True),
    ],
)
def test_a_spread_has_a_name(counts: dict[str, int], text: str, even: bool) -> None:
    assert spread_text(counts) == (text, even)


def test_the_table_fits_a_pipe_in_one_piece(comparison: Comparison) -> None:
    page = page_of(comparison, Paper(width=100)).splitlines()
    assert max(map(len, page)) <= 100
    table = [line.split("  ") for line in page if line.startswith(" proxy, L7")]
    assert [cell.strip() for cell in table[0] if cell] == (
        ["proxy, L7", "2", "100/100/100", "2/2/2", "even", "0.75", "1.5", "1,333", "1/1/1", "200", "150", "350"]
    )


def test_a_narrow_terminal_gets_the_same_columns_in_two_parts(comparison: Comparison) -> None:
    page = page_of(comparison, Paper(width=80)).splitlines()
    assert max(map(len, page)) <= 80
    assert [line.split()[0] for line in page if line.startswith(" round_robin  ")] == ["round_robin"] * 2


def test_what_agrees_is_said_with_its_numbers(comparison: Comparison) -> None:
    page = " ".join(page_of(comparison, Paper()).split())
    assert comparison.differences() == {}
    assert "Counted three ways, and all agree: 1,500 calls, 30 streams and 1,500 messages" in page
    assert "of these 306 by Envoy" in page


def test_what_does_not_agree_is_said_where(comparison: Comparison) -> None:
    l7 = comparison.ways[3]
    wrong = replace(l7.calls, tallies=((l7.calls.tallies[0][0], Tally("Envoy", "call", EVEN | {"h:3": 99})),))
    broken = replace(comparison, ways=(*comparison.ways[:3], replace(l7, calls=wrong), comparison.ways[4]))
    assert broken.differences() == {"proxy, L7": ("r3: the client counted 100 calls, Envoy 99",)}
    page = page_of(broken, Paper())
    assert "The counts do not agree." in page
    assert "proxy, L7: r3: the client counted 100 calls, Envoy 99" in page
    told = broken.as_dict("")
    assert not told["reconciled"]
    assert [way["reconciled"] for way in told["ways"]] == [True, True, True, False, True]


def test_failures_are_counted_and_told(comparison: Comparison) -> None:
    first = comparison.ways[1]
    failing = replace(first, calls=replace(first.calls, failed=2, failures=("UNAVAILABLE (gone)",)))
    broken = replace(comparison, ways=(comparison.ways[0], failing, *comparison.ways[2:]))
    assert broken.failed == 2
    page = page_of(broken, Paper(width=200))
    assert "0/300/0 (2 failed)" in page
    assert "pick_first: failed with UNAVAILABLE (gone)" in page


def test_the_paragraph_says_what_the_figures_show(comparison: Comparison) -> None:
    text = explanation(comparison)
    assert "round_robin in the client spread the calls 100/100/100, the proxy as evenly, 100/100/100" in text
    assert "all went to r2" in text
    assert "1.50 times as long at the median (0.75 ms for 0.50 ms)" in text
    assert "1.75 times the CPU, 150 µs of it Envoy's" in text
    assert "2/2/2 by round_robin" in text


def test_the_paragraph_counts_one_message_as_one(comparison: Comparison) -> None:
    one = replace(comparison, requested={**comparison.requested, "messages": 1})
    assert "and its message went to that replica" in explanation(one)


def test_the_paragraph_does_not_claim_what_was_not_so(comparison: Comparison) -> None:
    uneven = walked(comparison.ways[3].way, {"h:1": 200, "h:2": 100}, envoy_us=1)
    text = explanation(replace(comparison, ways=(*comparison.ways[:3], uneven, comparison.ways[4])))
    assert "as evenly" not in text
    assert "the proxy 200/100/0" in text


def test_several_connections_are_a_way_of_their_own() -> None:
    assert [way.key for way in all_ways(1)] == ["single", "pick_first", "round_robin", "proxy_l7", "proxy_l4"]
    assert all_ways(4)[5] == Way("proxy_l4_4", "proxy, L4 x4", "pick_first", "l4", 4)


def test_the_json_repeats_the_question_and_has_every_count(comparison: Comparison) -> None:
    told: dict[str, Any] = comparison.as_dict("why")
    assert told["requested"]["count"] == 300
    assert told["explanation"] == "why"
    assert told["reconciled"]
    l7 = told["ways"][3]
    assert l7["hops"] == 2
    assert l7["calls"]["by_replica"] == {"r1": 100, "r2": 100, "r3": 100}
    assert l7["calls"]["cpu_us"] == {"client": 200.0, "proxy": 150.0, "together": 350.0}
    assert [each["who"] for each in l7["calls"]["counted"]] == ["the client", "the replicas", "Envoy"]
    assert told["ways"][2]["calls"]["cpu_us"]["proxy"] is None


def test_ascii_is_enough(comparison: Comparison) -> None:
    assert page_of(comparison, Paper(ascii_only=True)).isascii()
