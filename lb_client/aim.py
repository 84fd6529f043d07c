"""What one client asks of a target's endpoints, and so which of them are to get which part of its calls. Pure."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

from resolver.arrangement import VERSION_HEADER, in_use, shared_weights, split

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from resolver.model import Endpoint

THE_REST = "the rest"


class Weights(enum.Enum):
    """What weights of endpoints mean to whoever balances."""

    IGNORED = "ignored"
    """Calls go in turn."""

    DRAWN = "drawn"
    """An endpoint is drawn for each call: gRPC core's way."""

    KEPT = "kept"
    """They are kept to in turn, and where all are equal calls go in turn: the way of an Envoy of ours.

    Shares of versions are weights to it, and who asks for a version is not heard.
    """


@dataclass(frozen=True, slots=True, order=True)
class Expected:
    """What one endpoint is to get.

    Attributes:
        part: The version as whose replica it gets calls; "" where versions make no difference.
        share: Its part of all calls, 0 to 1, where endpoints or versions are drawn; None where calls go in turn.
        rounds: In how many rounds it is: counts within a version may differ by so many.
        drawn: Whether it is drawn itself, by its weight; else only its version is, and within it calls go in turn.
    """

    part: str = ""
    share: float | None = None
    drawn: bool = False
    rounds: int = 1


LIKE_ANY = Expected()
"""What an endpoint is to get that is like any other."""


@dataclass(frozen=True, slots=True)
class Aim:
    """What a client asks for.

    Attributes:
        zone: Whose endpoints come first; "" for no preference.
        version: Which version every call asks for; "" for none.
        weights: What weights mean to whoever balances.
    """

    zone: str = ""
    version: str = ""
    weights: Weights = Weights.IGNORED

    @classmethod
    def of(cls, metadata: Iterable[tuple[str, str]], *, zone: str = "", weights: Weights = Weights.IGNORED) -> Aim:
        """From the metadata of the calls and what else a client of gRPC core says.

        A version counts when it is the only one asked for: several values of a key are one text to a route.
        """
        asked = [value for key, value in metadata if key == VERSION_HEADER]
        return cls(zone, asked[0] if len(asked) == 1 else "", weights)

    def expected(self, endpoints: Iterable[Endpoint]) -> dict[str, Expected]:
        """By address, what each is to get; who is to get nothing is not in it."""
        ways = [(share, in_use(levels, self.zone)) for levels, share in self._ways(tuple(endpoints)) if share]
        told: dict[str, Expected] = {}
        for share, ready in ways:
            total = sum(endpoint.weight for endpoint in ready)
            drawn = self._draws(ready)
            for endpoint in ready:
                own = share * (endpoint.weight / total if drawn else 1 / len(ready))
                before = told.get(endpoint.address)
                rounds = 1
                if before is not None:
                    own, drawn, rounds = own + (before.share or 0.0), drawn or before.drawn, before.rounds + 1
                label = endpoint.version or THE_REST if len(ways) > 1 else ""
                told[endpoint.address] = Expected(label, own, drawn, rounds)
        if len(ways) < 2 and not any(each.drawn for each in told.values()):
            return dict.fromkeys(told, LIKE_ANY)
        return told

    def _draws(self, ready: tuple[Endpoint, ...]) -> bool:
        if self.weights is Weights.DRAWN:
            return len(ready) > 1
        return self.weights is Weights.KEPT and len({endpoint.weight for endpoint in ready}) > 1

    def _ways(self, endpoints: tuple[Endpoint, ...]) -> Iterator[tuple[tuple[tuple[Endpoint, ...], ...], float]]:
        """Each way that a call can go, as levels of endpoints, and how probable it is."""
        if self.weights is Weights.KEPT:
            yield (shared_weights(endpoints, self.zone),), 1.0
            return
        found = split(endpoints)
        if self.version in found.asked:
            yield (found.only(self.version),), 1.0
            return
        total = sum(part.weight for part in found.parts)
        for part in found.parts:
            yield found.levels(part), part.weight / total
