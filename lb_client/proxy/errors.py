"""What can go wrong with a proxy, named after what the reader should do.

    ProxyError
    ├── EnvoyMissingError   install the extra that brings Envoy
    ├── PortTakenError      choose another port
    ├── NotReadyError       look at the target: nothing is known of it
    └── EnvoyEndedError     read Envoy's last words

`str()` of each is one line.
"""

from __future__ import annotations


class ProxyError(Exception):
    """Root of what this package raises."""


class EnvoyMissingError(ProxyError):
    """There is no Envoy here that could be run."""


class PortTakenError(ProxyError):
    """The proxy cannot listen where it should: most often, because somebody else does."""


class NotReadyError(ProxyError):
    """Envoy runs, and did not come to listen in time."""


class EnvoyEndedError(ProxyError):
    """Envoy has ended, and nobody had told it to."""
