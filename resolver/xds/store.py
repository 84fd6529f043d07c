"""The truth that streams are told: services and the latest snapshot of their sources, as resources built once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from resolver.policy import RingHash
from resolver.snapshots import next_version
from resolver.xds import resources
from resolver.xds.resources import CLUSTER, ENDPOINTS, LISTENER, Resource

if TYPE_CHECKING:
    from collections.abc import Iterable

    from resolver.model import Snapshot
    from resolver.policy import Policy


class ResourceStore:
    """Holds one resource for each type and name. Not for several threads: it lives on the control plane's loop."""

    def __init__(self) -> None:
        self._resources: dict[str, dict[str, Resource]] = {LISTENER: {}, CLUSTER: {}, ENDPOINTS: {}}
        self._snapshots: dict[str, Snapshot] = {}
        self._plain: set[str] = set()
        self._hashing: dict[str, str] = {}  # the services that hash -> their sources

    def find(self, type_url: str, name: str) -> Resource | None:
        """The resource as it is now, or None where there is none."""
        return self._resources.get(type_url, {}).get(name)

    def names(self, type_url: str) -> Iterable[str]:
        """All names of a type."""
        return self._resources.get(type_url, {}).keys()

    def put_service(self, key: str, source_key: str, policy: Policy) -> None:
        """Offer a target under a policy: `xds://lbdemo/<key>`. Again with another policy, to those who have it too."""
        version = next_version()
        self._put(resources.listener(key, policy, version))
        self._put(resources.cluster(key, source_key, policy, version))
        if not isinstance(policy, RingHash):
            self._no_ring(key)
            return
        self._hashing[key] = source_key
        if source_key in self._snapshots:
            self._put_ring(source_key, self._snapshots[source_key])

    def remove_service(self, key: str) -> None:
        """Offer it no longer. No error if it was not there."""
        for type_url in (LISTENER, CLUSTER):
            self._resources[type_url].pop(resources.name(type_url, key), None)
        self._no_ring(key)

    def put_snapshot(self, source_key: str, snapshot: Snapshot) -> None:
        """The endpoints of a source, now."""
        self._snapshots[source_key] = snapshot
        self._put(resources.assignment(resources.name(ENDPOINTS, source_key), snapshot))
        if source_key in self._plain:
            self._put(resources.assignment(resources.plain_name(source_key), snapshot))
        if source_key in self._hashing.values():
            self._put_ring(source_key, snapshot)

    def offer_plainly(self, source_key: str) -> None:
        """Offer a source's endpoints by a plain name as well, from now on: for Envoy."""
        self._plain.add(source_key)
        if source_key in self._snapshots:
            self.put_snapshot(source_key, self._snapshots[source_key])

    def remove_source(self, source_key: str) -> None:
        """Forget a source's endpoints. No error if there were none."""
        self._snapshots.pop(source_key, None)
        self._plain.discard(source_key)
        for resource_name in (
            resources.name(ENDPOINTS, source_key),
            resources.plain_name(source_key),
            resources.ring_name(source_key),
        ):
            self._resources[ENDPOINTS].pop(resource_name, None)

    def _no_ring(self, key: str) -> None:
        source_key = self._hashing.pop(key, None)
        if source_key is not None and source_key not in self._hashing.values():
            self._resources[ENDPOINTS].pop(resources.ring_name(source_key), None)

    def _put_ring(self, source_key: str, snapshot: Snapshot) -> None:
        ring = resources.ring_assignment(resources.ring_name(source_key), snapshot)
        before = self.find(ENDPOINTS, ring.name)
        if before is None or before.body != ring.body:
            self._put(ring)

    def _put(self, resource: Resource) -> None:
        self._resources[resource.type_url][resource.name] = resource
