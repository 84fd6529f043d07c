"""`python -m backends --id r1`: one replica in this process, for programs; people use `lbdemo serve`."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from backends import core_environment
from backends.spec import ReplicaSpec

if TYPE_CHECKING:
    from collections.abc import Sequence


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not key=value")
    return key, value


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m backends", description="Run one replica until SIGTERM or SIGINT.")
    parser.add_argument("--id", required=True, help="the replica's name, goes out on every call")
    parser.add_argument("--registry", type=Path, metavar="DIR", help="folder to announce in")
    parser.add_argument("--host", default="127.0.0.1", help="address to bind (%(default)s)")
    parser.add_argument("--port", type=int, default=0, help="port to bind, 0 for any free one")
    parser.add_argument("--advertise", metavar="HOST[:PORT]", help="address to announce instead of the bound one")
    parser.add_argument("--service", metavar="PACKAGE.MODULE:FUNCTION", help="registers your servicers (the Greeter)")
    parser.add_argument("--linger", type=float, default=0.3, metavar="S", help="seconds of calls after the withdrawal")
    parser.add_argument("--grace", type=float, default=5.0, metavar="S", help="seconds for calls in flight to finish")
    parser.add_argument("--meta", type=_pair, action="append", default=[], metavar="KEY=VALUE", help="for the record")
    parser.add_argument("--notify-fd", type=int, metavar="FD", help="inherited pipe for events, one JSON object a line")
    parser.add_argument("--lifeline-fd", type=int, metavar="FD", help="inherited pipe; drain when its other end closes")
    return parser


def main(args: Sequence[str] | None = None) -> int:
    """Run it; returns the exit code: 0 after a drain, 3 if it cannot start."""
    given = _parser().parse_args(args)
    core_environment.prepare(os.environ)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    from backends import notify, replica  # noqa: PLC0415 -- gRPC, and a wrong option should be told before that

    spec = ReplicaSpec(
        id=given.id,
        registry=str(given.registry.absolute()) if given.registry else None,
        host=given.host,
        port=given.port,
        advertise=given.advertise,
        service=given.service,
        linger_s=given.linger,
        grace_s=given.grace,
        metadata=tuple(sorted(given.meta)),
    )
    events = notify.nobody if given.notify_fd is None else notify.to_fd(given.notify_fd)
    return replica.run(spec, notify=events, lifeline_fd=given.lifeline_fd)


if __name__ == "__main__":
    sys.exit(main())
