"""What one replica is told before it starts. Plain data: importing this pulls in neither gRPC nor asyncio."""

from __future__ import annotations

from dataclasses import dataclass

DRAIN_MARGIN_S = 4.5
"""What a drain may take beyond its linger and its grace: two seconds for clients that stay, and its own work."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaSpec:
    """Everything a replica needs to know, from the command line or from its supervisor.

    Attributes:
        id: The replica's name in its cluster (`r1`); goes out on every call as metadata.
        registry: Folder to announce the record in, absolute; None announces nowhere.
        heir_file: A file whose loss or replacement tells that the registry is another cluster's by now, so that the
            record is not put back; None where nobody can take the registry over.
        host: Address to bind and, unless `advertise` is given, to announce.
        port: Port to bind; 0 takes any free one. Never shared with another process.
        advertise: host or host:port to announce instead of the bound one (containers); None for the bound one.
        service: `package.module:function` that registers the user's servicers on a server; None serves the Greeter.
        linger_s: Seconds at least between withdrawing the record and refusing new calls, so that clients hear of it
            first. While clients that called are still connected it is more: see leaving.py.
        grace_s: Seconds that calls in flight may take to finish once the server stops.
        journals: Folder for what is written down of calls that ask for it, absolute; None writes nothing down.
        metadata: Further strings for the record's Metadata (`zone`, `version`, …), as sorted pairs.
    """

    id: str
    registry: str | None = None
    heir_file: str | None = None
    host: str = "127.0.0.1"
    port: int = 0
    advertise: str | None = None
    service: str | None = None
    linger_s: float = 0.3
    grace_s: float = 5.0
    journals: str | None = None
    metadata: tuple[tuple[str, str], ...] = ()

    @property
    def drain_limit_s(self) -> float:
        """Seconds after which whoever waits for its drain may take it for stuck."""
        return self.linger_s + self.grace_s + DRAIN_MARGIN_S
