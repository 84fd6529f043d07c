"""Records as replicas announce them: the JSON of gRPC's etcd naming, checked and turned into endpoints. No I/O."""

from __future__ import annotations

import json
from typing import Any

from resolver.model import MAX_WEIGHT, Endpoint, percent

MAX_RECORD_BYTES = 64 * 1024
_DELETED = 1  # gRPC's naming package marks a withdrawn endpoint by Op 1


_LONGEST_REASON = 160
_LONGEST_NAME = 128


class RecordError(ValueError):
    """The record cannot be used; `str()` says why in one line, however long the record is."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason if len(reason) <= _LONGEST_REASON else reason[: _LONGEST_REASON - 1] + "…")


def parse_record(raw: bytes) -> Endpoint | None:
    """The endpoint that a record announces, or None where it withdraws one.

    The form is that of gRPC's etcd naming, so that Go services find ours and are found:
    `{"Op": 0, "Addr": "10.0.0.1:50051", "Metadata": {"id": "r1", "weight": "1", "zone": "a", "version": "v1"}}`. Of the
    metadata `id`, `weight`, `zone`, `version` and `share` (of the version, in percent) have a meaning; whatever else is
    a string, number or bool is handed on as text.

    Raises:
        RecordError: It is larger than 64 KiB, not such JSON, or its address is not a literal ip:port.
    """
    if len(raw) > MAX_RECORD_BYTES:
        raise RecordError(f"larger than {MAX_RECORD_BYTES // 1024} KiB")
    try:
        record = json.loads(raw)
    except (ValueError, RecursionError) as error:
        reason = str(error) if isinstance(error, ValueError) else "nested too deep"
        raise RecordError(f"not JSON: {reason}" if raw.strip() else "empty") from None
    if not isinstance(record, dict):
        raise RecordError("not a JSON object")
    if record.get("Op", 0) == _DELETED:
        return None
    address = record.get("Addr")
    if not isinstance(address, str):
        raise RecordError('no "Addr": "ip:port" in it')
    metadata = _metadata(record.get("Metadata"))
    for key in ("id", "zone", "version"):
        if len(value := metadata.get(key, "")) > _LONGEST_NAME or not value.isprintable():
            # It is shown on terminals: no escape codes.
            raise RecordError(f"{key} {value!r} is not up to {_LONGEST_NAME} printable characters")
    if (share := metadata.get("share")) is not None and percent(share) is None:
        raise RecordError(f"share {share!r} is not a percentage, 0 to 100")
    try:
        return Endpoint(
            *_host_port(address),
            id=metadata.pop("id", ""),
            weight=_weight(metadata.pop("weight", "1")),
            zone=metadata.pop("zone", ""),
            metadata=tuple(sorted(metadata.items())),
        )
    except ValueError as error:
        raise RecordError(str(error)) from None


def _host_port(address: str) -> tuple[str, int]:
    endpoint = Endpoint.at(address)
    return endpoint.host, endpoint.port


def _metadata(value: Any) -> dict[str, str]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise RecordError('"Metadata" is not an object')
    return {
        str(key): item if isinstance(item, str) else json.dumps(item)
        for key, item in value.items()
        if isinstance(item, (str, int, float, bool))
    }


def _weight(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(MAX_WEIGHT))):
        raise RecordError(f"weight {text!r} is not a whole number between 1 and {MAX_WEIGHT}")
    return int(text)
