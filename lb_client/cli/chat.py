"""`lbdemo chat`: be in a room, at a terminal or through a pipe. The room itself is chat_session.py's matter."""

from __future__ import annotations

import os
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import click

from lb_client.cli.call_values import Duration
from lb_client.cli.common import Failure, cluster_option

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from lb_client.chat_channels import RoomChannels
    from lb_client.chat_session import ChatSession

MAX_HISTORY = 100


@click.command(short_help="Talk in a room that lives on one replica, and moves with it.")
@click.option("--room", default="lobby", show_default=True, help="Which room: 1 to 64 characters.")
@click.option("--name", help="Who you are there: 1 to 64 characters  [default: your login name]")
@click.option(
    "--history",
    type=click.IntRange(0, MAX_HISTORY),
    default=20,
    show_default=True,
    metavar="N",
    help="Show the last N lines on entering.",
)
@click.option(
    "--stay", type=Duration(), help="From a pipe: stay so long after its end, 5s or 2m  [default: until all is said]"
)
@click.option("--rooms", is_flag=True, help="Only list the rooms, and on which replica each one is.")
@click.option(
    "--target", metavar="TARGET", help="Talk there instead of in the cluster: dir:///…, host:port of a proxy."
)
@cluster_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line, for each thing that happens.")
def command(
    *,
    room: str,
    name: str | None,
    history: int,
    stay: float | None,
    rooms: bool,
    target: str | None,
    cluster: str,
    as_json: bool,
) -> None:
    """Talk in a room. Everybody who names the room meets there: by consistent hashing it lives on one replica.

    On a terminal: type a line and press Enter; /who tells who is there, /quit or Ctrl-D leaves. From a pipe: each line
    of standard input is said, and what is heard is printed.

    When the replica drains, dies or gets company, the room moves, and everybody in it goes along.

    Exit codes: 0 left, and all was said; 1 not in the room, or not any more; 2 usage; 130 Ctrl-C in a pipe.
    """
    import asyncio  # noqa: PLC0415 -- help needs none of it

    # Lets a plain channel hash by a header (gRFC A76); gRPC reads it when it is imported.
    os.environ.setdefault("GRPC_EXPERIMENTAL_RING_HASH_SET_REQUEST_HASH_KEY", "true")
    from lb_client.cli.call_target import check_target, cluster_target  # noqa: PLC0415 -- help needs none of it

    whom = target if target is not None else cluster_target(cluster)
    ours = check_target(whom)
    if rooms:
        if not ours:
            raise click.UsageError(
                f"--rooms asks every replica, and target {whom!r} names none: give a resolver's, such as dir:///…"
            )
        from lb_client.cli.chat_rooms import show_rooms  # noqa: PLC0415 -- help needs none of it

        asyncio.run(show_rooms(whom, as_json=as_json))
        return
    room, name = _checked("--room", room), _checked("--name", _login_name() if name is None else name)
    at_terminal = sys.stdin.isatty() and sys.stdout.isatty() and not as_json and os.environ.get("TERM") != "dumb"
    talk = _talk(
        whom, ours=ours, room=room, name=name, history=history, stay_s=stay or 0.0, as_json=as_json,
        at_terminal=at_terminal,
    )  # fmt: skip
    try:
        asyncio.run(talk)
    except KeyboardInterrupt:
        if not at_terminal:  # there it is the way to leave, also between two prompts
            raise


def _checked(option: str, text: str) -> str:
    from protos.chat_rules import BadWordError, check_name  # noqa: PLC0415 -- help needs none of it

    try:
        return check_name(text, option.removeprefix("--"))
    except BadWordError as error:
        raise click.UsageError(f"{option}: {error}.") from None


def _login_name() -> str:
    import getpass  # noqa: PLC0415 -- only without --name

    try:
        return getpass.getuser()
    except (KeyError, OSError):
        raise click.UsageError("--name is needed: this system has no name for you.") from None


async def _talk(
    target: str, *, ours: bool, room: str, name: str, history: int, stay_s: float, as_json: bool, at_terminal: bool
) -> None:
    import asyncio  # noqa: PLC0415 -- help needs none of it
    import signal  # noqa: PLC0415 -- the same

    from lb_client.chat_session import ChatError  # noqa: PLC0415 -- the same
    from lb_client.paper import Paper  # noqa: PLC0415 -- the same

    try:
        async with _session(target, ours=ours, room=room, name=name, history=history) as session:
            # A closed terminal and a polite end of the process are ways to leave, too.
            for end in (signal.SIGHUP, signal.SIGTERM):
                asyncio.get_running_loop().add_signal_handler(end, session.leave)
            if at_terminal:
                from lb_client.cli.chat_prompt import converse  # noqa: PLC0415 -- only a terminal pays for it

                await converse(session, Paper.of(sys.stdout))
            else:
                from lb_client.cli.chat_pipe import pass_on  # noqa: PLC0415 -- only a pipe needs it

                await pass_on(session, Paper.of(sys.stdout), stay_s=stay_s, as_json=as_json)
    except ChatError as error:
        from lb_client.phrases import printable  # noqa: PLC0415 -- only after a failure

        raise Failure(printable(str(error))) from None


@asynccontextmanager
async def _session(target: str, *, ours: bool, room: str, name: str, history: int) -> AsyncIterator[ChatSession]:
    from lb_client.chat_session import ChatSession  # noqa: PLC0415 -- help needs none of it
    from resolver.errors import ResolverError  # noqa: PLC0415 -- the same

    try:
        async with (
            open_channels(target, ours=ours) as channels,
            ChatSession(channels, room=room, name=name, history=history) as session,
        ):
            yield session
    except ResolverError as error:
        raise Failure(str(error)) from None


def open_channels(target: str, *, ours: bool) -> RoomChannels:
    """Channels whose calls go where their room is, as far as the target lets them choose."""
    import json  # noqa: PLC0415 -- help needs none of it

    import grpc.aio  # noqa: PLC0415 -- the same

    from lb_client.chat_channels import RingChannels  # noqa: PLC0415 -- the same
    from protos.chat_rules import ROOM_KEY  # noqa: PLC0415 -- the same

    if ours:
        return RingChannels(target)
    ring = {"ring_hash_experimental": {"requestHashHeader": ROOM_KEY, "minRingSize": 4096}}
    options = [
        ("grpc.service_config", json.dumps({"loadBalancingConfig": [ring]})),
        ("grpc.service_config_disable_resolution", 1),
        ("grpc.enable_http_proxy", 0),
    ]
    from lb_client.chat_channels import RoomChannels  # noqa: PLC0415 -- the same

    return RoomChannels(grpc.aio.insecure_channel(target, options))
