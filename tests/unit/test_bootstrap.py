from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from resolver.errors import BootstrapError
from resolver.xds.bootstrap import FILE_VARIABLE, TEXT_VARIABLE, Bootstrap, merged

if TYPE_CHECKING:
    from pathlib import Path

MESH: dict[str, Any] = {
    "node": {"id": "app", "cluster": "prod"},
    "xds_servers": [{"server_uri": "mesh:443", "channel_creds": [{"type": "google_default"}]}],
    "authorities": {"mesh": {"xds_servers": []}},
    "certificate_providers": {"default": {}},
}


def bootstrap(environ: dict[str, str], *, clients: bool = False) -> Bootstrap:
    return Bootstrap(environ, has_clients=lambda: clients)


def test_an_application_without_one_gets_ours() -> None:
    environ: dict[str, str] = {}
    bootstrap(environ).install("unix:/s")
    ours = json.loads(environ[TEXT_VARIABLE])
    assert ours["authorities"]["lbdemo"]["xds_servers"][0]["server_uri"] == "unix:/s"
    assert ours["node"]["locality"] == {}


@pytest.mark.parametrize("as_file", [True, False])
def test_an_applications_own_is_kept_whole(tmp_path: Path, *, as_file: bool) -> None:
    if as_file:
        (tmp_path / "b.json").write_text(json.dumps(MESH))
        environ = {FILE_VARIABLE: str(tmp_path / "b.json")}
    else:
        environ = {TEXT_VARIABLE: json.dumps(MESH)}
    bootstrap(environ).install("unix:/s")
    ours = json.loads(environ[TEXT_VARIABLE])
    assert FILE_VARIABLE not in environ, "core would read the file first"
    assert set(ours["authorities"]) == {"mesh", "lbdemo"}
    assert {k: v for k, v in ours.items() if k != "authorities"} == {
        k: v for k, v in MESH.items() if k != "authorities"
    }


def test_restoring_puts_back_what_was_there() -> None:
    before = {FILE_VARIABLE: "", TEXT_VARIABLE: json.dumps(MESH), "OTHER": "1"}
    environ = dict(before)
    installed = bootstrap(environ)
    installed.install("unix:/s")
    assert environ != before
    installed.restore()
    assert environ == before


def test_restoring_leaves_alone_what_the_application_set_meanwhile() -> None:
    environ: dict[str, str] = {}
    installed = bootstrap(environ)
    installed.install("unix:/s")
    environ[TEXT_VARIABLE] = "theirs"
    installed.restore()
    assert environ == {TEXT_VARIABLE: "theirs"}


def test_while_core_has_clients_the_merged_one_stays() -> None:
    environ: dict[str, str] = {}
    clients = [False]
    installed = Bootstrap(environ, has_clients=lambda: clients[0])
    installed.install("unix:/s")
    clients[0] = True
    installed.restore()
    assert TEXT_VARIABLE in environ
    installed.install("unix:/s")  # ours is in force: nothing to refuse


def test_it_is_too_late_when_core_has_clients_already() -> None:
    environ: dict[str, str] = {}
    with pytest.raises(BootstrapError, match="opened an xDS channel of its own before"):
        bootstrap(environ, clients=True).install("unix:/s")
    assert environ == {}


@pytest.mark.parametrize(
    ("environ", "says"),
    [
        ({TEXT_VARIABLE: "{"}, "is not JSON"),
        ({TEXT_VARIABLE: "[]"}, "is not a JSON object"),
        (
            {FILE_VARIABLE: "/nowhere/b.json"},
            "b.json .*cannot be read: No such file or directory; mend it, or",
        ),
        ({TEXT_VARIABLE: '{"authorities": 1}'}, "no object as"),
    ],
)
def test_a_broken_one_is_named_and_left_alone(environ: dict[str, str], says: str) -> None:
    before = dict(environ)
    with pytest.raises(BootstrapError, match=says):
        bootstrap(environ).install("unix:/s")
    assert environ == before


def test_a_parents_authority_of_ours_is_replaced() -> None:
    inherited = merged(MESH, "unix:/parent")
    assert merged(inherited, "unix:/child")["authorities"]["lbdemo"]["xds_servers"][0]["server_uri"] == "unix:/child"
