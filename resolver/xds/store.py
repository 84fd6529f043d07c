"""The truth that streams are told: services and the latest snapshot of their sources, as resources built once."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from resolver.arrangement import Split, shared_weights, split
from resolver.snapshots import next_version
from resolver.xds import resources
from resolver.xds.assignments import Shape
from resolver.xds.resources import CLUSTER, ENDPOINTS, LISTENER, ONE_PART, InvalidAssignmentError, Resource, View

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from resolver.model import Endpoint, Snapshot
    from resolver.policy import Policy

_log = logging.getLogger(__name__)

# The key of a part, or the version that calls ask for; the other one is "".
_Way = tuple[str, str]


@dataclass(slots=True)
class _Service:
    """A target under a policy, and what its streams were told of it.

    Attributes:
        ways: All that calls could ever go, by part or by version. Their clusters stay: calls may be on their way there.
        routed: What its listener says.
        retries: Whether it says so of the policy's retries too.
    """

    source_key: str
    policy: Policy
    zone: str
    ways: set[_Way] = field(default_factory=set)
    routed: Split | None = None
    retries: bool = True

    def view(self, way: _Way) -> View:
        """What the cluster of a way takes of the source."""
        return View.of(self.policy, self.zone, *way)


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
            service.ways = before.ways
        snapshot = self._snapshots.get(source_key)
        found = ONE_PART if snapshot is None else self._splits[source_key]
        version = next_version()
        for way in service.ways.union(_ways(found)):
            self._open(key, service, way, version)
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
        for part, only in service.ways:
            self._resources[CLUSTER].pop(resources.cluster_name(key, part, only), None)
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
            for way in _ways(found):
                if way not in service.ways:
                    self._open(key, service, way, next_version())
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
            self._put_assignment(source_key, name, (endpoints,), snapshot.version, View(zone=zone))

    def remove_source(self, source_key: str) -> None:
        """Forget a source's endpoints. No error if there were none."""
        self._snapshots.pop(source_key, None)
        self._splits.pop(source_key, None)
        self._plain.pop(source_key, None)
        self._drop(source_key, keep=())
        self._assignments.pop(source_key, None)

    def _open(self, key: str, service: _Service, way: _Way, version: str) -> None:
        service.ways.add(way)
        self._put(resources.cluster(key, service.source_key, service.policy, version, service.view(way)))

    def _route(self, key: str, service: _Service, found: Split, version: str) -> None:
        service.routed = found
        policy = service.policy if service.retries else replace(service.policy, retry=None)
        self._put(resources.listener(key, policy, version, found))

    def _put_views(self, source_key: str, services: Iterable[_Service], found: Split, version: str) -> None:
        """The assignments that these services, and whoever may come, take of the source.

        Where no call is routed to any more stay the endpoints that were there: a call may be on its way to them.
        """
        views = {View()} if found.parts[0].weight else set()
        for service in services:
            views.update(service.view(way) for way in _ways(found))
        for view in sorted(views, key=lambda view: view.resource_name(source_key)):
            self._put_assignment(source_key, view.resource_name(source_key), view.levels(found), version, view)

    def _put_assignment(
        self, source_key: str, name: str, levels: Iterable[tuple[Endpoint, ...]], version: str, view: View
    ) -> None:
        try:
            resource = resources.assignment(name, levels, version, view)
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
            service.view(way).resource_name(source_key)
            for service in self._services.values()
            if service.source_key == source_key
            for way in service.ways
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
    return tuple((part.key, part.weight) for part in found.parts if part.weight), found.asked


def _ways(found: Split) -> list[_Way]:
    """Where calls are routed to: parts that have a weight, and versions that can be asked for."""
    return [*((part.key, "") for part in found.parts if part.weight), *(("", version) for version in found.asked)]
