"""Whose connections still stand, as the kernel tells it; nothing is opened or closed by asking."""

from __future__ import annotations

import socket
from pathlib import Path

from backends.connections import Callers, live_ports

FOLDER = Path("/proc/self/fd")


def test_callers_are_connected_until_their_connections_are_closed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = socket.create_connection(server.getsockname())
        accepted, (host, port) = server.accept()
        with accepted:
            callers = Callers()
            assert not callers.connected()
            callers.add(f"ipv4:{host}:{port}")
            callers.add("unix:")
            before = sorted(FOLDER.iterdir())
            assert callers.connected()
            assert port in (live_ports() or ())
            assert sorted(FOLDER.iterdir()) == before
        client.close()
        assert not callers.connected()
