from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

import pytest

from backends import state
from backends.cluster_errors import StateFolderError
from backends.state import StateFolder
from resolver.target import quote_path

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def folder(tmp_path: Path) -> StateFolder:
    return StateFolder.of("c", root=tmp_path / "s")


@pytest.fixture(autouse=True)
def _deep_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Room for pytest's own folders, which may be deep; the rule has a test of its own."""
    monkeypatch.setattr(state, "SOCKET_PATH_MAX", 300)


@pytest.fixture
def lock(folder: StateFolder) -> Iterator[int]:
    folder.prepare()
    fd = folder.try_lock()
    assert fd is not None
    yield fd
    os.close(fd)


@pytest.mark.parametrize("name", ["plain", "a b", "100%25", "#?", "ä", "a:b;c@d=e&f!$'()*+~", '[x]\\|^`{}<>"\n'])
def test_target_is_written_as_the_resolver_reads_it(name: str) -> None:
    folder = StateFolder.of("c", root=Path("/run") / name)
    assert folder.target(None) == f"dir://{quote_path(str(folder.registry(None)))}"
    assert unquote(folder.socket_target) == f"unix:{folder.socket}"
    assert not set(folder.socket_target) & set('%#?" \n<>') - {"%"}


def test_given_folder_comes_before_the_runtime_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("LBDEMO_STATE_DIR", "here")
    assert state.default_root() == Path.cwd() / "here"
    monkeypatch.delenv("LBDEMO_STATE_DIR")
    assert state.default_root() == tmp_path / "lbdemo"


@pytest.mark.parametrize("runtime", [None, "", "relative", "/not/there"])
def test_without_a_runtime_folder_the_state_is_at_home(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, runtime: str | None
) -> None:
    monkeypatch.delenv("LBDEMO_STATE_DIR")
    monkeypatch.setenv("HOME", str(tmp_path))
    if runtime is None:
        monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    else:
        monkeypatch.setenv("XDG_RUNTIME_DIR", runtime)
    assert state.default_root() == tmp_path / ".local" / "state" / "lbdemo"


def test_user_without_a_home_is_told_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("LBDEMO_STATE_DIR")
    monkeypatch.setattr(Path, "home", homeless)
    with pytest.raises(StateFolderError, match="set LBDEMO_STATE_DIR"):
        state.default_root()


def test_prepared_folder_is_private(folder: StateFolder) -> None:
    folder.prepare()
    assert folder.path.stat().st_mode & 0o777 == 0o700
    assert folder.path.parent.stat().st_mode & 0o777 == 0o700
    folder.prepare()


def test_open_folder_is_refused(folder: StateFolder) -> None:
    folder.prepare()
    folder.path.chmod(0o755)
    with pytest.raises(StateFolderError, match=r"mode 0755.*chmod 700"):
        folder.check()


def test_root_that_others_may_write_is_refused(folder: StateFolder) -> None:
    folder.prepare()
    folder.path.parent.chmod(0o777)
    with pytest.raises(StateFolderError, match="written by others"):
        folder.check()


def test_folder_of_somebody_else_is_refused(folder: StateFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.prepare()
    monkeypatch.setattr(os, "geteuid", lambda: 54321)
    with pytest.raises(StateFolderError, match="not to you"):
        folder.check()


def test_symbolic_link_in_place_of_a_cluster_is_refused(folder: StateFolder, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(0o700)
    folder.path.parent.mkdir(0o700)
    folder.path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StateFolderError, match="symbolic link"):
        folder.prepare()


def test_file_in_place_of_the_folder_is_refused(folder: StateFolder) -> None:
    folder.path.parent.write_text("")
    with pytest.raises(StateFolderError, match="not a folder"):
        folder.prepare()


def test_folder_that_cannot_be_made_says_why() -> None:
    with pytest.raises(StateFolderError, match=r"cannot be used: .*LBDEMO_STATE_DIR"):
        StateFolder.of("c", root=Path("/proc/nowhere")).prepare()


def test_path_too_long_for_a_socket_is_refused_with_its_length(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    exact = StateFolder.of("c", root=Path("/" + "x" * (107 - len("//c/cluster.sock"))))
    assert len(str(exact.socket)) == 107
    exact.check()
    with pytest.raises(StateFolderError, match=r"too long for a unix socket \(108 bytes, at most 107\)"):
        StateFolder.of("c", root=Path(f"{exact.path.parent}x")).check()


def test_lock_is_held_once(folder: StateFolder, lock: int) -> None:
    assert lock > 2
    assert folder.try_lock() is None
    assert folder.is_locked()


def test_lock_is_free_again_when_its_holder_is_gone(folder: StateFolder) -> None:
    folder.prepare()
    fd = folder.try_lock()
    assert fd is not None
    os.close(fd)
    assert not folder.is_locked()


def test_lock_that_is_a_symbolic_link_is_refused(folder: StateFolder, tmp_path: Path) -> None:
    folder.prepare()
    folder.lock.symlink_to(tmp_path / "precious")
    with pytest.raises(StateFolderError, match="lock file"):
        folder.try_lock()


def test_removed_folder_is_noticed(folder: StateFolder, lock: int) -> None:
    assert folder.holds(lock)
    folder.lock.unlink()
    assert not folder.holds(lock)
    folder.lock.touch()
    assert not folder.holds(lock)


def test_cleaning_removes_socket_and_records_and_keeps_the_rest(folder: StateFolder) -> None:
    folder.prepare()
    registry = folder.registry(None)
    registry.mkdir()
    for path in (folder.socket, registry / "r1.json", registry / ".r2.json.7.tmp", folder.log("r1"), folder.lock):
        path.touch()
    (folder.logs / "a.json").touch()
    assert [p.name for p in folder.leftovers()] == ["cluster.sock", ".r2.json.7.tmp", "r1.json"]
    folder.clean()
    assert folder.leftovers() == ()
    assert folder.log("r1").exists()
    assert folder.lock.exists()
    assert (folder.logs / "a.json").exists()


def test_registry_is_named_after_the_service(folder: StateFolder) -> None:
    assert folder.registry(None) == folder.path / "greeter"
    assert folder.registry("shop.basket:add_to") == folder.path / "basket"
    assert folder.registry("logs:add_to") == folder.path / "logs-records"


def test_log_that_grew_too_big_is_put_aside(folder: StateFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.prepare()
    monkeypatch.setattr(state, "LOG_MAX_BYTES", 10)
    for text in (b"12345678901", b"new"):
        fd = folder.open_log("r1")
        os.write(fd, text)
        os.close(fd)
    assert folder.log("r1").read_bytes() == b"new"
    assert (folder.logs / "r1.log.1").read_bytes() == b"12345678901"
