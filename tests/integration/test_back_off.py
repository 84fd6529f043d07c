"""A replica that was dead for long, long enough for any back-off to grow, has its calls again when it serves again."""

from __future__ import annotations

import socket
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

import lb_client
from backends.announce import Record
from tests.support.backend import Backend, who
from tests.support.eventually import eventually

if TYPE_CHECKING:
    from pathlib import Path

    import grpc

DEAD_S = 3.15
"""Core's own back-off has just begun to wait for 2.6 seconds then."""


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_replica_that_returns_to_its_address_has_its_calls_within_a_second(tmp_path: Path) -> None:
    """On a channel that follows health, and on one that does not: one back-off is the monitor's, the other core's."""
    port = _free_port()
    with ExitStack() as stack:
        other = stack.enter_context(Backend("other"))
        first = stack.enter_context(Backend("first", port=port))
        for name, address in (("other", other.address), ("first", first.address)):
            Record(tmp_path, name, address).write()  # and they stay, as those of the dead do
        channels = [
            stack.enter_context(lb_client.insecure_channel(f"dir://{tmp_path}", health_check=health_check))
            for health_check in (True, False)
        ]
        for channel in channels:
            eventually(lambda: _assert_answered_by(channel, {"first", "other"}))  # noqa: B023 -- asked at once
        first.stop()
        dead_s = time.monotonic()
        while time.monotonic() < dead_s + DEAD_S:
            for channel in channels:
                eventually(lambda: _assert_answered_by(channel, {"other"}))  # noqa: B023 -- likewise
            time.sleep(0.05)  # for time's sake: it is what a back-off grows by
        stack.enter_context(Backend("first", port=port))
        back_s = time.monotonic()
        for channel in channels:
            eventually(lambda: _assert_answered_by(channel, {"first", "other"}))  # noqa: B023 -- likewise
            assert time.monotonic() - back_s < 1.0


def _assert_answered_by(channel: grpc.Channel, names: set[str]) -> None:
    assert set(who(channel, 4)) == names
