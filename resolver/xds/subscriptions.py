"""Per-stream ADS subscriptions: requests and resources in, responses out. No gRPC here; see server.py.

The state-of-the-world variant of the xDS protocol, rule by rule as docs/xds.md lists them with their source.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from resolver.xds.resources import CLUSTER, ENDPOINTS, LISTENER, ROUTES, Resource

if TYPE_CHECKING:
    from collections.abc import Iterable

# Make before break: what is referred to comes before what refers to it. A route that moves to a cluster whose endpoints
# are still to come would send calls to those that it had before. (xDS protocol, eventual consistency considerations.)
TYPE_ORDER = (CLUSTER, ENDPOINTS, LISTENER, ROUTES)
# Of these a response is the whole truth: a name that is missing from it does not exist.
_FULL_STATE = frozenset({LISTENER, CLUSTER})
_WILDCARD = "*"
_ABSENT = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What of a DiscoveryRequest matters. `error` is the client's reason for a NACK, None in an ACK."""

    type_url: str
    names: tuple[str, ...] = ()
    nonce: str = ""
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Response:
    """What of a DiscoveryResponse matters."""

    type_url: str
    version: str
    nonce: str
    resources: tuple[Resource, ...]


@dataclass(frozen=True, slots=True)
class Rejection:
    """A NACK, told once: what the client refused and why."""

    type_url: str
    names: tuple[str, ...]
    version: str
    reason: str


class ResourceSet(Protocol):
    """The truth that streams are told: all resources there are now."""

    def find(self, type_url: str, name: str) -> Resource | None:
        """The resource as it is now, or None where there is none."""

    def names(self, type_url: str) -> Iterable[str]:
        """All names of a type: what a wildcard stands for."""


@dataclass(slots=True)
class _TypeState:
    """One type on one stream."""

    names: frozenset[str] = frozenset()
    wildcard: bool = False
    named: bool = False  # names were sent at some time: from then on an empty list means nothing, not everything
    nonce: str = ""
    sent: dict[str, str] = field(default_factory=dict)  # name -> version last sent, or _ABSENT
    in_flight: Response | None = None  # the last response, until the client has judged it
    singly: set[str] = field(default_factory=set)  # names to be sent one by one: the last response held a culprit
    rejected: dict[str, str] = field(default_factory=dict)  # name -> version that the client refused


class Subscriptions:
    """The state of one stream. `receive` takes a request in, `due` tells what has become due; both only decide.

    Nothing is sent twice in the same version to the same subscription, and what was rejected is not sent again until
    its content changes. A rejection names no culprit: where a response held several resources they are sent once more,
    one by one. (Listeners and clusters cannot be: their responses are the whole truth, and go out whole when any of
    them has news.)
    """

    def __init__(self) -> None:
        self._types: dict[str, _TypeState] = {}
        self._nonces = 0

    def receive(self, request: Request) -> Rejection | None:
        """Take in one request. What it makes due comes from `due`; a NACK comes back for the log."""
        state = self._types.setdefault(request.type_url, _TypeState())
        if request.nonce and request.nonce != state.nonce:
            # Stale: it crossed a newer response on the wire. The client will answer that one too.
            return None
        rejection = self._settle(state, request) if request.nonce else None
        self._subscribe(state, request)
        return rejection

    def due(self, truth: ResourceSet) -> list[Response]:
        """The responses that bring the stream up to date, in the order in which to send them; often none."""
        responses = []
        for type_url in sorted(self._types, key=_position):
            response = self._due(type_url, self._types[type_url], truth)
            if response is not None:
                responses.append(response)
        return responses

    @staticmethod
    def _settle(state: _TypeState, request: Request) -> Rejection | None:
        """The verdict on the last response: forget it when accepted, remember its content when rejected."""
        response, state.in_flight = state.in_flight, None
        if response is None or request.error is None:
            return None
        if len(response.resources) > 1 and response.type_url not in _FULL_STATE:
            state.singly.update(resource.name for resource in response.resources)
            for resource in response.resources:
                state.sent.pop(resource.name, None)
        else:
            state.rejected.update((resource.name, resource.version) for resource in response.resources)
        return Rejection(response.type_url, tuple(r.name for r in response.resources), response.version, request.error)

    @staticmethod
    def _subscribe(state: _TypeState, request: Request) -> None:
        if not request.nonce:
            # A new subscription, also after the client went idle: whatever version it has, it is told again.
            state.sent.clear()
        names = frozenset(request.names)
        state.named = state.named or bool(names)
        state.wildcard = _WILDCARD in names or (not names and not state.named and request.type_url in _FULL_STATE)
        state.names = names - {_WILDCARD}
        if not state.wildcard:
            # Left and subscribed again later, a name is new to the client: it has dropped what it knew.
            for name in state.sent.keys() - state.names:
                del state.sent[name]

    def _due(self, type_url: str, state: _TypeState, truth: ResourceSet) -> Response | None:
        names = sorted(state.names.union(truth.names(type_url)) if state.wildcard else state.names)
        found = {name: resource for name in names if (resource := truth.find(type_url, name)) is not None}
        news = {
            name: resource
            for name, resource in found.items()
            if resource.version not in (state.sent.get(name), state.rejected.get(name))
        }
        if type_url in _FULL_STATE:
            gone = [name for name in {*names, *state.sent} if name not in found and state.sent.get(name) != _ABSENT]
            if not news and not gone:
                return None
            told = found
            state.sent = dict.fromkeys(names, _ABSENT)
        else:
            told = self._one_by_one(state, news)
            if not told:
                return None
        state.sent.update((name, resource.version) for name, resource in told.items())
        self._nonces += 1
        state.nonce = str(self._nonces)
        state.in_flight = Response(type_url, _version(told), state.nonce, tuple(told.values()))
        return state.in_flight

    @staticmethod
    def _one_by_one(state: _TypeState, news: dict[str, Resource]) -> dict[str, Resource]:
        """Of the news, what may go out now: one alone while a culprit is looked for, each after the last was judged."""
        state.singly &= news.keys()
        if not state.singly:
            return news
        if state.in_flight is not None:
            return {}
        name = min(state.singly)
        state.singly.discard(name)
        return {name: news[name]}


def _version(told: dict[str, Resource]) -> str:
    """The response's version: that of its one resource; of several, one that no other set of contents has."""
    if len(told) == 1:
        return next(resource.version for resource in told.values())
    digest = zlib.crc32(repr([(resource.name, resource.version) for resource in told.values()]).encode())
    return f"{max((resource.version for resource in told.values()), default='none')}.{digest:08x}"


def _position(type_url: str) -> tuple[int, str]:
    return (TYPE_ORDER.index(type_url) if type_url in TYPE_ORDER else len(TYPE_ORDER), type_url)
