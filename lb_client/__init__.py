"""The calling side: channels whose endpoints stay live, a driver that issues calls, and reports of how they spread.

    import lb_client

    with lb_client.insecure_channel("dir:///run/lbdemo/default/greeter", policy=lb_client.RoundRobin()) as channel:
        stub = helloworld_pb2_grpc.GreeterStub(channel)  # a stock grpc.Channel

`lb_client.aio` holds the same for asyncio.
"""

from __future__ import annotations

from lb_client._version import __version__

TYPE_CHECKING = False  # not from typing, which is late enough when something needs it: the command passes by here
if TYPE_CHECKING:
    from typing import Any

    from lb_client import aio
    from lb_client.answers import moving_answers
    from lb_client.attempts import Attempts
    from lb_client.channel import insecure_channel, secure_channel, switch_policy
    from lb_client.policy import (
        FailurePercentage,
        OutlierDetection,
        PickFirst,
        Retry,
        RetryBudget,
        RingHash,
        RoundRobin,
        StaticWeights,
        SuccessRate,
        WeightedRoundRobin,
    )
    from lb_client.streams import MovingStream, StreamLostError

__all__ = [
    "Attempts",
    "FailurePercentage",
    "MovingStream",
    "OutlierDetection",
    "PickFirst",
    "Retry",
    "RetryBudget",
    "RingHash",
    "RoundRobin",
    "StaticWeights",
    "StreamLostError",
    "SuccessRate",
    "WeightedRoundRobin",
    "__version__",
    "aio",
    "insecure_channel",
    "moving_answers",
    "secure_channel",
    "switch_policy",
]

# Imported when first used: `lbdemo --help` needs neither gRPC nor asyncio.
_HOMES = {
    "Attempts": "lb_client.attempts",
    "FailurePercentage": "lb_client.policy",
    "MovingStream": "lb_client.streams",
    "OutlierDetection": "lb_client.policy",
    "PickFirst": "lb_client.policy",
    "Retry": "lb_client.policy",
    "RetryBudget": "lb_client.policy",
    "RingHash": "lb_client.policy",
    "RoundRobin": "lb_client.policy",
    "StaticWeights": "lb_client.policy",
    "StreamLostError": "lb_client.streams",
    "SuccessRate": "lb_client.policy",
    "WeightedRoundRobin": "lb_client.policy",
    "insecure_channel": "lb_client.channel",
    "moving_answers": "lb_client.answers",
    "secure_channel": "lb_client.channel",
    "switch_policy": "lb_client.channel",
}


def __getattr__(name: str) -> Any:
    """The public name, from the module it lives in."""
    import importlib  # noqa: PLC0415 -- as above

    if name == "aio":
        return importlib.import_module("lb_client.aio")
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'lb_client' has no attribute {name!r}")
