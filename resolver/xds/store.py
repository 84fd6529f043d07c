"""The truth that streams are told: services and the latest snapshot of their sources, as resources built once."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from resolver.arrangement import Part, Split, shared_weights, split
from resolver.snapshots import next_version
from resolver.xds import resources
from resolver.xds.assignments import Shape
from resolver.xds.resources import CLUSTER, ENDPOINTS, LISTENER, ONE_PART, InvalidAssignmentError, Resource, View

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from resolver.model import Endpoint, Snapshot
    from resolver.policy import Policy

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Service:
    """A target under a policy, and what its streams were told of it.

    Attributes:
        parts: The keys of all parts that it ever had. Their clusters stay: calls may be on their way there.
        routed: What its listener says.
        retries: Whether it says so of the policy's retries too.
    """

    source_key: str
    policy: Policy
    zone: str
    parts: set[str] = field(default_factory=set)
    routed: Split | None = None
    retries: bool = True


class ResourceStore:
    """Holds one resource for each type and name. Not for several threads: it lives on the control plane's loop."""

    def __init__(self) -> None:
        self._resources: dict[str, dict[str, Resource]] = {LISTENER: {}, CLUSTER: {}, ENDPOINTS: {}}
        self._snapshots: dict[str, Snapshot] = {}
        self._splits: dict[str, Split] = {}  # of the snapshots
        self._services: dict[str, _Service] = {}
        self._plain: dict[str, set[str]] = {}  # of a source, the zones that come first for an Envoy
        self._assignments: dict[str, set[str]] = {}  # the names of all that were made of a source
        self._problems: dict[str, str] = {}  # by the assignment's name, what was last wrong with it

    def find(self, type_url: str, name: str) -> Resource | None:
        """The resource as it is now, or None where there is none."""
        return self._resources.get(type_url, {}).get(name)

    def names(self, type_url: str) -> Iterable[str]:
        """All names of a type."""
        return self._resources.get(type_url, {}).keys()

    def put_service(self, key: str, source_key: str, policy: Policy, zone: str = "") -> None:
        """Offer a target under a policy: `xds://lbdemo/<key>`. Again with another policy, to those who have it too."""
        before = self._services.get(key)
        service = self._services[key] = _Service(source_key, policy, zone)
        if before is not None:
            service.parts = before.parts
        snapshot = self._snapshots.get(source_key)
        found = ONE_PART if snapshot is None else self._splits[source_key]
        service.parts.update(part.key for part in found.parts)
        version = next_version()
        for part in service.parts:
            self._put(resources.cluster(key, source_key, policy, version, zone=zone, part=part))
        self._route(key, service, found, version)
        if snapshot is not None:
            self._put_views(source_key, [service], found, snapshot.version)
        self._drop_unused(source_key)

    def allow_retries(self, key: str, *, allowed: bool) -> None:
        """Route a service's calls with its policy's retries, or without any. No error if it is not there."""
        service = self._services.get(key)
        if service is not None and service.routed is not None:
            service.retries = allowed
            self._route(key, service, service.routed, next_version())

    def remove_service(self, key: str) -> None:
        """Offer it no longer. No error if it was not there."""
        service = self._services.pop(key, None)
        if service is None:
            return
        self._resources[LISTENER].pop(resources.name(LISTENER, key), None)
        for part in service.parts:
            self._resources[CLUSTER].pop(resources.cluster_name(key, part), None)
        self._drop_unused(service.source_key)

    def put_snapshot(self, source_key: str, snapshot: Snapshot) -> None:
        """The endpoints of a source, now."""
        self._snapshots[source_key] = snapshot
        before = self._splits.get(source_key)
        found = self._splits[source_key] = split(snapshot.endpoints, None if before is None else before.versions)
        services = {key: service for key, service in self._services.items() if service.source_key == source_key}
        self._put_views(source_key, services.values(), found, snapshot.version)
        for zone in self._plain.get(source_key, ()):
            self._put_plain(source_key, zone)
        for key, service in services.items():
            for part in found.parts:
                if part.key not in service.parts:
                    service.parts.add(part.key)
                    self._put(
                        resources.cluster(
                            key, source_key, service.policy, next_version(), zone=service.zone, part=part.key
                        )
                    )
            if service.routed is None or _routing(service.routed) != _routing(found):
                self._route(key, service, found, next_version())

    def offer_plainly(self, source_key: str, zone: str = "") -> None:
        """Offer a source's endpoints by a plain name as well, from now on: for Envoy. Its weights say the shares."""
        self._plain.setdefault(source_key, set()).add(zone)
        self._put_plain(source_key, zone)

    def _put_plain(self, source_key: str, zone: str) -> None:
        if (snapshot := self._snapshots.get(source_key)) is not None:
            endpoints = shared_weights(snapshot.endpoints, zone)
            name = resources.plain_name(source_key, zone)
            self._put_assignment(source_key, name, endpoints, snapshot.version, View(zone=zone))

    def remove_source(self, source_key: str) -> None:
        """Forget a source's endpoints. No error if there were none."""
        self._snapshots.pop(source_key, None)
        self._splits.pop(source_key, None)
        self._plain.pop(source_key, None)
        self._drop(source_key, keep=())
        self._assignments.pop(source_key, None)

    def _route(self, key: str, service: _Service, found: Split, version: str) -> None:
        service.routed = found
        policy = service.policy if service.retries else replace(service.policy, retry=None)
        self._put(resources.listener(key, policy, version, found))

    def _put_views(self, source_key: str, services: Iterable[_Service], found: Split, version: str) -> None:
        """The assignments that these services, and whoever may come, take of the source.

        A part that no call can be routed to keeps the endpoints that it had: a call may be on its way to it.
        """
        views = {View(part=part.key): part for part in _reachable(found) if not part.key}
        for service in services:
            views |= {View.of(service.policy, service.zone, part.key): part for part in _reachable(found)}
        for view, part in views.items():
            self._put_assignment(source_key, view.resource_name(source_key), part.endpoints, version, view)

    def _put_assignment(
        self, source_key: str, name: str, endpoints: tuple[Endpoint, ...], version: str, view: View
    ) -> None:
        try:
            resource = resources.assignment(name, endpoints, version, view)
        except InvalidAssignmentError as error:
            if self._problems.get(name) != str(error):
                _log.error("not sent, since gRPC would refuse it: %s; the endpoints before it stay in force", error)
            self._problems[name] = str(error)
            return
        self._problems.pop(name, None)
        self._assignments.setdefault(source_key, set()).add(name)
        before = self.find(ENDPOINTS, name)
        # A ring is told only when it is another one.
        if view.shape is not Shape.RING or before is None or before.body != resource.body:
            self._put(resource)

    def _drop_unused(self, source_key: str) -> None:
        used = {
            View.of(service.policy, service.zone, part).resource_name(source_key)
            for service in self._services.values()
            if service.source_key == source_key
            for part in service.parts
        }
        plain = {resources.plain_name(source_key, zone) for zone in self._plain.get(source_key, ())}
        self._drop(source_key, keep={*used, *plain, View().resource_name(source_key)})

    def _drop(self, source_key: str, keep: Collection[str]) -> None:
        for name in self._assignments.get(source_key, set()) - set(keep):
            self._assignments[source_key].discard(name)
            self._problems.pop(name, None)
            self._resources[ENDPOINTS].pop(name, None)

    def _put(self, resource: Resource) -> None:
        self._resources[resource.type_url][resource.name] = resource


def _routing(found: Split) -> tuple[object, ...]:
    """What of a split a listener says."""
    return tuple((part.key, part.weight) for part in found.parts if part.weight), found.by_version


def _reachable(found: Split) -> Iterator[Part]:
    """The parts that calls are routed to."""
    asked = {key for _, key in found.by_version}
    return (part for part in found.parts if part.weight or part.key in asked)
