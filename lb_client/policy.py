"""Load-balancing policies as data, for the `policy` of a channel."""

from resolver.policy import PickFirst, Policy, RoundRobin

__all__ = ["PickFirst", "Policy", "RoundRobin"]
