"""What can go wrong on the user's side of resolution, named after what the reader should do.

    ResolverError
    ├── TargetError (also ValueError)   mend the target that was passed in
    ├── SharedPolicyError (the same)    say that other channels may change too, or open one that shares nothing
    ├── BootstrapError                  mend the process: its xDS bootstrap cannot take ours
    └── ControlPlaneError               mend the machine: the private socket or its thread could not be had

A failed call is none of these: it is the channel's own grpc.RpcError.
"""

from __future__ import annotations


class ResolverError(Exception):
    """Root of what this package raises. `str()` is one line: what is wrong and what to do."""


class TargetError(ResolverError, ValueError):
    """The target is malformed, or no resolver is registered for its scheme."""


class SharedPolicyError(ResolverError, ValueError):
    """A channel's policy is that of other channels too, and nobody said that they may change with it."""


class BootstrapError(ResolverError):
    """The process's xDS bootstrap is unreadable, or gRPC core has already read one that does not know us."""


class ControlPlaneError(ResolverError):
    """The control plane's private socket could not be opened."""
