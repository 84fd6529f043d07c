"""Which connections calls came on, and which of them still stand: by the far ends' ports, as Linux tells them."""

from __future__ import annotations

import contextlib
import os
import socket
from dataclasses import dataclass, field

_MOST = 4096


@dataclass(slots=True)
class Callers:
    """The far ends that calls came from. A port that another host has too makes one more of them, not one less.

    Attributes:
        peers: As gRPC names them. Whoever has a call looks here before it adds: nearly always it is known.
    """

    peers: set[str] = field(default_factory=set)

    def add(self, peer: str) -> None:
        """A call came from there: gRPC's `peer()`, such as `ipv4:127.0.0.1:4711`."""
        if peer in self.peers:
            return
        if len(self.peers) >= _MOST:
            live = live_ports()
            if live is None:
                return  # whether they are connected cannot be told either
            self.peers = {each for each in self.peers if _port(each) in live}
        self.peers.add(peer)

    def connected(self) -> bool:
        """Whether any of them is still connected; True where that cannot be told."""
        live = live_ports()
        return live is None or any(_port(peer) in live for peer in self.peers)


def _port(peer: str) -> int | None:
    """The port of a TCP connection's far end; None for another kind of connection."""
    port = peer.rpartition(":")[2]
    return int(port) if port.isascii() and port.isdigit() else None


def live_ports() -> set[int] | None:
    """The ports at the far ends of this process's TCP connections; None where the kernel does not tell."""
    folder = "/proc/self/fd"
    try:
        names = os.listdir(folder)  # noqa: PTH208 -- names only, and often
    except OSError:
        return None
    ports: set[int] = set()
    for name in names:
        with contextlib.suppress(OSError):  # closed meanwhile, or it listens
            if os.readlink(f"{folder}/{name}").startswith("socket:"):  # noqa: PTH115 -- as above
                ports |= _far_port(int(name))
    return ports


def _far_port(fd: int) -> set[int]:
    # No duplicate: while there is one, a descriptor that gRPC closes stays in its epoll.
    borrowed = socket.socket(fileno=fd)
    try:
        inet = borrowed.family in (socket.AF_INET, socket.AF_INET6)
        return {borrowed.getpeername()[1]} if inet else set()
    finally:
        borrowed.detach()
