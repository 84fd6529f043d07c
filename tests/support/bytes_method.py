"""A method called with bytes for messages: what a test needs where no generated stub fits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import grpc.aio


def bytes_method(channel: grpc.aio.Channel, path: str, kind: str = "unary_unary") -> Any:
    """The multi-callable for `path`; `kind` is that of the channel's method which makes it."""
    return getattr(channel, kind)(path)
