from __future__ import annotations

import pytest

from resolver.model import Endpoint, Health, Snapshot


@pytest.mark.parametrize(
    ("address", "host", "port"),
    [("127.0.0.1:50051", "127.0.0.1", 50051), ("[::1]:1", "::1", 1), ("10.0.0.1:65535", "10.0.0.1", 65535)],
)
def test_an_address_is_read_and_written_the_same(address: str, host: str, port: int) -> None:
    endpoint = Endpoint.at(address)
    assert (endpoint.host, endpoint.port) == (host, port)
    assert endpoint.address == address


@pytest.mark.parametrize(
    "address",
    ["", ":", "127.0.0.1", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:0", "127.0.0.1:65536", "127.0.0.1:-1", "::1:5",
     "localhost:5", "256.0.0.1:5", "[127.0.0.1:5", "127.0.0.1:٣", "127.0.0.1:5 ", "[::1]", "[]:5",
     "[::1:5", "127.0.0.1]:5", "[[::1]]:5", "[::1]x:5", "127.0.0.1:" + "9" * 5000],
)  # fmt: skip
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match=r"is not|between"):
        Endpoint.at(address)


def test_only_unknown_and_healthy_endpoints_take_calls() -> None:
    assert [health for health in Health if health.takes_calls] == [Health.UNKNOWN, Health.HEALTHY]


def test_a_snapshot_tells_who_takes_calls() -> None:
    well = Endpoint.at("127.0.0.1:1").with_health(Health.HEALTHY)
    ill = Endpoint.at("127.0.0.1:2").with_health(Health.UNHEALTHY)
    assert Snapshot((well, ill), "1").addresses == {"127.0.0.1:1"}


@pytest.mark.parametrize("weight", [0, -1, 65536, 2**32])
def test_a_weight_out_of_range_is_refused(weight: int) -> None:
    with pytest.raises(ValueError, match=f"weight {weight}"):
        Endpoint("127.0.0.1", 1, weight=weight)


def test_one_address_has_one_spelling() -> None:
    spellings = ("::1", "0:0:0:0:0:0:0:1", "0000::0001")
    assert {Endpoint(host, 5).address for host in spellings} == {"[::1]:5"}
    assert Endpoint("FE80::A", 5) == Endpoint("fe80::a", 5)


def test_a_scope_is_refused() -> None:
    with pytest.raises(ValueError, match="scope"):
        Endpoint("fe80::1%eth0", 5)
