"""A worker that opens one channel, makes one call, and tells what its process holds; asked, it changes the registry.

Arguments as in channels.py. A snapshot change is a record removed or written again, and counts as done when calls go to
exactly the endpoints that there should be.
"""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.benchmarks.programs.channels import REQUEST, ChannelChoice, say_hello, say_hello_aio
from tests.benchmarks.programs.talk import questions, say

if TYPE_CHECKING:
    import grpc

_ADDRESS_KEY = "lbdemo-address"
_CHANGE_S = 5.0


def held() -> dict[str, int]:
    """Python's own blocks of memory, resident bytes, threads and descriptors, sockets apart. Linux only."""
    status = Path("/proc/self/status").read_text().splitlines()
    fields = dict(line.split(":", 1) for line in status)
    sockets = 0
    descriptors = list(Path("/proc/self/fd").iterdir())
    for descriptor in descriptors:
        try:
            sockets += str(descriptor.readlink()).startswith("socket:")
        except OSError:  # the one of this very listing
            continue
    return {
        "blocks": sys.getallocatedblocks(),
        "rss": int(fields["VmRSS"].split()[0]) * 1024,
        "threads": int(fields["Threads"]),
        "sockets": sockets,
        "descriptors": len(descriptors),
    }


class _Registry:
    """The records of a folder, one of them missing every other time."""

    def __init__(self, folder: Path) -> None:
        from backends.announce import Record  # noqa: PLC0415 -- no part of what an idle channel holds

        found = [json.loads(path.read_bytes()) for path in sorted(folder.glob("*.json"))]
        self._records = [(each["Addr"], Record(folder, each["Metadata"]["id"], each["Addr"])) for each in found]
        self._step = 0
        self.present = {address for address, _ in self._records}

    def change(self) -> None:
        address, record = self._records[self._step // 2 % len(self._records)]
        if self._step % 2 == 0:
            record.withdraw()
            self.present.discard(address)
        else:
            record.write()
            self.present.add(address)
        self._step += 1


def _until_called(channel: grpc.Channel, expected: set[str]) -> None:
    """Two rounds in a row went to exactly these."""
    call = say_hello(channel)
    end_s = time.monotonic() + _CHANGE_S
    last: list[Any] = []
    while time.monotonic() < end_s:
        _, ended = call.with_call(REQUEST, timeout=5.0, wait_for_ready=True)
        last.append(dict(ended.trailing_metadata())[_ADDRESS_KEY])
        last = last[-2 * len(expected) :]
        if len(last) == 2 * len(expected) and set(last) == expected:
            return
    raise RuntimeError(f"after {_CHANGE_S} s calls go to {sorted(set(last))}, not to {sorted(expected)}")


def _churn(channel: grpc.Channel, folder: Path, count: int, block: int, settle_s: float) -> list[dict[str, int]]:
    """What is held after every `block` changes, collected and settled."""
    registry = _Registry(folder)
    _until_called(channel, registry.present)
    series = []
    for number in range(1, count + 1):
        registry.change()
        _until_called(channel, registry.present)
        if number % block == 0:
            gc.collect()
            time.sleep(settle_s)
            series.append({"count": number, **held()})
    return series


def _hold(channel: grpc.Channel, settle_s: float, folder: str) -> None:
    say_hello(channel)(REQUEST, timeout=5.0)
    time.sleep(settle_s)
    say(**held())
    for question in questions():
        series = _churn(channel, Path(folder), **question)
        say(series=series)


async def _hold_aio(choice: ChannelChoice, settle_s: float) -> None:
    async with choice.open_aio() as channel:
        await say_hello_aio(channel)(REQUEST, timeout=5.0)
        await asyncio.sleep(settle_s)
        say(**held())


def main() -> None:
    logging.basicConfig(level=logging.ERROR)  # that endpoints come and go is no news here
    settle_s = 1.0
    choice = ChannelChoice.of_arguments()
    if choice.aio:
        asyncio.run(_hold_aio(choice, settle_s))
        return
    with choice.open() as channel:
        _hold(channel, settle_s, choice.target.removeprefix("dir://"))


if __name__ == "__main__":
    main()
