"""The bootstrap is a matter of the whole process, so each of these runs in one of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import pytest

from tests.support.backend import Backend

_PRELUDE = """
import os, sys, threading, grpc, lb_client, resolver
from tests.support.backend import who
target = sys.argv[1]
"""


@pytest.fixture
def temporary() -> Path:
    """The test's temporary folder, whose path is short enough for a socket's; that of `tmp_path` may not be."""
    return Path(tempfile.gettempdir())


def run(script: str, target: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "default", "-c", _PRELUDE + textwrap.dedent(script), target],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        env={**os.environ, "PYTHONPATH": str(Path.cwd()), "GRPC_VERBOSITY": "NONE", **environ},
    )


def ok(done: subprocess.CompletedProcess[str]) -> str:
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def mesh(backend: Backend, tmp_path: Path) -> dict[str, str]:
    """A bootstrap file of an application's own, whose control plane is not there."""
    del backend
    server = {"server_uri": f"unix:{tmp_path}/mesh.sock", "channel_creds": [{"type": "insecure"}]}
    file = tmp_path / "bootstrap.json"
    file.write_text(json.dumps({"node": {"id": "their-app"}, "xds_servers": [server]}))
    return {"GRPC_XDS_BOOTSTRAP": str(file)}


def test_an_application_with_a_bootstrap_keeps_it(tmp_path: Path) -> None:
    with Backend("b") as backend:
        script = """
            from grpc._cython import cygrpc
            with lb_client.insecure_channel(target) as ours, grpc.insecure_channel("xds:///theirs") as theirs:
                print(who(ours))
                try:
                    who(theirs, timeout_s=1)
                except grpc.RpcError as error:
                    # Their own control plane was asked, and is not there: that is what its path in the message says.
                    print("mesh.sock" in error.details())
                print(b"their-app" in cygrpc.dump_xds_configs())
        """
        assert ok(run(script, f"static:{backend.address}", **mesh(backend, tmp_path))) == "['b']\nTrue\nTrue\n"


def test_an_xds_channel_opened_before_ours_is_a_clear_error_until_it_is_closed(tmp_path: Path) -> None:
    with Backend("b") as backend:
        script = """
            import time
            with grpc.insecure_channel("xds:///theirs") as theirs:
                try:
                    who(theirs, timeout_s=0.5)
                except grpc.RpcError:
                    pass
                try:
                    lb_client.insecure_channel(target)
                except resolver.BootstrapError as error:
                    print(error)
            end = time.monotonic() + 5
            while time.monotonic() < end:
                try:
                    channel = lb_client.insecure_channel(target)
                    break
                except resolver.BootstrapError:
                    time.sleep(0.01)
            with channel:
                print(who(channel))
        """
        first, second = ok(run(script, f"static:{backend.address}", **mesh(backend, tmp_path))).splitlines()
        assert "opened an xDS channel of its own before" in first
        assert second == "['b']"


def test_the_environment_is_as_it_was_whenever_the_last_channel_is_closed(tmp_path: Path) -> None:
    with Backend("b") as backend:
        script = """
            import time
            def bootstrap():
                return [os.environ.get(name) for name in ("GRPC_XDS_BOOTSTRAP", "GRPC_XDS_BOOTSTRAP_CONFIG")]
            before = bootstrap()
            for _ in range(25):
                with lb_client.insecure_channel(target) as channel:
                    who(channel)
                    assert bootstrap() != before
                end = time.monotonic() + 5
                while bootstrap() != before and time.monotonic() < end:
                    time.sleep(0.001)
                assert bootstrap() == before
            print("every time")
        """
        assert ok(run(script, f"static:{backend.address}", **mesh(backend, tmp_path))) == "every time\n"


def test_discovery_goes_on_for_threads_that_outlive_the_main_one(tmp_path: Path) -> None:
    record = '{"Op": 0, "Addr": "%s", "Metadata": {"id": "%s"}}'
    with Backend("b1") as b1, Backend("b2") as b2:
        (tmp_path / "b1.json").write_text(record % (b1.address, "b1"))
        (tmp_path / "later").write_text(record % (b2.address, "b2"))
        script = """
            import pathlib, time
            folder = pathlib.Path(target.removeprefix("dir://"))
            channel = lb_client.insecure_channel(target)
            def work():
                threading.main_thread().join()
                who(channel)
                (folder / "later").rename(folder / "b2.json")
                end = time.monotonic() + 5
                while "b2" not in who(channel, 4) and time.monotonic() < end:
                    pass
                print(sorted(set(who(channel, 4))))
                channel.close()
            threading.Thread(target=work).start()
        """
        assert ok(run(script, f"dir://{tmp_path}")) == "['b1', 'b2']\n"


def test_an_asyncio_application_sees_nothing_of_our_loop(tmp_path: Path) -> None:
    del tmp_path
    with Backend("plain", with_health=False) as backend:
        script = """
            import asyncio
            async def main():
                for _ in range(10):
                    with lb_client.insecure_channel(target) as channel:
                        await asyncio.to_thread(who, channel)
                    await asyncio.sleep(0.05)
                print("quiet")
            asyncio.run(main())
        """
        assert ok(run(script, f"static:{backend.address}")) == "quiet\n"


def test_a_process_may_exit_with_its_channels_open_and_leaves_no_file(temporary: Path) -> None:
    with Backend("b") as backend:
        script = """
            channel = lb_client.insecure_channel(target)
            print(who(channel))
        """
        assert ok(run(script, f"static:{backend.address}", TMPDIR=str(temporary))) == "['b']\n"
        assert list(temporary.iterdir()) == []


def test_a_process_may_exit_right_after_its_last_channel_was_closed(temporary: Path) -> None:
    with Backend("b") as backend:
        script = """
            with lb_client.insecure_channel(target) as channel:
                print(who(channel))
        """
        for _ in range(5):
            assert ok(run(script, f"static:{backend.address}", TMPDIR=str(temporary))) == "['b']\n"
            assert list(temporary.iterdir()) == []


def test_an_asyncio_process_may_exit_with_its_channel_open(temporary: Path) -> None:
    with Backend("b") as backend:
        script = """
            import asyncio
            from tests.support.backend import awho
            async def main():
                global channel
                channel = lb_client.aio.insecure_channel(target)
                print(await awho(channel))
            asyncio.run(main())
        """
        assert ok(run(script, f"static:{backend.address}", TMPDIR=str(temporary))) == "['b']\n"
        assert list(temporary.iterdir()) == []


def test_what_a_killed_process_left_is_removed_and_what_a_living_one_has_is_not(temporary: Path) -> None:
    with Backend("b") as backend:
        script = """
            import signal
            channel = lb_client.insecure_channel(target)
            print(who(channel), flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
        """
        killed = run(script, f"static:{backend.address}", TMPDIR=str(temporary))
        assert killed.returncode == -9
        (left,) = temporary.iterdir()
        script = """
            import subprocess
            with lb_client.insecure_channel(target) as channel:
                print(who(channel), len(os.listdir(os.environ["TMPDIR"])), flush=True)
                child = (
                    "import sys, lb_client; from tests.support.backend import who\\n"
                    "with lb_client.insecure_channel(sys.argv[1]) as c: print(who(c))"
                )
                subprocess.run([sys.executable, "-c", child, target], check=True)
                print(who(channel), len(os.listdir(os.environ["TMPDIR"])))
        """
        out = ok(run(script, f"static:{backend.address}", TMPDIR=str(temporary)))
        assert out == "['b'] 1\n['b']\n['b'] 1\n"
        assert not left.exists()
        assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("name", ["x" * 100, "a b,c", "100%41", "gr\u00fc\u00df#?"])
def test_no_temporary_folder_is_an_obstacle(tmp_path: Path, name: str) -> None:
    long = tmp_path / name
    long.mkdir()
    with Backend("b") as backend:
        script = """
            with lb_client.insecure_channel(target) as channel:
                print(who(channel))
        """
        assert ok(run(script, f"static:{backend.address}", TMPDIR=str(long))) == "['b']\n"


def test_a_broken_bootstrap_is_named(tmp_path: Path) -> None:
    script = """
        try:
            lb_client.insecure_channel(target)
        except resolver.BootstrapError as error:
            print(error)
    """
    assert "is not JSON" in ok(run(script, "static:127.0.0.1:1", GRPC_XDS_BOOTSTRAP_CONFIG="{"))
    missing = ok(run(script, "static:127.0.0.1:1", GRPC_XDS_BOOTSTRAP=str(tmp_path / "nowhere")))
    assert "cannot be read" in missing


def test_a_child_process_of_one_with_channels_has_its_own(temporary: Path) -> None:
    with Backend("b") as backend:
        script = """
            import subprocess
            with lb_client.insecure_channel(target) as channel:
                print(who(channel), flush=True)
                child = (
                    "import sys, lb_client; from tests.support.backend import who\\n"
                    "with lb_client.insecure_channel(sys.argv[1]) as c: print('child', who(c))"
                )
                subprocess.run([sys.executable, "-c", child, target], check=True)
        """
        out = ok(run(script, f"static:{backend.address}", TMPDIR=str(temporary)))
        assert out == "['b']\nchild ['b']\n"
