"""The nouns of resolution: Endpoint, Health, Verdict, Snapshot. Immutable values; equality means nothing changed."""

from __future__ import annotations

import enum
import ipaddress
import re
from dataclasses import dataclass, replace

# xDS adds weights up in 32 bits.
MAX_WEIGHT = 0xFFFF

_PERCENT = re.compile(r"\d{1,3}(\.\d{0,9})?", re.ASCII)
_ADDRESS = re.compile(r"(\[(?P<ipv6>[^\[\]]*:[^\[\]]*)\]|(?P<other>[^\[\]:]*)):(?P<port>[0-9]{1,9})")


def percent(text: str) -> float | None:
    """The percentage that a text is, 0 to 100; None when it is none."""
    if not _PERCENT.fullmatch(text):
        return None
    value = float(text)
    return value if value <= 100 else None


class Health(enum.Enum):
    """What is known of an endpoint's health. Only HEALTHY and UNKNOWN endpoints get calls.

    UNKNOWN means that nobody checks; an endpoint that is checked and has not answered yet is UNHEALTHY.
    """

    UNKNOWN = "unknown"
    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"
    DRAINING = "draining"

    @property
    def takes_calls(self) -> bool:
        """Whether a load-balancing policy may pick an endpoint in this state."""
        return self in (Health.UNKNOWN, Health.HEALTHY)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a check says of an endpoint.

    Attributes:
        health: How it is.
        reason: Why it is not well, in one line; "" where there is nothing to say.
        silent: It was well, and does not answer any more: a guess of ours, not a word of its own.
    """

    health: Health
    reason: str = ""
    silent: bool = False


@dataclass(frozen=True, slots=True, order=True)
class Endpoint:
    """One address at which the service is served, as discovery tells it.

    Attributes:
        host: A literal IPv4 or IPv6 address, without brackets: xDS takes no names. Kept in its one canonical spelling,
            because core refuses a set in which one address stands twice.
        port: 1 to 65535.
        id: Name of the replica behind it, "" where the registry does not tell.
        weight: Relative share, 1 to 65535. static_weights and ring_hash keep to it, round_robin ignores it.
        zone: Locality name, "" where the registry does not tell.
        metadata: Further strings of the record as sorted pairs; `version` and `share` have a meaning (arrangement.py).
        health: UNKNOWN until a health monitor has joined its word.

    Raises:
        ValueError: A field is outside its range; the message names the field and the value.
    """

    host: str
    port: int
    id: str = ""
    weight: int = 1
    zone: str = ""
    metadata: tuple[tuple[str, str], ...] = ()
    health: Health = Health.UNKNOWN

    def __post_init__(self) -> None:
        try:
            host = ipaddress.ip_address(self.host)
        except ValueError:
            raise ValueError(f"host {self.host!r} is not an IPv4 or IPv6 address") from None
        if isinstance(host, ipaddress.IPv6Address) and host.scope_id is not None:
            raise ValueError(f"host {self.host!r} has a scope, which xDS does not take")
        object.__setattr__(self, "host", str(host))
        if not 1 <= self.port <= 65535:
            raise ValueError(f"port {self.port} is not between 1 and 65535")
        if not 1 <= self.weight <= MAX_WEIGHT:
            raise ValueError(f"weight {self.weight} is not between 1 and {MAX_WEIGHT}")

    @classmethod
    def at(cls, address: str, *, id: str = "") -> Endpoint:
        """The endpoint at `host:port` or `[host]:port`.

        Raises:
            ValueError: The address is not of that form.
        """
        form = _ADDRESS.fullmatch(address)
        if form is None:
            raise ValueError(f"{address!r} is not host:port (IPv6 as [host]:port)")
        return cls(form["ipv6"] or form["other"], int(form["port"]), id=id)

    @property
    def address(self) -> str:
        """`host:port`, with brackets around an IPv6 host: what a gRPC target takes."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def version(self) -> str:
        """Which version of the service it is; "" where the registry does not tell."""
        return next((value for key, value in self.metadata if key == "version"), "")

    @property
    def share(self) -> float | None:
        """Its version's part of the calls in percent; None where the registry tells none, or none that makes sense."""
        text = next((value for key, value in self.metadata if key == "share"), None)
        return None if text is None else percent(text)

    def with_health(self, health: Health) -> Endpoint:
        """The same endpoint in another state of health."""
        return replace(self, health=health)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All endpoints of one target at one moment.

    Attributes:
        endpoints: Sorted, addresses unique, each with its health. Empty is a fact like any other.
        version: Text that is new for every change and never used again, in any process.
    """

    endpoints: tuple[Endpoint, ...]
    version: str

    @property
    def addresses(self) -> frozenset[str]:
        """The addresses that may get calls now."""
        return frozenset(e.address for e in self.endpoints if e.health.takes_calls)
