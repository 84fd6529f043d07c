"""The xDS bootstrap of this process: ours merged into the application's own, where it has one.

gRPC core reads it from the environment whenever it makes its first xDS client, and keeps it for as long as any xDS
client lives (each `xds:` channel that is connected has one). So ours must be there before, and an application that
brings its own (https://github.com/grpc/proposal/blob/master/A27-xds-global-load-balancing.md) keeps everything in it.
"""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resolver.errors import BootstrapError
from resolver.xds.resources import AUTHORITY, LISTENER, name

if TYPE_CHECKING:
    from collections.abc import Callable, MutableMapping

# Core looks at the file first.
FILE_VARIABLE = "GRPC_XDS_BOOTSTRAP"
TEXT_VARIABLE = "GRPC_XDS_BOOTSTRAP_CONFIG"


def merged(existing: dict[str, Any] | None, server_uri: str) -> dict[str, Any]:
    """The bootstrap with the authority `lbdemo` served at `server_uri`, and all else as it was.

    Raises:
        BootstrapError: The existing one has no object where one belongs.
    """
    server = {"server_uri": server_uri, "channel_creds": [{"type": "insecure"}], "server_features": ["xds_v3"]}
    if existing is None:
        # grpc-js-xds wants the locality; core wants a server outside of the authorities.
        node = {"id": f"lbdemo-{socket.gethostname()}-{os.getpid()}", "locality": {}}
        existing = {"node": node, "xds_servers": [server]}
    authorities = existing.get("authorities", {})
    if not isinstance(authorities, dict):
        raise BootstrapError('the xDS bootstrap has no object as "authorities"')
    ours = {"xds_servers": [server], "client_listener_resource_name_template": name(LISTENER, "%s")}
    return {**existing, "authorities": {**authorities, AUTHORITY: ours}}


def read(environ: MutableMapping[str, str]) -> dict[str, Any] | None:
    """The application's own bootstrap, or None where it has none.

    Raises:
        BootstrapError: It is named but cannot be read, or is no JSON object.
    """
    if path := environ.get(FILE_VARIABLE):
        source = f"the file {path} named by {FILE_VARIABLE}"
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is no UTF-8"
            raise BootstrapError(f"{source} cannot be read: {why}; mend it, or unset the variable") from None
    elif text := environ.get(TEXT_VARIABLE, ""):
        source = f"the text in {TEXT_VARIABLE}"
    else:
        return None
    try:
        bootstrap = json.loads(text)
    except ValueError as error:
        raise BootstrapError(f"{source} is not JSON: {error}; mend it, or unset the variable") from None
    if not isinstance(bootstrap, dict):
        raise BootstrapError(f"{source} is not a JSON object; mend it, or unset the variable")
    return bootstrap


class Bootstrap:
    """Puts ours into the environment and takes it out again. Not thread-safe: its owner holds a lock.

    Args:
        environ: Where core looks: `os.environ`, which writes through to the process's own environment.
        has_clients: Whether core has any xDS client now, whose bootstrap it would go on using.
    """

    def __init__(self, environ: MutableMapping[str, str], *, has_clients: Callable[[], bool]) -> None:
        self._environ = environ
        self._has_clients = has_clients
        self._before: dict[str, str | None] | None = None
        self._server_uri = ""
        self._ours = ""

    def install(self, server_uri: str) -> None:
        """Make sure that the next xDS channel of this process knows the authority `lbdemo`.

        Raises:
            BootstrapError: The existing bootstrap is unusable, or core already uses one without us.
        """
        installed = self._before is not None and self._environ.get(TEXT_VARIABLE) == self._ours
        if installed and self._server_uri == server_uri:
            return
        if self._has_clients():
            raise BootstrapError(
                "this process opened an xDS channel of its own before (or was forked from one that did), and gRPC "
                "keeps the bootstrap it read then: open a channel of lb_client first (it keeps your bootstrap and "
                "adds to it), close the xDS channels, or start processes by spawn or exec"
            )
        text = json.dumps(merged(read(self._environ), server_uri))
        if not installed:
            self._before = {variable: self._environ.get(variable) for variable in (FILE_VARIABLE, TEXT_VARIABLE)}
        self._server_uri = server_uri
        self._environ.pop(FILE_VARIABLE, None)
        self._environ[TEXT_VARIABLE] = self._ours = text

    def restore(self) -> bool:
        """Put back what was there; True when there is nothing (more) to put back.

        Does nothing while core has xDS clients, which were promised the merged one: ask again.
        """
        if self._before is None:
            return True
        if self._has_clients():
            return False
        if self._environ.get(TEXT_VARIABLE) == self._ours:
            for variable, value in self._before.items():
                if value is None:
                    self._environ.pop(variable, None)
                else:
                    self._environ[variable] = value
        self._before = None
        return True


def core_has_xds_clients() -> bool:
    """Whether gRPC core has any xDS client in this process.

    The Client Status Discovery Service reads the same dump (gRFC A40); only its servicer is public, not the dump.
    """
    from grpc._cython import cygrpc  # type: ignore[attr-defined, unused-ignore]  # noqa: PLC0415 -- private: kept to the one place

    return bool(cygrpc.dump_xds_configs())
