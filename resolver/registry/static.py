"""`static:host:port,host:port`: a set of endpoints that never changes. Health still comes and goes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from resolver.errors import TargetError
from resolver.model import Endpoint

if TYPE_CHECKING:
    from collections.abc import Sequence

    from resolver.registry.base import EndpointWatcher
    from resolver.target import Target


def factory(target: Target) -> EndpointWatcher:
    """The endpoints that the target spells out: `static:10.0.0.1:50051,[::1]:50052`.

    Raises:
        TargetError: An address is not `ip:port`, or stands there twice.
    """
    if target.authority:
        raise TargetError(f"{target}: a static target is written without '//': static:10.0.0.1:50051,10.0.0.2:50051")
    endpoints: dict[str, Endpoint] = {}
    for text in target.path.split(","):
        try:
            endpoint = Endpoint.at(text)
        except ValueError as error:
            raise TargetError(f"{target}: {error}") from None
        if endpoint.address in endpoints:
            raise TargetError(f"{target}: {endpoint.address} stands there twice")
        endpoints[endpoint.address] = endpoint
    return _watch(tuple(endpoints.values()))


async def _watch(endpoints: Sequence[Endpoint]) -> EndpointWatcher:
    yield endpoints
    await asyncio.Event().wait()  # nothing will ever change; whoever watches closes us
