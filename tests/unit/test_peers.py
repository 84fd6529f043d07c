"""A missing peer is never passed over in silence: skipped with its reason for a user, failed where CI is set."""

from __future__ import annotations

import pytest

from tests.support import peers


def _nothing_here() -> peers.Node:
    raise peers.MissingPeerError("node: not here")


@pytest.fixture(autouse=True)
def _missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "bring_node", _nothing_here)


def test_missing_peer_skips_for_a_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="node: not here"):
        peers.require_node()


def test_missing_peer_fails_where_ci_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="node: not here"):
        peers.require_node()


def test_make_peers_fails_and_says_what_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    assert peers.main() == 1
    assert capsys.readouterr().err == "node: not here\n"
