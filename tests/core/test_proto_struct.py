"""Structs in the wire format: every kind of value, and bytes that are none."""

from __future__ import annotations

import struct

import pytest

from core.proto_struct import plain_struct


def field(number: int, value: bytes) -> bytes:
    """A field with a length before it; these are short."""
    return bytes([number << 3 | 2, len(value)]) + value


def entry(name: str, value: bytes) -> bytes:
    return field(1, field(1, name.encode()) + field(2, value))


NUMBER, TRUE, NULL = b"\x11" + struct.pack("<d", 2.5), b"\x20\x01", b"\x08\x00"


def test_every_kind_of_value() -> None:
    inner = field(5, entry("deep", field(3, "Łódź".encode())))
    whole = entry("n", NUMBER) + entry("t", TRUE) + entry("z", NULL) + entry("s", inner)
    found = plain_struct(whole + entry("l", field(6, field(1, TRUE) + field(1, b"\x11" + struct.pack("<d", 3.0)))))
    assert found == {"n": 2.5, "t": True, "z": None, "s": {"deep": "Łódź"}, "l": [True, 3]}
    assert found["t"] is True
    assert isinstance(found["l"][1], int)
    assert plain_struct(b"") == {}
    assert plain_struct(entry("empty", b"")) == {"empty": None}


@pytest.mark.parametrize(
    "raw",
    [
        entry("n", NUMBER)[:-1],
        entry("n", b"\x12\x02ab"),
        b"\x0a\xff",
        b"\x0a" + b"\xff" * 10,
        b"\x0b\x01",
        entry("s", field(3, b"\xff\xfe")),
        b"\x0d\x01",
    ],
)
def test_bytes_that_are_no_struct(raw: bytes) -> None:
    with pytest.raises(ValueError, match=r"cut short|unknown kind|decode"):
        plain_struct(raw)
