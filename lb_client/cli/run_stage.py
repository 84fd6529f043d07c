"""A cluster of its own for one scenario, in a private folder: started, held, and gone with it. Calls none of it."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Self

from backends.layout import Layout
from backends.starting import Starting
from backends.state import StateFolder
from resolver.private_folder import PrivateFolder, new_path

if TYPE_CHECKING:
    from pathlib import Path

    from backends.view import ClusterView
    from lb_client.scenario.model import Plan

START_S = 60.0

# Short: a socket's path has 107 bytes. What is kept has another name, for the next run sweeps what is nobody's.
_PREFIX, _KEPT_PREFIX = "lbrun-", "lbkept-"
CLUSTER = "default"


class Stage:
    """One cluster on our leash. Leaving the block without `keep` drains and ends it, and removes its folder.

    However this process ends, the cluster ends with it.

    Args:
        plan: What to start.
        may_keep: Whether `keep` may be called.

    Raises:
        ClusterError: It does not start.
        OSError: There is no folder to be had for it.
    """

    def __init__(self, plan: Plan, *, may_keep: bool) -> None:
        self._plan = plan
        self._prefix = _KEPT_PREFIX if may_keep else _PREFIX
        self._stack = contextlib.ExitStack()
        self._starting: Starting | None = None
        self.kept = ""

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            private = stack.enter_context(PrivateFolder(new_path(self._prefix)))
            self._private = private
            self.folder = StateFolder.of(CLUSTER, root=private.path)
            self.folder.prepare()
            plan = self._plan
            layout = Layout(zones=plan.zones, weights=plan.weights, version=plan.version)
            starting = Starting.begin(self.folder, replicas=self._plan.replicas, service=None, layout=layout)
            if starting is None:
                raise OSError(f"{self.folder.path} is locked by another process")
            self._starting = stack.enter_context(starting)
            self._stack = stack.pop_all()
        return self

    def wait(self) -> ClusterView:
        """Return when every replica serves.

        Raises:
            ClusterError: One does not.
        """
        assert self._starting is not None  # noqa: S101 -- inside the block
        return self._starting.wait(until_serving=True, timeout_s=START_S, watcher=lambda _view: None)

    @property
    def target(self) -> str:
        """The resolver target of its replicas."""
        return self.folder.target(None)

    @property
    def registry(self) -> Path:
        """The folder of their records."""
        return self.folder.registry(None)

    def keep(self) -> None:
        """Let it go on without us, for somebody to look at it."""
        if self._starting is not None and self._prefix == _KEPT_PREFIX:
            self._starting.keep()
            self.kept = str(self._private.path)

    def __exit__(self, *exc: object) -> None:
        if not self.kept:
            self._stack.close()
