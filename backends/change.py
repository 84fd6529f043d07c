"""What commands ask of a cluster that runs, and how that is taken back. Waiting for it is cluster.py's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from backends.cluster_errors import OtherLayoutError, OtherServiceError

if TYPE_CHECKING:
    from backends.layout import Layout
    from backends.link import SupervisorLink
    from backends.view import ClusterView


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Another number of replicas, or another version, or another share of the calls for one.

    Attributes:
        version: Whose; None for the first version.
        replicas: How many of it; None for as many as there are, or one of a new version.
        share: Its part of the calls in percent; None leaves it as it is.
        service: What a new version serves; None for what the first one does.
        remove: The version is to go.
    """

    version: str | None = None
    replicas: int | None = None
    share: float | None = None
    service: str | None = None
    remove: bool = False

    def apply(self, link: SupervisorLink, before: ClusterView) -> int:
        """Ask for it; returns how many replicas of the version are wanted then."""
        if self.version is None:
            assert self.replicas is not None  # noqa: S101 -- without a version it is all there is to change
            # Also when so many are wanted already: a cluster that is about to end refuses, and we know.
            link.scale(self.replicas)
            return self.replicas
        after = link.set_version(
            self.version,
            replicas=self.replicas,
            share=self.share,
            service=self.service or before.service,
            remove=self.remove,
        )
        return after.wanted_of(self.version)

    def undo(self, link: SupervisorLink, before: ClusterView) -> str:
        """Take back what brought replicas that cannot start; the end of a line that says so, "" where nothing was."""
        was = before.wanted_of(self.version)
        if self.remove or (was and (self.replicas is None or self.replicas <= was)):
            return ""
        if self.version is None:
            link.scale(was)
            return f"; scaled back to {was}"
        if not was:
            link.set_version(self.version, remove=True)
            return f"; version {self.version} is removed again"
        old = next(v for v in before.versions if v.name == self.version)
        link.set_version(self.version, replicas=was, share=old.share)
        return f"; {self.version} is scaled back to {was}"


def refuse_other_service(view: ClusterView, change: Change, service: str | None) -> None:
    """A version serves what it was started with.

    Raises:
        OtherServiceError: The cluster, or the version that is asked for, runs another service.
    """
    known = [v for v in view.versions if v.name == change.version]
    if service is None or (change.version is not None and view.versions and not known):
        return
    running = known[0].service if known else view.service
    if service != running:
        runs = f"service {running}" if running else "the Greeter"
        raise OtherServiceError(
            f"cluster {view.cluster!r} runs {runs}, not {service}: 'lbdemo down' first, or choose another --cluster"
        )


def refuse_other_layout(view: ClusterView, layout: Layout) -> None:
    """Zones and weights are given to replicas when their cluster starts.

    Raises:
        OtherLayoutError: The cluster has others than those asked for.
    """
    for what, asked, found in (
        ("zones", layout.zones, [(layout.zone(r.number), r.zone) for r in view.replicas]),
        ("weights", layout.weights, [(str(layout.weight(r.number)), str(r.weight)) for r in view.replicas]),
    ):
        if asked and any(wanted != is_ for wanted, is_ in found):
            now = ", ".join(f"{r.id} {r.zone or 'none' if what == 'zones' else r.weight}" for r in view.replicas[:6])
            raise OtherLayoutError(
                f"cluster {view.cluster!r} runs with other {what} ({now}), which stay: "
                "'lbdemo down' first, or choose another --cluster"
            )
