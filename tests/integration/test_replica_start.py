"""How a replica begins: what it binds and announces, and what it says when it cannot."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import socket
from typing import TYPE_CHECKING

import grpc
import grpc.aio
import pytest

from backends.errors import CannotStart
from backends.replica import Replica
from backends.spec import ReplicaSpec
from protos import helloworld_pb2, helloworld_pb2_grpc
from tests.support.eventually import aeventually

if TYPE_CHECKING:
    from pathlib import Path

EVERY = "0.0.0.0"  # noqa: S104 -- tests bind every interface to see what is announced
HELLO = helloworld_pb2.HelloRequest(name="you")


async def test_record_appears_once_calls_succeed_and_holds_what_was_given(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "greeter"
    spec = ReplicaSpec(id="r1", registry=str(folder), metadata=(("version", "v2"), ("weight", "3"), ("zone", "a")))
    async with Replica(spec) as replica, grpc.aio.insecure_channel(replica.address) as channel:
        assert json.loads((folder / "r1.json").read_text()) == {
            "Op": 0,
            "Addr": replica.address,
            "Metadata": {"id": "r1", "weight": "3", "zone": "a", "version": "v2"},
        }
        assert (await helloworld_pb2_grpc.GreeterStub(channel).SayHello(HELLO)).message == "Hello, you!"


@pytest.mark.parametrize(("host", "second"), [("127.0.0.1", "127.0.0.1"), (EVERY, "127.0.0.1"), ("127.0.0.1", EVERY)])
async def test_two_replicas_never_share_a_port(host: str, second: str) -> None:
    async with Replica(ReplicaSpec(id="r1", host=host)) as first:
        port = int(first.address.rpartition(":")[2])
        with pytest.raises(CannotStart, match=f"cannot bind {second}:{port}: another process has this port; choose"):
            async with Replica(ReplicaSpec(id="r2", host=second, port=port)):
                pass
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            call = helloworld_pb2_grpc.GreeterStub(channel).SayHello(HELLO)
            assert dict(tuple(await call.trailing_metadata()))["lbdemo-replica"] == "r1"


async def test_port_that_is_taken_in_the_last_moment_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backends.address.expect_free", lambda *_: None)
    async with Replica(ReplicaSpec(id="r1")) as first:
        port = int(first.address.rpartition(":")[2])
        with pytest.raises(CannotStart, match=f"cannot bind 127.0.0.1:{port}; choose another --port"):
            async with Replica(ReplicaSpec(id="r2", port=port)):
                pass


async def test_port_of_a_foreign_listener_is_taken_too() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(CannotStart, match="another process has this port"):
            async with Replica(ReplicaSpec(id="r1", port=port)):
                pass


@pytest.mark.parametrize(
    ("host", "message"),
    [
        (
            "192.0.2.77",
            "cannot bind 192.0.2.77:0: no interface of this machine has this address; choose another --host",
        ),
        ("no-such-host.invalid", "cannot bind 'no-such-host.invalid': "),
        ("", "cannot bind '': "),
    ],
)
async def test_host_that_cannot_be_bound_is_named(host: str, message: str) -> None:
    with pytest.raises(CannotStart) as error:
        async with Replica(ReplicaSpec(id="r1", host=host)):
            pass
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


async def test_failing_to_announce_leaves_nothing_bound(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(CannotStart, match=r"cannot announce in .*file: .*--registry"):
        async with Replica(ReplicaSpec(id="r1", port=port, registry=str(tmp_path / "file"))):
            pass
    await aeventually(lambda: _assert_free(port))


async def test_every_interface_is_announced_as_an_address_that_others_can_reach() -> None:
    async with Replica(ReplicaSpec(id="r1", host=EVERY)) as replica:
        announced = ipaddress.ip_address(replica.address.rpartition(":")[0])
        assert not announced.is_unspecified
        async with grpc.aio.insecure_channel(replica.address) as channel:
            call = helloworld_pb2_grpc.GreeterStub(channel).SayHello(HELLO)
            assert dict(tuple(await call.trailing_metadata()))["lbdemo-address"] == replica.address


async def test_name_of_a_host_is_announced_as_a_literal_address() -> None:
    async with Replica(ReplicaSpec(id="r1", host="localhost")) as replica:
        assert ipaddress.ip_address(replica.address.rpartition(":")[0].strip("[]")).is_loopback


async def test_advertised_address_goes_out_in_the_record_and_on_calls(tmp_path: Path) -> None:
    spec = ReplicaSpec(id="r1", registry=str(tmp_path), advertise="replica-1.example:50051")
    async with Replica(spec) as replica:
        port = json.loads((tmp_path / "r1.json").read_text())["Addr"].rpartition(":")[2]
        assert (replica.address, port) == ("replica-1.example:50051", "50051")


async def test_client_that_pings_every_half_second_is_not_sent_away() -> None:
    """gRPC's servers allow a ping in five minutes by default, and answer more with ENHANCE_YOUR_CALM."""
    options = (
        ("grpc.keepalive_time_ms", 300),
        ("grpc.keepalive_timeout_ms", 2000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
    )
    async with Replica(ReplicaSpec(id="r1")) as replica, grpc.aio.insecure_channel(replica.address, options) as channel:
        await channel.channel_ready()
        # Eight pings; the third one too many would end the connection. Nothing happens when all is well: so by time.
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(channel.wait_for_state_change(grpc.ChannelConnectivity.READY), 2.5)


def _assert_free(port: int) -> None:
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0
