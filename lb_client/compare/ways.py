"""The ways that a call can take to a replica, as data. Who walks them is walk.py."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Way:
    """One way.

    Attributes:
        key: Its name in JSON.
        title: Its name in the table.
        policy: What the client's channel does: `pick_first` or `round_robin`.
        through: `direct`, `l7` or `l4`: which listener of the proxy it takes, if any.
        hops: How many connections a call travels over.
        connections: How many connections the client opens, each a channel of its own.
        one_replica: Whether the channel knows a single replica.
    """

    key: str
    title: str
    policy: str
    through: str = "direct"
    connections: int = 1
    one_replica: bool = False

    @property
    def hops(self) -> int:
        """One to a replica, two through a proxy."""
        return 1 if self.through == "direct" else 2

    @property
    def is_live(self) -> bool:
        """Whether the client's channel follows the registry itself."""
        return self.through == "direct" and not self.one_replica


SINGLE = Way("single", "one connection", "pick_first", one_replica=True)
PICK_FIRST = Way("pick_first", "pick_first", "pick_first")
ROUND_ROBIN = Way("round_robin", "round_robin", "round_robin")
PROXY_L7 = Way("proxy_l7", "proxy, L7", "round_robin", through="l7")
PROXY_L4 = Way("proxy_l4", "proxy, L4", "pick_first", through="l4")


def all_ways(connections: int) -> tuple[Way, ...]:
    """The five ways, and the last with several connections as well where more than one is asked for."""
    ways = (SINGLE, PICK_FIRST, ROUND_ROBIN, PROXY_L7, PROXY_L4)
    if connections == 1:
        return ways
    many = Way(f"proxy_l4_{connections}", f"proxy, L4 x{connections}", "pick_first", "l4", connections)
    return (*ways, many)
