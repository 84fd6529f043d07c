"""Proxy load balancing: a real Envoy in front of a target's replicas, its endpoints fed by our own ADS service.

with EnvoyProxy("dir:///run/lbdemo/default/greeter") as proxy:
    channel = grpc.insecure_channel(proxy.address)  # knows the proxy and nothing else
"""

from __future__ import annotations

from lb_client.proxy.envoy import EnvoyProxy
from lb_client.proxy.errors import EnvoyEndedError, EnvoyMissingError, NotReadyError, PortTakenError, ProxyError

__all__ = ["EnvoyEndedError", "EnvoyMissingError", "EnvoyProxy", "NotReadyError", "PortTakenError", "ProxyError"]
