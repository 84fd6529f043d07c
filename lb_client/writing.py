"""Writes to an asyncio stream that may have ended, without spoiling how it ended. Whether to write is streams.py's.

`call.write()` of grpc.aio answers a write that came too late by giving the call a status of its own, INTERNAL: the
server's status, its trailer, and the messages that nobody has read yet are gone then (`_StreamRequestMixin._write` and
`_AioCall.set_internal_error`). Below it, the failed write leaves the call alone.
"""

from __future__ import annotations

import asyncio
from typing import Any

import grpc.aio


async def wrote(call: Any, request: Any) -> bool:
    """Write the request; False if the call has ended. Cancelling this cancels the call, as with `call.write()`."""
    inner = getattr(call, "_cython_call", None)
    try:
        if inner is None:  # a call with interceptors around it
            await call.write(request)
            return True
        if not call._metadata_sent.is_set():  # noqa: SLF001 -- as the module says
            await call._metadata_sent.wait()  # noqa: SLF001 -- the same
        if call.done():
            return False
        serialize = call._request_serializer  # noqa: SLF001 -- the same
        await inner.send_serialized_message(serialize(request) if serialize else request)
    except (grpc.aio.InternalError, grpc.aio.AioRpcError, asyncio.InvalidStateError):
        return False
    except asyncio.CancelledError:
        call.cancel()
        raise
    return True


async def closed(call: Any) -> None:
    """Close the client's side; nothing happens if the call has ended."""
    try:
        await call.done_writing()
    except (grpc.aio.InternalError, grpc.aio.AioRpcError, asyncio.InvalidStateError):
        return
