"""A proxy in front of a target's replicas: an Envoy with its bootstrap, live endpoints and an end in good order."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import socket
import threading
import time
from typing import TYPE_CHECKING, Self

from lb_client.proxy.admin import AdminClient
from lb_client.proxy.binary import find_envoy
from lb_client.proxy.errors import EnvoyEndedError, NotReadyError, PortTakenError, ProxyError
from lb_client.proxy.process import EnvoyProcess
from resolver import runtime
from resolver.claims import SourceSpec
from resolver.private_folder import PrivateFolder, new_path
from resolver.xds.envoy import L4, L7, Bind, bootstrap

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from resolver.claims import Feed
    from resolver.model import Snapshot

_PREFIX = "lbdemo-proxy-"
_ADMIN = "admin"
_LOOK_S = 0.01


class EnvoyProxy:
    """An Envoy of our own. A context manager: in the block it listens, and after it has ended.

    Envoy ends with this process, however that ends. One worker thread by default: each worker goes round the replicas
    by itself, so that with several the spread is only even on the whole.

    It blocks while Envoy starts, for a tenth of a second. Where a loop of asyncio serves what is proxied, that loop
    must go on, for it is asked for its health: `await asyncio.to_thread(proxy.__enter__)`.

    Args:
        target: What to balance to: `dir:///folder`, `static:…`, or any scheme registered with `resolver.register`.
        port: Where calls come in (L7); 0 takes a free port.
        l4_port: Where connections come in (L4); 0 takes a free port.
        host: The address to bind, for both.
        zone: Only replicas of this zone get calls while one of them is well, as with a channel's `zone`.
        workers: Envoy's worker threads.
        hashed: By the beginning of a method's path (`/package.Service/`) the metadata key by which its calls are
            hashed, as `RingHash` does in a channel, and to the same replica. Calls of other methods go round.
        health_check: As `lb_client.insecure_channel` takes it.
        timeout_s: The longest that it may take until it listens.
        ended: Called on a thread of ours when Envoy has ended, whoever ended it.

    Raises:
        TargetError: The target is malformed.
        ValueError: The two ports are one.

    Attributes:
        target: As given, like `zone`.
        address: `host:port` where each call is balanced; in the block.
        l4_address: `host:port` where each connection is balanced; in the block.
        admin: Envoy's administration interface; in the block.
    """

    def __init__(
        self,
        target: str,
        *,
        port: int = 0,
        l4_port: int = 0,
        host: str = "127.0.0.1",
        zone: str = "",
        workers: int = 1,
        hashed: Mapping[str, str] | None = None,
        health_check: bool | str = True,
        timeout_s: float = 10.0,
        ended: Callable[[], None] = lambda: None,
    ) -> None:
        if port and port == l4_port:
            raise ValueError(f"port and l4_port are both {port}: two listeners need two ports")
        self.target = target
        self.zone = zone
        self.address = ""
        self.l4_address = ""
        self._binds = {L7: Bind(host, port), L4: Bind(host, l4_port)}
        self._workers = workers
        self._hashed = dict(hashed or {})
        self._spec = SourceSpec.of(target, health_check)
        self._timeout_s = timeout_s
        self._on_ended = ended
        self._stack = contextlib.ExitStack()
        self._snapshot: Snapshot | None = None
        self._first = threading.Event()
        self._process: EnvoyProcess | None = None

    def __enter__(self) -> Self:
        """Start it.

        Raises:
            ProxyError: One of errors.py: Envoy is missing, a port is taken, it does not come up.
            TargetError, ControlPlaneError: As `resolver.watch` raises them.
        """
        envoy = find_envoy()
        for bind in self._binds.values():
            expect_free(bind)
        with contextlib.ExitStack() as stack:
            folder = stack.enter_context(PrivateFolder(new_path(_PREFIX))).path
            feed = stack.enter_context(runtime.feed(self._spec, self._told, self.zone))
            self.admin = AdminClient(folder / _ADMIN)
            self._process = EnvoyProcess(self._command(envoy, folder, feed), folder / "log", ended=self._on_ended)
            stack.callback(self._process.stop)
            self._process.start()
            self._wait_until_ready(self._process)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        """End it; returns when it has ended."""
        self._stack.close()

    @property
    def pid(self) -> int:
        """Envoy's process."""
        return self._process.pid if self._process is not None else 0

    @property
    def snapshot(self) -> Snapshot | None:
        """The endpoints that were last told to Envoy; None before the first."""
        return self._snapshot

    def wait(self, timeout_s: float | None = None) -> None:
        """Return when the time is up.

        Raises:
            EnvoyEndedError: Envoy ended before; with its last words.
        """
        assert self._process is not None  # noqa: S101 -- in the block there is one
        if self._process.wait(timeout_s):
            raise EnvoyEndedError(f"Envoy has ended, {self._process.last_words()}")

    def drain(self, timeout_s: float) -> bool:
        """Let the calls in flight end, and no new connection come; whether all had ended in time."""
        end_s = time.monotonic() + timeout_s
        gauge = f"http.{L7}.downstream_rq_active"
        with contextlib.suppress(OSError):
            self.admin.drain()
            while self.admin.counters(re.escape(gauge)).get(gauge, 0):
                if time.monotonic() > end_s:
                    return False
                time.sleep(_LOOK_S)
        return True

    def _told(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._first.set()

    def _command(self, envoy: Path, folder: Path, feed: Feed) -> list[str]:
        config = bootstrap(
            node_id=f"lbdemo-proxy-{os.getpid()}",
            ads_socket=feed.socket_path,
            admin_socket=folder / _ADMIN,
            resource_name=feed.resource_name,
            l7=self._binds[L7],
            l4=self._binds[L4],
            hashed=self._hashed,
        )
        path = folder / "bootstrap.json"
        path.write_text(json.dumps(config, indent=1))
        options = ["--concurrency", str(self._workers), "--disable-hot-restart", "--log-level", "warning"]
        return [str(envoy), "-c", str(path), *options, "--drain-time-s", "1", "--drain-strategy", "immediate"]

    def _wait_until_ready(self, process: EnvoyProcess) -> None:
        end_s = time.monotonic() + self._timeout_s
        while not self.admin.is_ready():
            if process.wait(_LOOK_S):
                raise self._ended_at_once(process)
            if time.monotonic() > end_s:
                what = "Envoy does not listen" if self._first.is_set() else f"{self.target} could not be resolved"
                raise NotReadyError(f"{what} after {self._timeout_s:g} s")
        ports = self.admin.ports()
        host = self._binds[L7].host
        shown = f"[{host}]" if ":" in host else host
        self.address, self.l4_address = f"{shown}:{ports[L7]}", f"{shown}:{ports[L4]}"

    def _ended_at_once(self, process: EnvoyProcess) -> ProxyError:
        words = process.last_words()
        if "in use" in words:
            return PortTakenError(f"a port of the proxy was taken under its hands: {words}")
        return EnvoyEndedError(f"Envoy does not start, {words}")


def expect_free(bind: Bind) -> None:
    """Try to bind, for a clear word before Envoy has one.

    Raises:
        PortTakenError: It cannot be had.
    """
    family = socket.AF_INET6 if ":" in bind.host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((bind.host, bind.port))
        except OSError as error:
            where = f"[{bind.host}]:{bind.port}" if ":" in bind.host else f"{bind.host}:{bind.port}"
            advice = "choose another port, or 0 for a free one"
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                advice = "choose an address of this machine"
            raise PortTakenError(f"{where} cannot be had ({error.strerror}): {advice}") from None
