"""A google.protobuf.Struct in protocol buffers' wire format as plain data: what older Merlin schemas keep as bytes.

Source: Protocol Buffers, Encoding, and struct.proto, protobuf.dev.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from typing import Any

_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
_NOTHING = b""
_DOUBLE = 8


def plain_struct(raw: bytes) -> dict[str, Any]:
    r"""The fields of a Struct.

    Raises:
        ValueError, TypeError, KeyError, RecursionError: The bytes are no Struct, or one that is nested too deep.

    Example:
        >>> plain_struct(b"\n\r\n\x07is_list\x12\x02 \x01")
        {'is_list': True}
    """
    entries = (dict(_fields(value)) for number, value in _fields(raw) if number == 1)
    return {entry[1].decode(): _value(entry.get(2, _NOTHING)) for entry in entries}


def _value(raw: bytes) -> Any:
    found = list(_fields(raw))
    if not found:
        return None
    number, value = found[-1]
    return _KINDS[number](value) if number in _KINDS else None


def _number(raw: bytes) -> int | float:
    if len(raw) != _DOUBLE:
        raise ValueError("a number is cut short")
    (value,) = struct.unpack("<d", raw)
    return int(value) if value.is_integer() else float(value)


_KINDS: Mapping[int, Callable[[Any], Any]] = {
    2: _number,
    3: bytes.decode,
    4: bool,
    5: plain_struct,
    6: lambda raw: [_value(value) for number, value in _fields(raw) if number == 1],
}
"""Of a value: number of the field -> what it holds; 1 is null."""


def _fields(raw: bytes) -> Iterator[tuple[int, Any]]:
    """Number and value of each field of a message."""
    at = 0
    while at < len(raw):
        tag, at = _varint(raw, at)
        kind = tag & 7
        if kind == _VARINT:
            value, at = _varint(raw, at)
            yield tag >> 3, value
            continue
        if kind == _LENGTH:
            size, at = _varint(raw, at)
        elif kind in {_FIXED64, _FIXED32}:
            size = _DOUBLE if kind == _FIXED64 else 4
        else:
            raise ValueError(f"field of an unknown kind {kind}")
        if at + size > len(raw):
            raise ValueError("a field is cut short")
        yield tag >> 3, raw[at : at + size]
        at += size


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift, byte in enumerate(raw[at : at + 10]):
        value |= (byte & 0x7F) << (7 * shift)
        if byte < 0x80:
            return value, at + shift + 1
    raise ValueError("a number is cut short")
