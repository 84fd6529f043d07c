"""The process of the proxy, with a program in Envoy's place: how whoever waits for its end hears Ctrl-C."""

from __future__ import annotations

import shutil
import signal
import threading
import time
from typing import TYPE_CHECKING

import pytest

from lb_client.proxy.process import EnvoyProcess

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.timeout(20)


@pytest.fixture
def process(tmp_path: Path) -> Iterator[EnvoyProcess]:
    """One that lives until it is ended."""
    sleep = shutil.which("sleep")
    assert sleep is not None
    running = EnvoyProcess([sleep, "60"], tmp_path / "log")
    running.start()
    yield running
    running.stop()


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """A KeyboardInterrupt, whatever this process was told of it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c")
def test_a_wait_hears_of_a_signal_that_does_not_wake_it(process: EnvoyProcess) -> None:
    """As one does not that comes between Python's last look and the wait; on another thread it never wakes this one."""

    def interrupt() -> None:
        time.sleep(0.2)
        signal.pthread_kill(threading.get_ident(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)

    def wait() -> None:
        thread.start()
        process.wait()

    with pytest.raises(KeyboardInterrupt):
        wait()
    thread.join()


def test_a_wait_ends_with_the_process(process: EnvoyProcess) -> None:
    assert not process.wait(0.01)
    threading.Timer(0.2, process.stop).start()
    assert process.wait()
    assert process.code == -signal.SIGTERM
