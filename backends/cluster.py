"""What a command can do with a cluster: start, join, watch, scale, stop. Works on its state folder and its socket.

Blocking functions, for a process with nothing else to do. gRPC is imported only to talk to a supervisor that runs.
"""

from __future__ import annotations

import os
import time
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from backends.change import Change, refuse_other_layout, refuse_other_service
from backends.cluster_errors import (
    CannotStartError,
    NotRunningError,
    NotServingInTimeError,
    OtherServiceError,
    SupervisorLostError,
)
from backends.starting import ONE_ZONE, Starting, cannot_start_line, not_serving_line, paused_line
from backends.state import StateFolder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from backends.layout import Layout
    from backends.link import SupervisorLink
    from backends.view import ClusterView

    Watcher = Callable[[ClusterView], None]

RETRY_S = 0.01
TICK_S = 0.25
GONE_S = 5.0
_STAYS = "the cluster stays as it is"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How `up` or `scale` ended.

    Attributes:
        view: The cluster afterwards. Another number is wanted than was asked for where somebody scaled it meanwhile:
            theirs is the last word.
        asked: How many replicas were asked for.
        before: How many replicas were wanted before; 0 when the cluster was started.
        served: How many of these served then.
        version: Of which version all these are; None for the first one.
        share_before: Its share of the calls before, in percent; None where it had none.
    """

    view: ClusterView
    asked: int
    before: int
    served: int
    version: str | None = None
    share_before: float | None = None


def nobody(view: ClusterView) -> None:
    """Watches nothing."""


def up(
    cluster: str,
    *,
    replicas: int,
    service: str | None = None,
    layout: Layout = ONE_ZONE,
    change: Change | None = None,
    wait: bool = True,
    timeout_s: float = 30.0,
    watcher: Watcher = nobody,
) -> Outcome:
    """Start a cluster, or scale the one that runs; with `wait`, return when every replica serves.

    A start that ends early, by an error or by KeyboardInterrupt, leaves nothing; a cluster that ran before goes on.

    Args:
        cluster: Its name, already checked.
        replicas: 1 to 1000.
        service: `package.module:function`, imported from the present working directory; None for the Greeter, or for
            whatever runs already.
        layout: The zones, the weights and the first version of a cluster that starts.
        change: What to ask of one that runs; None for so many replicas.
        wait: Whether to wait until all serve; else only until the supervisor answers.
        timeout_s: For all of it.
        watcher: Told the cluster after each change, and a few times a second in between.

    Raises:
        StateFolderError: The state folder cannot be used.
        OtherServiceError, OtherLayoutError: The cluster runs another service, or with other zones or weights.
        NotRunningError: A share was asked for, and no cluster runs.
        NoRoomError: So many replicas need more open files than there may be.
        CannotStartError: A replica cannot start; the start, or the change of number, is undone.
        NotServingInTimeError: The time is up; the cluster stays as it is.
        NotAnsweringError: A supervisor lives and does not answer.
        SupervisorLostError: The supervisor ended under our hands.
    """
    end = time.monotonic() + timeout_s
    folder = StateFolder.of(cluster)
    folder.prepare()
    change = change or Change(replicas=replicas)
    if change.share is not None and not folder.is_locked():
        raise NotRunningError(
            f"a share is that of a version beside another, and cluster {cluster!r} is not running: 'lbdemo up' first"
        )
    while True:
        starting = Starting.begin(folder, replicas=replicas, service=service, layout=layout)
        if starting is not None:
            view = _rise(starting, replicas, wait=wait, timeout_s=timeout_s, watcher=watcher)
            return Outcome(view, replicas, before=0, served=0)
        try:
            with _open(folder) as link:
                view = link.status()
                refuse_other_service(view, change, service)
                refuse_other_layout(view, layout)
                return _carry_out(link, view, change, wait=wait, timeout_s=timeout_s, watcher=watcher)
        except NotRunningError:
            # It ended between our look at the lock and our question, or is about to: the next one is ours to start.
            if time.monotonic() > end:
                raise NotServingInTimeError(
                    f"cluster {cluster!r} has been stopping for {timeout_s:g} s: see {folder.log('supervisor')}"
                ) from None
            time.sleep(RETRY_S)


def hold(cluster: str, *, replicas: int, service: str | None = None, layout: Layout = ONE_ZONE) -> Starting:
    """Start a cluster that lasts as long as the block of the returned value, or as this process if that ends first.

    Raises:
        StateFolderError: The state folder cannot be used.
        OtherServiceError: A cluster of that name runs already.
    """
    folder = StateFolder.of(cluster)
    folder.prepare()
    starting = Starting.begin(folder, replicas=replicas, service=service, layout=layout)
    if starting is None:
        raise OtherServiceError(f"cluster {cluster!r} runs already: 'lbdemo down' first, or leave --foreground away")
    return starting


def status(cluster: str) -> ClusterView:
    """The cluster as it is now.

    Raises:
        StateFolderError, NotRunningError, NotAnsweringError: There is nothing to ask, or no answer.
    """
    with _open(_existing(cluster)) as link:
        return link.status()


def watch(cluster: str, *, interval_s: float = 0.0) -> Iterator[ClusterView]:
    """The cluster now and after every change until it ends; with an interval also when only counters moved.

    Raises:
        StateFolderError, NotRunningError, NotAnsweringError: There is nothing to ask, or no answer.
    """
    with _open(_existing(cluster)) as link, closing(link.watch(interval_ms=round(interval_s * 1000))) as views:  # type: ignore[type-var]  # a generator has close()
        for view in views:
            if view is not None:
                yield view


def scale(
    cluster: str, replicas: int, *, wait: bool = True, timeout_s: float = 30.0, watcher: Watcher = nobody
) -> Outcome:
    """Change the number of replicas of a cluster that runs; with `wait`, return when exactly so many serve.

    Raises:
        StateFolderError, NotRunningError, NotAnsweringError, CannotStartError, NotServingInTimeError: As for `up`.
    """
    return alter(cluster, Change(replicas=replicas), wait=wait, timeout_s=timeout_s, watcher=watcher)


def alter(
    cluster: str, change: Change, *, wait: bool = True, timeout_s: float = 30.0, watcher: Watcher = nobody
) -> Outcome:
    """Change a cluster that runs; with `wait`, return when what is wanted then serves, and nothing else.

    Raises:
        StateFolderError, NotRunningError, NotAnsweringError, CannotStartError, NotServingInTimeError: As for `up`.
        ClusterError: The supervisor refuses, and says why.
    """
    with _open(_existing(cluster)) as link:
        return _carry_out(link, link.status(), change, wait=wait, timeout_s=timeout_s, watcher=watcher)


def rebalance(cluster: str) -> tuple[int, ClusterView]:
    """Ask the long streams of a cluster to move; how many were asked, and the cluster then.

    Raises:
        StateFolderError, NotRunningError, NotAnsweringError: There is nobody to ask, or no answer.
    """
    with _open(_existing(cluster)) as link:
        return link.rebalance(), link.status()


def down(cluster: str, *, timeout_s: float = 60.0, watcher: Watcher = nobody) -> ClusterView:
    """Drain and end everything of a cluster; returns when nothing is left of it, with what it was before.

    Raises:
        StateFolderError, NotRunningError, NotAnsweringError: There is nothing to stop, or no answer.
        NotServingInTimeError: The time is up; the draining goes on.
    """
    folder = _existing(cluster)
    end = time.monotonic() + timeout_s
    with _open(folder) as link:
        before = last = link.status()
        with closing(link.shutdown(tick_s=TICK_S)) as views:  # type: ignore[type-var]  # a generator has close()
            for view in views:
                last = view or last
                watcher(last)
                if time.monotonic() > end:
                    who = ", ".join(r.id for r in last.replicas)
                    raise NotServingInTimeError(f"still draining after {timeout_s:g} s: {who}; it goes on by itself")
    # The answer ends a little before its process: whoever comes next should find nothing.
    end = time.monotonic() + GONE_S
    while folder.is_locked() and time.monotonic() < end:
        time.sleep(RETRY_S)
    return before


def runs(cluster: str) -> bool:
    """Whether a supervisor lives for it.

    Raises:
        StateFolderError: The state folder cannot be used.
    """
    return _existing(cluster).is_locked()


def leftovers(cluster: str, *, remove: bool = False) -> tuple[str, ...]:
    """Names of the records and the socket that a cluster left which ended without cleaning up; () while one runs.

    Raises:
        StateFolderError: The state folder cannot be used.
    """
    folder = StateFolder.of(cluster)
    folder.check()
    if not folder.leftovers():
        return ()
    lock = folder.try_lock()
    if lock is None:
        return ()
    try:
        found = folder.leftovers()
        if remove:
            folder.clean()
    finally:
        os.close(lock)
    return tuple(path.name for path in found)


def _overruled(view: ClusterView, asked: int, version: str | None = None) -> str:
    """The end of a line about a cluster of which somebody else wants another number by now."""
    wanted = view.wanted_of(version)
    return "" if wanted == asked else f"; somebody scaled to {wanted} meanwhile"


def _rise(starting: Starting, replicas: int, *, wait: bool, timeout_s: float, watcher: Watcher) -> ClusterView:
    with starting:
        try:
            view = starting.wait(until_serving=wait, timeout_s=timeout_s, watcher=watcher)
        except CannotStartError as error:
            line = f"{error}{_overruled(starting.view, replicas)}"
            raise CannotStartError(f"{line}; nothing is left running") from None
        except NotServingInTimeError as error:
            starting.keep()
            line = f"{error}{_overruled(starting.view, replicas)}"
            raise NotServingInTimeError(f"{line}; {_STAYS}") from None
        starting.keep()
        return view


def _carry_out(
    link: SupervisorLink, before: ClusterView, change: Change, *, wait: bool, timeout_s: float, watcher: Watcher
) -> Outcome:
    end = time.monotonic() + timeout_s
    version = change.version
    asked = change.apply(link, before)
    was = before.wanted_of(version)
    if not wait:
        return Outcome(link.status(), asked, was, before.serving_of(version), version, before.share_of(version))
    last = before
    try:
        for last in _followed(link):
            watcher(last)
            if last.failed:
                line = cannot_start_line(last) + _overruled(last, asked, version)
                if last.wanted_of(version) == asked:
                    line += change.undo(link, before)
                raise CannotStartError(line)
            if last.settled:
                break
            if last.settled_but_paused:  # waiting would not change that
                raise NotServingInTimeError(f"{paused_line(last)}{_overruled(last, asked, version)}; {_STAYS}")
            if time.monotonic() > end:
                line = not_serving_line(last, timeout_s) + _overruled(last, asked, version)
                raise NotServingInTimeError(f"{line}; {_STAYS}")
    except NotRunningError:
        raise SupervisorLostError(
            f"cluster {last.cluster!r} has ended meanwhile: see {last.log_folder}/supervisor.log"
        ) from None
    return Outcome(last, asked, was, before.serving_of(version), version, before.share_of(version))


def _followed(link: SupervisorLink) -> Iterator[ClusterView]:
    """The cluster now, after every change, and a few times a second in between.

    Raises:
        NotRunningError: It has ended.
    """
    last = None
    with closing(link.watch(tick_s=TICK_S)) as views:  # type: ignore[type-var]  # a generator has close()
        for view in views:
            last = view or last
            if last is not None:
                yield last
    raise link.not_running()


def _existing(cluster: str) -> StateFolder:
    folder = StateFolder.of(cluster)
    folder.check()
    return folder


def _open(folder: StateFolder) -> SupervisorLink:
    from backends.link import open_link  # noqa: PLC0415 -- starting a cluster needs none of it

    return open_link(folder)
