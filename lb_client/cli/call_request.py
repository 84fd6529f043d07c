"""What `lbdemo call` sends: the Greeter's SayHello, or any unary method looked up by server reflection."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lb_client.cli.common import Failure

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import grpc.aio

GREETER = "helloworld.Greeter/SayHello"


@dataclass(frozen=True, slots=True)
class Prepared:
    """A method and its request, ready to send.

    Attributes:
        path: `/package.Service/Method`.
        request: Serialized.
        decode: An answer's bytes as JSON's values; None where nobody asked to see answers.
    """

    path: str
    request: bytes
    decode: Callable[[bytes], Any] | None = None


def read_data(data: str) -> str:
    """`--data` as text: itself, `@file`, or `-` for standard input.

    Raises:
        click.UsageError: The file cannot be read, or is no UTF-8.
    """
    try:
        if data == "-":
            return sys.stdin.buffer.read().decode()
        if data.startswith("@"):
            return Path(data[1:]).read_bytes().decode()
    except OSError as error:
        raise click.UsageError(f"--data {data}: {error.strerror}.") from None
    except UnicodeDecodeError as error:
        raise click.UsageError(f"--data {data}: no UTF-8 at byte {error.start}.") from None
    return data


def greeting(name: str) -> Prepared:
    """The default: a request for the Greeter, without asking anybody."""
    from protos import helloworld_pb2  # noqa: PLC0415 -- help needs none of it

    try:
        request = helloworld_pb2.HelloRequest(name=name).SerializeToString()
    except ValueError:
        raise click.UsageError("--name is no valid Unicode text.") from None
    return Prepared(f"/{GREETER}", request)


async def look_up(
    channel: grpc.aio.Channel, method: str, data: str, *, metadata: Sequence[tuple[str, str]], timeout_s: float
) -> Prepared:
    """The method by reflection over the channel that will carry the calls.

    Raises:
        Failure: It cannot be looked up or called.
        click.UsageError: The data does not fit it.
    """
    from lb_client.reflect import BadRequestError, Reflection, ReflectionError  # noqa: PLC0415 -- only --method pays

    try:
        found = await Reflection(channel, metadata=metadata, timeout_s=timeout_s).method(method)
        return Prepared(found.path, found.encode(data), found.decode)
    except BadRequestError as error:
        raise click.UsageError(f"--data: {error}.") from None
    except ReflectionError as error:
        raise Failure(f"--method {method}: {error}") from None


async def advice(channel: grpc.aio.Channel, *, metadata: Sequence[tuple[str, str]]) -> str:
    """What can be called instead of the Greeter, as the end of a sentence; "" where nobody tells."""
    from lb_client.phrases import and_more  # noqa: PLC0415 -- only after a failure
    from lb_client.reflect import Reflection, ReflectionError  # noqa: PLC0415 -- the same

    try:
        methods = await Reflection(channel, metadata=metadata, timeout_s=2.0).methods()
    except ReflectionError:
        return ""
    return f"call one of these by --method: {and_more(methods, 8)}" if methods else ""
