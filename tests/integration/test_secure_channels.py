"""Secure channels follow a registry as others do, and ask servers for their health over the same credentials."""

from __future__ import annotations

import subprocess

import grpc
import pytest

import lb_client
from resolver.testing import ManualRegistry
from tests.support.backend import Backend, assert_round_robin, awho, who
from tests.support.eventually import eventually


@pytest.fixture(scope="session")
def tls(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, bytes]:
    """A key and a self-signed certificate for greeter.example."""
    folder = tmp_path_factory.mktemp("tls")
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=greeter.example",
         "-addext", "subjectAltName=DNS:greeter.example", "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    return key.read_bytes(), certificate.read_bytes()


def test_secure_channels_check_health_over_the_same_credentials(tls: tuple[bytes, bytes]) -> None:
    key, certificate = tls
    server = grpc.ssl_server_credentials([(key, certificate)])
    client = grpc.ssl_channel_credentials(certificate)
    with (
        Backend("s0", credentials=server) as s0,
        Backend("s1", credentials=server) as s1,
        ManualRegistry([s0.address, s1.address]) as registry,
        lb_client.secure_channel(
            registry.target, client, options=[("grpc.ssl_target_name_override", "greeter.example")]
        ) as channel,
    ):
        eventually(lambda: assert_round_robin(who(channel, 4), ["s0", "s1"]))
        s0.set_serving(False)
        eventually(lambda: assert_round_robin(who(channel, 4), ["s1"]))


async def test_secure_asyncio_channels_work_the_same(tls: tuple[bytes, bytes]) -> None:
    key, certificate = tls
    with (
        Backend("s0", credentials=grpc.ssl_server_credentials([(key, certificate)])) as s0,
        ManualRegistry([s0.address]) as registry,
    ):
        async with lb_client.aio.secure_channel(
            registry.target,
            grpc.ssl_channel_credentials(certificate),
            options=[("grpc.default_authority", "greeter.example")],
        ) as channel:
            assert await awho(channel) == ["s0"]
