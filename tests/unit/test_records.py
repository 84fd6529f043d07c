"""Records: the JSON of gRPC's etcd naming, and everything that people put in a folder instead of it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resolver.model import Endpoint
from resolver.registry.records import MAX_RECORD_BYTES, RecordError, parse_record


def record(**fields: object) -> bytes:
    return json.dumps(fields).encode()


def test_a_replicas_record_is_read_whole() -> None:
    raw = record(Op=0, Addr="127.0.0.1:5", Metadata={"id": "r1", "weight": "3", "zone": "a", "version": "v2"})
    assert parse_record(raw) == Endpoint("127.0.0.1", 5, id="r1", weight=3, zone="a", metadata=(("version", "v2"),))


@pytest.mark.parametrize("metadata", [None, {}, {"nested": {"a": 1}, "list": [1]}])
def test_what_a_go_service_writes_is_read_too(metadata: object) -> None:
    assert parse_record(record(Op=0, Addr="10.0.0.1:5", Metadata=metadata)) == Endpoint("10.0.0.1", 5)


def test_metadata_that_is_not_text_is_handed_on_as_text() -> None:
    endpoint = parse_record(record(Addr="10.0.0.1:5", Metadata={"canary": True, "rack": 7, "weight": 2}))
    assert endpoint is not None
    assert endpoint.metadata == (("canary", "true"), ("rack", "7"))
    assert endpoint.weight == 2


def test_a_record_that_withdraws_is_no_endpoint() -> None:
    assert parse_record(record(Op=1, Addr="127.0.0.1:5")) is None


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"", "empty"),
        (b"  \n", "empty"),
        (b'{"Op":0,"Addr":"127.0', "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[" * 50_000, "not JSON"),
        (b"[]", "not a JSON object"),
        (b"{}", 'no "Addr"'),
        (record(Addr=5), 'no "Addr"'),
        (record(Addr="localhost:5"), "'localhost' is not an IPv4 or IPv6 address"),
        (record(Addr="127.0.0.1"), "is not host:port"),
        (record(Addr="127.0.0.1:99999"), "port 99999"),
        (record(Addr="127.0.0.1:5", Metadata=[1]), "is not an object"),
        (record(Addr="127.0.0.1:5", Metadata={"weight": "heavy"}), "weight 'heavy'"),
        (record(Addr="127.0.0.1:5", Metadata={"weight": "0"}), "weight 0 is not"),
        (record(Addr="127.0.0.1:5", Metadata={"weight": "9" * 5000}), "weight '999"),
        (record(Addr="127.0.0.1:5", Metadata={"id": "\x1b[2J"}), "id .* printable"),
        (record(Addr="127.0.0.1:5", Metadata={"zone": "z" * 129}), "zone 'zzz"),
        (record(Addr="9" * 5000), "9999"),
        (b"x" * (MAX_RECORD_BYTES + 1), "larger than 64 KiB"),
    ],
)
def test_what_is_no_record_is_refused_in_one_line(raw: bytes, says: str) -> None:
    with pytest.raises(RecordError, match=says) as refusal:
        parse_record(raw)
    assert "\n" not in str(refusal.value)
    assert len(str(refusal.value)) < 200


@given(st.binary(max_size=200) | st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["Op", "Addr", "Metadata", "id", "weight"]), inner),
).map(lambda value: json.dumps(value).encode()))  # fmt: skip
def test_whatever_lies_there_is_an_endpoint_nothing_or_a_refusal(raw: bytes) -> None:
    try:
        endpoint = parse_record(raw)
    except RecordError:
        return
    assert endpoint is None or endpoint.port
