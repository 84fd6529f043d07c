"""The start of an EnvoyProxy where something is in its way, and where nothing is."""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import TYPE_CHECKING

import grpc
import pytest

import resolver
from lb_client.proxy import EnvoyProxy, NotReadyError, PortTakenError
from lb_client.proxy import envoy as module
from resolver.target import quote_path
from resolver.testing import ManualRegistry
from tests.support.backend import Backend, who
from tests.support.peers import require_envoy

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from resolver.model import Endpoint


@pytest.fixture(autouse=True)
def _envoy() -> None:
    require_envoy()


def test_it_listens_before_there_is_any_endpoint() -> None:
    with ManualRegistry() as registry, EnvoyProxy(registry.target) as proxy:
        assert proxy.snapshot is not None
        assert proxy.snapshot.endpoints == ()
        assert proxy.admin.hosts("l7") == ()


def test_a_port_that_is_taken_between_our_look_and_envoys_is_told_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "expect_free", lambda _bind: None)
    with socket.create_server(("127.0.0.1", 0)) as taken, ManualRegistry() as registry:
        port = taken.getsockname()[1]
        expected = f"cannot bind '127.0.0.1:{port}': Address already in use"
        with pytest.raises(PortTakenError, match=expected), EnvoyProxy(registry.target, port=port):
            pass


def test_a_target_that_nobody_resolves_in_time_is_named() -> None:
    async def never(_target: resolver.Target) -> AsyncGenerator[Sequence[Endpoint], None]:
        await asyncio.sleep(60)
        yield ()

    resolver.register("never", never)
    try:
        with (
            pytest.raises(NotReadyError, match=r"^never:x could not be resolved after 0\.5 s$"),
            EnvoyProxy("never:x", timeout_s=0.5),
        ):
            pass
    finally:
        resolver.unregister("never")


def test_two_listeners_need_two_ports() -> None:
    with pytest.raises(ValueError, match="two listeners need two ports"):
        EnvoyProxy("static:127.0.0.1:1", port=5, l4_port=5)


def test_it_lives_on_when_the_thread_that_started_it_has_ended() -> None:
    """The kernel would end Envoy with the thread that it is the child of."""
    with Backend("a") as backend:
        proxy = EnvoyProxy(f"static:{backend.address}")
        starter = threading.Thread(target=proxy.__enter__)
        starter.start()
        starter.join()
        try:
            proxy.wait(0.3)
            with grpc.insecure_channel(proxy.address, [("grpc.enable_http_proxy", 0)]) as channel:
                assert who(channel, 3) == ["a"] * 3
        finally:
            proxy.__exit__()


def test_it_tells_of_its_end() -> None:
    ended = threading.Event()
    with ManualRegistry() as registry, EnvoyProxy(registry.target, ended=ended.set):
        assert not ended.is_set()
    assert ended.is_set()


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 here")
def test_it_listens_on_ipv6() -> None:
    with Backend("a") as backend, EnvoyProxy(f"static:{backend.address}", host="::1") as proxy:
        assert proxy.address.startswith("[::1]:")
        with grpc.insecure_channel(proxy.address, [("grpc.enable_http_proxy", 0)]) as channel:
            assert who(channel) == ["a"]


def test_a_target_whose_path_needs_escaping_is_followed(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("a b~c@d%é")
    with Backend("a") as backend:
        (folder / "a.json").write_text(f'{{"Op": 0, "Addr": "{backend.address}", "Metadata": {{"id": "a"}}}}')
        target = f"dir://{quote_path(str(folder))}"
        with (
            EnvoyProxy(target) as proxy,
            grpc.insecure_channel(proxy.address, [("grpc.enable_http_proxy", 0)]) as channel,
        ):
            assert who(channel) == ["a"]
