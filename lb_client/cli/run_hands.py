"""What a scenario does without asking its cluster: the channel's policy, the registry folder, the control plane."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from lb_client.channel import switch_policy
from lb_client.scenario.errors import StepError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import grpc.aio

    from lb_client.cli.run_link import StageLink
    from lb_client.scenario.model import Step


class Hands:
    """Does the steps of one play.

    Args:
        link: To the cluster.
        channel: What calls are made on.
        registry: The folder of the replicas' records.
    """

    def __init__(self, link: StageLink, channel: grpc.aio.Channel, registry: Path) -> None:
        self._link = link
        self._channel = channel
        self._registry = registry
        self._aside = registry.with_name(f"{registry.name}-aside")

    async def do(self, step: Step, whom: Sequence[str]) -> None:
        """Do a step, and return when it is done.

        Raises:
            StepError: It could not be done.
        """
        match step.action:
            case "policy" if step.policy is not None:
                switch_policy(self._channel, step.policy)
            case "registry":
                try:
                    self._remove() if step.value == "remove" else self._restore()
                except OSError as error:
                    raise StepError(f"the registry's folder: {error.strerror}") from None
            case "control-plane":
                from resolver.testing import kill_control_plane  # noqa: PLC0415 -- only who breaks it needs it

                kill_control_plane()
            case _:
                await self._link.do(step, whom)

    def _remove(self) -> None:
        """Move the folder away, and put a file in its place: replicas would make it again within a second."""
        self._registry.rename(self._aside)
        self._registry.touch()

    def _restore(self) -> None:
        self._registry.unlink()
        self._aside.rename(self._registry)

    def put_back(self) -> None:
        """Leave the registry as it was, for the cluster to end well."""
        with contextlib.suppress(OSError):
            if self._aside.exists():
                self._restore()
