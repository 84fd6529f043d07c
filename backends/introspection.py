"""Server reflection and channelz, built at their first call: importing them costs 6 ms, most never need it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from backends.dispatch import Collector

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from backends.dispatch import Dispatch, Handlers

CHANNELZ = "grpc.channelz.v1.Channelz"
REFLECTION = "grpc.reflection.v1alpha.ServerReflection"
# The same messages by the name that newer tools try first. Not listed: no Python package has its descriptor.
REFLECTION_V1 = "grpc.reflection.v1.ServerReflection"


def add(dispatch: Dispatch, services: Callable[[], Iterable[str]]) -> None:
    """Serve both on `dispatch`; `services` gives the full names that reflection lists."""

    def reflection() -> Handlers:
        from grpc_channelz.v1 import channelz_pb2  # noqa: F401, PLC0415 -- its descriptors: it is listed; and see above
        from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc  # noqa: PLC0415 -- see above

        collector = Collector()
        reflection_pb2_grpc.add_ServerReflectionServicer_to_server(
            reflection.aio.ReflectionServicer(services()), collector
        )
        return collector.handlers

    def channelz() -> Handlers:
        from grpc_channelz.v1 import channelz, channelz_pb2_grpc  # noqa: PLC0415 -- see above

        collector = Collector()
        channelz_pb2_grpc.add_ChannelzServicer_to_server(channelz.aio.ChannelzServicer(), collector)
        return collector.handlers

    dispatch.add_lazy(REFLECTION, reflection)
    dispatch.add_lazy(REFLECTION_V1, reflection)
    dispatch.add_lazy(CHANNELZ, channelz)
