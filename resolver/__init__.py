"""Resolution: targets and registries in, live endpoints out, fed to gRPC core as xDS."""

from __future__ import annotations

import importlib
import logging
from typing import TYPE_CHECKING, Any

from resolver.errors import BootstrapError, ControlPlaneError, ResolverError, SharedPolicyError, TargetError
from resolver.model import Endpoint, Health, Snapshot
from resolver.target import Target, is_known_scheme, known_schemes, register, unregister

if TYPE_CHECKING:
    from resolver.watching import watch

__all__ = [
    "BootstrapError",
    "ControlPlaneError",
    "Endpoint",
    "Health",
    "ResolverError",
    "SharedPolicyError",
    "Snapshot",
    "Target",
    "TargetError",
    "is_known_scheme",
    "known_schemes",
    "register",
    "unregister",
    "watch",
]

# An application that sets up no logging is not to find our warnings on its stderr.
logging.getLogger(__name__).addHandler(logging.NullHandler())


def __getattr__(name: str) -> Any:
    """`watch`, from the module it lives in: it needs gRPC, the rest does not."""
    if name == "watch":
        return importlib.import_module("resolver.watching").watch
    raise AttributeError(f"module 'resolver' has no attribute {name!r}")
