"""The accident that scenarios have happen to the control plane: calls go on, and what changes is followed again."""

from __future__ import annotations

from contextlib import ExitStack

import lb_client
from resolver.testing import ManualRegistry, kill_control_plane
from tests.support.backend import Backend, who
from tests.support.eventually import eventually


def test_nothing_is_there_to_kill_before_a_channel_is_open() -> None:
    assert not kill_control_plane()


def test_channel_follows_its_registry_again_after_it() -> None:
    with ExitStack() as stack:
        first, second = (stack.enter_context(Backend(f"b{n}")) for n in range(2))
        with ManualRegistry([first.address]) as registry, lb_client.insecure_channel(registry.target) as channel:
            assert who(channel, wait_for_ready=True) == ["b0"]
            assert kill_control_plane()
            assert who(channel) == ["b0"]
            registry.add(second.address)
            eventually(lambda: _expect_both(set(who(channel, 2))), within_s=10)


def _expect_both(found: set[str]) -> None:
    assert found == {"b0", "b1"}
