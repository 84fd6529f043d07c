"""What every test gets without asking: an environment of its own, and a check that it leaves nothing behind."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support import leaks

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

_FAILED = pytest.StashKey[bool]()
# Whoever runs the tests may have any of these set; none may change what a test sees.
_FOREIGN_PREFIXES = ("LBDEMO_", "GRPC_", "XDG_")
_FOREIGN = {"NO_COLOR", "FORCE_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "COLUMNS", "LINES", "PYTHONWARNINGS", "PYTHONPATH"}


def pytest_configure() -> None:
    """Clear the environment once, before fixtures of any scope run; and let Ctrl-C be one.

    Whoever runs the tests in the background of a script has SIGINT ignored, and all that they start would inherit that.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    for name in list(os.environ):
        if name.startswith(_FOREIGN_PREFIXES) or name in _FOREIGN or name.lower().endswith("_proxy"):
            del os.environ[name]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Remember that a test failed: its traceback keeps objects alive, and what it leaves is no news."""
    report = yield
    if report.failed:
        item.stash[_FAILED] = True
    return report


@pytest.fixture(scope="session", autouse=True)
def _pytests_own_folder(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Have pytest make its folder now: a test's `tmp_path` outlives the test, its temporary folder does not."""
    tmp_path_factory.getbasetemp()


@pytest.fixture(autouse=True)
def _nothing_left(request: pytest.FixtureRequest, _pytests_own_folder: None) -> Iterator[None]:
    """A state folder and a temporary folder of the test's own, and the check that nothing is left when it is over.

    The folders stand in /tmp under a short name: the path of a unix socket has 107 bytes at most. The patches are not
    those of the `monkeypatch` fixture: what a test patches is undone before the check.
    """
    folder = Path(tempfile.mkdtemp(prefix="lbt-", dir="/tmp"))
    temporary = folder / "t"
    temporary.mkdir()
    before = leaks.Held.now()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LBDEMO_STATE_DIR", str(folder / "s"))
        patch.setenv("TMPDIR", str(temporary))
        patch.setattr(tempfile, "tempdir", str(temporary))
        clean = False
        try:
            yield
            if not request.node.stash.get(_FAILED, False):
                leaks.expect_nothing_left(before, empty=temporary, strays_in=folder)
                clean = True
        finally:
            if not clean:
                leaks.kill_strays(folder)
            shutil.rmtree(folder, ignore_errors=True)
