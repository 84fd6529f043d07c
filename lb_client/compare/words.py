"""What a comparison means, in a paragraph of plain words made of its own figures. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lb_client.compare.tally import counts_text, spread_text
from lb_client.compare.ways import PICK_FIRST, PROXY_L4, PROXY_L7, ROUND_ROBIN

if TYPE_CHECKING:
    from lb_client.compare.result import Comparison, Walked


def explanation(comparison: Comparison) -> str:
    """The paragraph. It claims nothing that the figures do not show."""
    client, proxy = comparison.find(ROUND_ROBIN.key), comparison.find(PROXY_L7.key)
    sentences = [
        _who_spreads(comparison, client, proxy),
        _what_the_hop_costs(client, proxy),
        _connections(comparison),
        _streams(comparison, client),
    ]
    return " ".join(sentence for sentence in sentences if sentence)


def _spread(comparison: Comparison, walked: Walked) -> str:
    return counts_text(comparison.named(walked.calls.by_address).values())


def _is_even(comparison: Comparison, walked: Walked) -> bool:
    return spread_text(comparison.named(walked.calls.by_address))[1]


def _who_had_them(comparison: Comparison, walked: Walked) -> str:
    taken = [name for name, number in comparison.named(walked.calls.by_address).items() if number]
    return f"all went to {taken[0]}" if len(taken) == 1 else f"they went {_spread(comparison, walked)}"


def _who_spreads(comparison: Comparison, client: Walked, proxy: Walked) -> str:
    text = f"round_robin in the client spread the calls {_spread(comparison, client)}, the proxy"
    if _is_even(comparison, client) and _is_even(comparison, proxy):
        text += " as evenly,"
    text += f" {_spread(comparison, proxy)}"
    first = comparison.find(PICK_FIRST.key)
    return f"{text}; by pick_first, which a channel does unless told otherwise, {_who_had_them(comparison, first)}."


def _what_the_hop_costs(client: Walked, proxy: Walked) -> str:
    here, there = client.calls.latency_ms.get("p50"), proxy.calls.latency_ms.get("p50")
    mine, both = client.calls.cpu_us_together, proxy.calls.cpu_us_together
    envoy = proxy.calls.cpu_us(proxy.calls.proxy_cpu_s)
    if not (here and there and mine and both and envoy):
        return ""
    return (
        f"Through the proxy a call took {there / here:.2f} times as long at the median ({there:.2f} ms for {here:.2f} "
        f"ms) and cost {both / mine:.2f} times the CPU, {envoy:,.0f} µs of it Envoy's: the second hop. What that buys: "
        "a client has to know one address, and nothing of balancing."
    )


def _connections(comparison: Comparison) -> str:
    single = comparison.find(PROXY_L4.key)
    text = (
        "At L4 the proxy balances connections, and a gRPC channel has one for all its calls: "
        f"{_who_had_them(comparison, single)}"
    )
    many = next((w for w in comparison.ways if w.way.through == "l4" and w.way.connections > 1), None)
    if many is not None:
        text += (
            f"; over {many.way.connections} connections the calls went {_spread(comparison, many)}, "
            "as the connections had fallen"
        )
    return f"{text}."


def _streams(comparison: Comparison, client: Walked) -> str:
    messages = comparison.requested["messages"]
    spread = counts_text(comparison.named(client.streams.by_address).values())
    what = "its message" if messages == 1 else f"all its {messages:,} messages"
    return (
        f"A stream is one call: it was balanced once, when it began ({spread} by round_robin), and {what} went to that "
        "replica, whichever the way."
    )
