"""Which services are offered: each a source under a policy, for the channels that share it. Bookkeeping, no I/O."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from resolver.target import Target, quote_path
from resolver.xds.resources import AUTHORITY

if TYPE_CHECKING:
    from collections.abc import Collection

    from resolver.policy import Policy


@dataclass(slots=True)
class Service:
    """One of them. Core knows it by its key, which therefore stays when the policy changes.

    Attributes:
        key: Its name on the wire.
        source: The key of its endpoints' source.
        policy: As of now.
        is_own: Whether it belongs to one channel, and no other may join.
        zone: Whose endpoints come first; "" for no preference.
    """

    key: str
    source: str
    policy: Policy
    is_own: bool
    zone: str = ""

    @property
    def uri(self) -> str:
        """What to open a channel to."""
        return f"xds://{AUTHORITY}/{self.key}"


class Services:
    """All of them. Not for several threads: whoever holds the control plane's lock."""

    def __init__(self) -> None:
        self._by_key: dict[str, Service] = {}

    def find(self, source: str, policy: Policy, zone: str = "") -> Service | None:
        """One that a further channel may join: channels of equal arguments share their connections by its name."""
        asked = (source, policy, zone)
        for service in self._by_key.values():
            if not service.is_own and (service.source, service.policy, service.zone) == asked:
                return service
        return None

    def add(self, source: str, policy: Policy, *, is_own: bool, zone: str = "") -> Service:
        """A new one."""
        key = unique(f"{policy.name}/{source}", self._by_key)
        self._by_key[key] = service = Service(key, source, policy, is_own, zone)
        return service

    def get(self, key: str) -> Service | None:
        """The one of that key; None where nobody needs it any more."""
        return self._by_key.get(key)

    def retain(self, keys: Collection[str]) -> list[str]:
        """Forget all but these; returns what was forgotten."""
        gone = [key for key in self._by_key if key not in keys]
        for key in gone:
            del self._by_key[key]
        return gone

    @property
    def keys(self) -> list[str]:
        """Of all of them."""
        return list(self._by_key)

    @property
    def sources(self) -> set[str]:
        """The sources that they need."""
        return {service.source for service in self._by_key.values()}


def unique(wanted: str, taken: Collection[str]) -> str:
    """The wanted name, with a number where it is taken."""
    key, number = wanted, 1
    while key in taken:
        number += 1
        key = f"{wanted}~{number}"
    return key


def readable_key(target: Target) -> str:
    """A key for the target that reads like it and needs no escaping in a URI path."""
    rest = quote_path((target.authority + target.path).strip("/"))
    if len(rest) > 200:
        rest = re.sub("%.?$", "", rest[:180]) + "..."  # not in the middle of an escape
    return f"{target.scheme}/{rest}"
