"""Every way in which `--service` can be wrong is told in one line; what is right is registered."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from backends import load_service
from backends.dispatch import Dispatch, Registrar
from backends.errors import CannotStart
from backends.identity import Identity

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SOURCE = """
import grpc

async def answer(request, context):
    return request

def add(server):
    handlers = {"Do": grpc.unary_unary_rpc_method_handler(answer)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("own.Service", handlers),))

async def add_later(server):
    add(server)

class Adder:
    def __call__(self, server, more=None):
        add(server)

add_by_object = Adder()
number = 3

def nothing(server): pass
def no_argument(): pass
def two_arguments(server, other): pass
def serve(server):
    server.add_insecure_port("[::]:50051")
def leave(server):
    raise SystemExit("bye")
def fail(server):
    raise ValueError("first line\\nlast line")
def only_health(server):
    handlers = {"Check": grpc.unary_unary_rpc_method_handler(answer)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("grpc.health.v1.Health", handlers),))
"""


@pytest.fixture
def registrar() -> Registrar:
    return Registrar(Dispatch(Identity()), reserved={"grpc.health.v1.Health"})


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current directory, from which modules are imported."""
    package = tmp_path / "shop"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "good.py").write_text(SOURCE)
    (package / "needy.py").write_text("import json\nimport no_such_library\n")
    (package / "broken.py").write_text("def add(server):\n    return (\n")
    (package / "raising.py").write_text("x = 1\nraise RuntimeError('at import')\n")
    (package / "leaving.py").write_text("import sys\nsys.exit(4)\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    for name in [name for name in sys.modules if name.partition(".")[0] == "shop"]:
        del sys.modules[name]


@pytest.mark.parametrize("function", ["add", "add_later", "add_by_object"])
async def test_function_coroutine_function_or_callable_object_registers(registrar: Registrar, function: str) -> None:
    await load_service.register(f"shop.good:{function}", registrar)
    assert registrar.services == {"own.Service"}


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("", "service '' is not of the form package.module:function"),
        ("shop.good", "service 'shop.good' is not of the form package.module:function"),
        ("shop.good:", "service 'shop.good:' is not of the form package.module:function"),
        (":add", "service ':add' is not of the form package.module:function"),
        ("shop/good.py:add", "service 'shop/good.py:add' is not of the form package.module:function"),
        ("shop.good:add:x", "service 'shop.good:add:x' is not of the form package.module:function"),
        ("..good:add", "service '..good:add' is not of the form package.module:function"),
        ("nowhere:add", "service 'nowhere:add': no module 'nowhere' in {cwd} or among the installed packages"),
        ("shop.bad:add", "service 'shop.bad:add': no module 'shop.bad' in {cwd} or among the installed packages"),
        ("json.x:add", "service 'json.x:add': no module 'json.x' in {cwd} or among the installed packages"),
        (
            "shop.needy:add",
            (
                "service 'shop.needy:add': importing shop.needy failed: "
                "ModuleNotFoundError: No module named 'no_such_library' (shop/needy.py:2)"
            ),
        ),
        (
            "shop.broken:add",
            (
                "service 'shop.broken:add': importing shop.broken failed: "
                "SyntaxError: '(' was never closed (shop/broken.py:2)"
            ),
        ),
        (
            "shop.raising:add",
            "service 'shop.raising:add': importing shop.raising failed: RuntimeError: at import (shop/raising.py:2)",
        ),
        (
            "shop.leaving:add",
            "service 'shop.leaving:add': importing shop.leaving failed: SystemExit: 4 (shop/leaving.py:2)",
        ),
        ("shop.good:missing", "service 'shop.good:missing': module shop.good has no 'missing'"),
        ("shop.good:number", "service 'shop.good:number': 'number' is no function but int"),
        (
            "shop.good:no_argument",
            (
                "service 'shop.good:no_argument': no_argument() cannot take one argument, the server: "
                "too many positional arguments"
            ),
        ),
        (
            "shop.good:two_arguments",
            (
                "service 'shop.good:two_arguments': two_arguments(server, other) cannot take one argument, the server: "
                "missing a required argument: 'other'"
            ),
        ),
        (
            "shop.good:nothing",
            (
                "service 'shop.good:nothing' registered nothing: it should call add_…Servicer_to_server(servicer, "
                "server) on the server it is given"
            ),
        ),
        (
            "shop.good:only_health",
            (
                "service 'shop.good:only_health' registered nothing: it should call add_…Servicer_to_server(servicer, "
                "server) on the server it is given"
            ),
        ),
        ("shop.good:fail", "service 'shop.good:fail' failed: ValueError: first line last line (shop/good.py:{fail})"),
        ("shop.good:leave", "service 'shop.good:leave' failed: SystemExit: bye (shop/good.py:{leave})"),
        (
            "shop.good:serve",
            (
                "service 'shop.good:serve' failed: RuntimeError: add_insecure_port('[::]:50051') is the replica's to "
                "do: only register servicers here (shop/good.py:{serve})"
            ),
        ),
    ],
)
async def test_wrong_spec_is_told_in_one_line(registrar: Registrar, folder: Path, spec: str, message: str) -> None:
    lines = SOURCE.split("\n")
    numbers = {name: lines.index(f"def {name}(server):") + 2 for name in ("fail", "leave", "serve")}
    with pytest.raises(CannotStart) as error:
        await load_service.register(spec, registrar)
    assert str(error.value) == message.format(cwd=folder, **numbers)
    assert "\n" not in str(error.value)


async def test_current_directory_comes_first_and_once(registrar: Registrar, folder: Path) -> None:
    await load_service.register("shop.good:add", registrar)
    await load_service.register("shop.good:add", registrar)
    assert (sys.path[0], sys.path.count(str(folder))) == (str(folder), 1)


async def test_registering_says_which_methods_there_are(registrar: Registrar) -> None:
    await load_service.register("shop.good:add", registrar)

    details: Any = SimpleNamespace(method="/own.Service/Do", invocation_metadata=())
    assert registrar._dispatch.service(details).unary_unary is not None
    details.method = "/own.Service/Undo"
    assert registrar._dispatch.service(details).unary_unary is None
