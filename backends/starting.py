"""A cluster that this process starts and still holds: how far it is, and the decision to keep it or to undo it."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Self

from backends import file_limit
from backends.cluster_errors import (
    CannotStartError,
    ClusterError,
    NoRoomError,
    NotServingInTimeError,
    SupervisorLostError,
)
from backends.launch import launch
from backends.layout import Layout
from backends.phase import Phase
from backends.process import open_standard_descriptors
from backends.view import ClusterView, ReplicaView, VersionView

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from backends.leash import Event, Leash
    from backends.state import StateFolder

    Watcher = Callable[[ClusterView], None]

ONE_ZONE = Layout()


class Starting:
    """A cluster on our leash.

    Leaving the block without `keep` drains and ends the cluster, and returns when nothing is left of it. The same
    happens, unwatched, when this process dies.
    """

    def __init__(self, leash: Leash, view: ClusterView, layout: Layout) -> None:
        self.view = view
        self._layout = layout
        self._leash = leash
        self._open = False

    @classmethod
    def begin(
        cls, folder: StateFolder, *, replicas: int, service: str | None, layout: Layout = ONE_ZONE
    ) -> Starting | None:
        """Start a cluster in a prepared folder; None when one runs there, or ends and is not gone yet.

        Raises:
            StateFolderError: The lock cannot be opened, or there is no room for the supervisor's log and socket.
            NoRoomError: So many replicas need more open files than there may be.
        """
        # First of all: without standard descriptors the lock would become one of them, and be lost at the next fork.
        open_standard_descriptors()
        lock = folder.try_lock()
        if lock is None:
            return None
        folder.clean()
        try:
            folder.expect_room()
            if line := file_limit.shortage_of_supervisor(replicas, limit=file_limit.allow_many()):
                raise NoRoomError(line)
        except ClusterError:
            os.close(lock)
            raise
        view = ClusterView(
            cluster=folder.cluster,
            target=folder.target(service),
            wanted=replicas,
            service=service,
            log_folder=str(folder.logs),
            versions=(VersionView(name=layout.version, wanted=replicas, service=service),),
        )
        return cls(launch(folder, replicas=replicas, service=service, layout=layout, lock=lock), view, layout)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._leash.__exit__(*exc)

    def undo(self, *, watcher: Watcher) -> None:
        """Drain and end the cluster; returns when nothing is left of it."""
        self._leash.pull()
        for view in self.events():
            watcher(view)

    def keep(self) -> None:
        """Let the cluster go on without us."""
        self._leash.detach()

    def events(self, *, within_s: float | None = None) -> Iterator[ClusterView]:
        """The cluster after each change and a few times a second in between; ends when its supervisor has ended.

        Raises:
            TimeoutError: `within_s` is over.
        """
        for event in self._leash.events(within_s=within_s):
            self._take(event)
            yield self.view

    def wait(self, *, until_serving: bool, timeout_s: float, watcher: Watcher) -> ClusterView:
        """Return when every replica serves, or without `until_serving` as soon as the supervisor answers.

        A supervisor whose replicas just began to serve may still be opening its socket: `open_link` waits for that.

        Raises:
            CannotStartError: A replica cannot start.
            NotServingInTimeError: The time is up.
            SupervisorLostError: The supervisor has ended.
        """
        try:
            for view in self.events(within_s=timeout_s):
                watcher(view)
                if until_serving and view.failed:
                    raise CannotStartError(cannot_start_line(view))
                if view.settled or (self._open and not until_serving):
                    return view
        except TimeoutError:
            raise NotServingInTimeError(not_serving_line(self.view, timeout_s)) from None
        raise SupervisorLostError(
            f"the supervisor of cluster {self.view.cluster!r} ended at once: see {self.view.log_folder}/supervisor.log"
        )

    def _take(self, event: Event) -> None:
        match event.get("event"):
            case "replica":
                phase, number = Phase[event["phase"]], int(event["id"][1:])
                news = ReplicaView(
                    id=event["id"],
                    address=event["address"],
                    health="SERVING" if phase is Phase.RUNNING else "UNKNOWN",
                    pid=event["pid"],
                    phase=phase,
                    restarts=event["restarts"],
                    reason=event["reason"],
                    zone=self._layout.zone(number),
                    version=event["version"],
                    weight=self._layout.weight(number),
                )
                self.view = self.view.with_replica(news)
            case "gone":
                self.view = self.view.without_replica(event["id"])
            case "services":
                self.view = replace(self.view, services=tuple(event["services"]))
            case "wanted":
                first, *others = self.view.versions
                versions = (replace(first, wanted=event["first"]), *others)
                self.view = replace(self.view, wanted=event["wanted"], versions=versions)
            case "open":
                self._open = True


def cannot_start_line(view: ClusterView) -> str:
    """Why replicas FAILED, in one line: most often all for the same reason."""
    failed = view.failed
    who = failed[0].id if len(failed) == 1 else f"{len(failed)} replicas"
    return f"{who} cannot start: {failed[0].reason} (log: {view.log_folder}/{failed[0].id}.log)"


def not_serving_line(view: ClusterView, timeout_s: float) -> str:
    """Which replicas do not serve when the time is up, what they do instead, and where to look."""
    late = [r for r in view.replicas if not r.serves]
    shown = ", ".join(f"{r.id} {_state(r)}{': ' + r.reason if r.reason else ''}" for r in late[:5])
    more = f" and {len(late) - 5} more" if len(late) > 5 else ""
    return (
        f"{view.serving} of {view.wanted} replicas serve after {timeout_s:g} s"
        f"{' (' + shown + more + ')' if late else ''}; logs: {view.log_folder}"
    )


def paused_line(view: ClusterView) -> str:
    """Which replicas are frozen where all others serve, and what lets them go on."""
    names = [r.id for r in view.replicas if r.paused]
    verb = "is" if len(names) == 1 else "are"
    return (
        f"{view.serving} of {view.wanted} replicas serve, {', '.join(names)} {verb} paused: "
        f"'lbdemo resume {' '.join(names)}' lets {'it' if len(names) == 1 else 'them'} go on"
    )


def _state(replica: ReplicaView) -> str:
    if replica.paused:
        return "is paused"
    return "does not answer" if replica.phase is Phase.RUNNING else replica.phase.value
