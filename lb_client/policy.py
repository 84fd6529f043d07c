"""Load-balancing policies as data, for the `policy` of a channel."""

from resolver.outlier_detection import FailurePercentage, OutlierDetection, SuccessRate
from resolver.policy import PickFirst, Policy, RingHash, RoundRobin, StaticWeights, WeightedRoundRobin
from resolver.retry import Retry, RetryBudget

__all__ = [
    "FailurePercentage",
    "OutlierDetection",
    "PickFirst",
    "Policy",
    "Retry",
    "RetryBudget",
    "RingHash",
    "RoundRobin",
    "StaticWeights",
    "SuccessRate",
    "WeightedRoundRobin",
]
