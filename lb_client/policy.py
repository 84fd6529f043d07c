"""Load-balancing policies as data, for the `policy` of a channel."""

from resolver.policy import PickFirst, Policy, RingHash, RoundRobin

__all__ = ["PickFirst", "Policy", "RingHash", "RoundRobin"]
