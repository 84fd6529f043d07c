"""A worker that opens one channel, makes one call, and tells what its process holds; asked, it changes the registry, or
tells what CPU it takes to do nothing.

Arguments as in channels.py. A change counts as done when the last snapshot shows it and calls go to exactly the
endpoints that there should be.
"""

from __future__ import annotations

import asyncio
import contextlib
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

    from resolver.model import Snapshot

_ADDRESS_KEY = "lbdemo-address"
_CHANGE_S = 5.0
_LOOKS = 10


_POOL = "event_engine"
"""What core calls the threads of its pool."""


def held() -> dict[str, int]:
    """Python's own blocks of memory, resident bytes, threads and descriptors. Linux only.

    Apart from the descriptors, those of sockets; apart from the threads, those of core's pool: it takes one more when
    all are busy, and lets it go when that has been idle for 20 s.
    """
    status = Path("/proc/self/status").read_text().splitlines()
    fields = dict(line.split(":", 1) for line in status)
    sockets = 0
    descriptors = list(Path("/proc/self/fd").iterdir())
    for descriptor in descriptors:
        try:
            sockets += str(descriptor.readlink()).startswith("socket:")
        except OSError:  # the one of this very listing
            continue
    names = []
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(OSError):  # it has just ended
            names.append((task / "comm").read_text().strip())
    return {
        "blocks": sys.getallocatedblocks(),
        "rss": int(fields["VmRSS"].split()[0]) * 1024,
        "threads": sum(name != _POOL for name in names),
        "pool": names.count(_POOL),
        "sockets": sockets,
        "descriptors": len(descriptors),
    }


def settled(settle_s: float) -> dict[str, int]:
    """What is held once nothing is under way; of blocks the fewest of several looks, for other threads never stand."""
    gc.collect()
    time.sleep(settle_s)
    last = held()
    fewest = last["blocks"]
    for _ in range(_LOOKS):
        time.sleep(0.02)
        fewest = min(fewest, sys.getallocatedblocks())
    return {**last, "blocks": fewest}


class _Registry:
    """The records of a folder: one is withdrawn, written again, then written with metadata that it never had; the next.

    Attributes:
        builds: By address that is announced, what its metadata says.
    """

    def __init__(self, folder: Path) -> None:
        found = [json.loads(path.read_bytes()) for path in sorted(folder.glob("*.json"))]
        self._folder = folder
        self._ids = [(each["Addr"], each["Metadata"]["id"]) for each in found]
        self._step = 0
        self.builds = {address: "" for address, _ in self._ids}

    def change(self) -> None:
        from backends.announce import Record  # noqa: PLC0415 -- no part of what an idle channel holds

        address, name = self._ids[self._step // 3 % len(self._ids)]
        build = str(self._step)
        if self._step % 3 == 0:
            (self._folder / f"{name}.json").unlink()
            del self.builds[address]
        else:
            Record(self._folder, name, address, (("build", build),)).write()
            self.builds[address] = build
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


def _until_told(snapshots: list[Snapshot], expected: dict[str, str]) -> None:
    """The last snapshot holds exactly these, and all of them are healthy."""
    end_s = time.monotonic() + _CHANGE_S
    while time.monotonic() < end_s:
        last = snapshots[-1].endpoints if snapshots else ()
        if expected == {e.address: dict(e.metadata).get("build", "") for e in last if e.health.takes_calls}:
            return
        time.sleep(0.001)
    raise RuntimeError(f"after {_CHANGE_S} s the last snapshot is {snapshots[-1:]}, not {expected}")


def _change_when_asked(channel: grpc.Channel, target: str) -> None:
    """Make as many changes as each question says, and tell what is held then, collected and settled."""
    import resolver  # noqa: PLC0415 -- the bare side has none

    registry = _Registry(Path(target.removeprefix("dir://")))
    snapshots: list[Snapshot] = []
    with resolver.watch(target, snapshots.append):
        for question in questions():
            if "idle_s" in question:
                say(**_idle(**question))
                continue
            for _ in range(question["count"]):
                registry.change()
                _until_told(snapshots, registry.builds)
                _until_called(channel, set(registry.builds))
                del snapshots[:-1]
            say(**settled(question["settle_s"]))


def _idle(settle_s: float, idle_s: float) -> dict[str, float]:
    """CPU of all threads of this process, in seconds per second."""
    time.sleep(settle_s)
    cpu_s, wall_s = time.process_time(), time.monotonic()
    time.sleep(idle_s)
    return {"cpu": (time.process_time() - cpu_s) / (time.monotonic() - wall_s)}


def _hold(channel: grpc.Channel, choice: ChannelChoice, settle_s: float) -> None:
    say_hello(channel)(REQUEST, timeout=5.0)
    time.sleep(settle_s)
    say(**held())
    if choice.ours:
        _change_when_asked(channel, choice.target)
        return
    for question in questions():
        say(**_idle(**question))


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
        _hold(channel, choice, settle_s)


if __name__ == "__main__":
    main()
