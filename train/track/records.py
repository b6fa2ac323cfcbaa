"""TensorBoard's event files, written without TensorBoard.

A file is a row of records (TFRecord), each an `Event` message in the wire format of protocol buffers:

    length u64 | masked crc32c of the length u32 | message | masked crc32c of the message u32     (little-endian)

    Event        1 wall_time double   2 step int64   3 file_version string   5 summary   7 session_log
    Summary      1 value, repeated
    Value        1 tag string         2 simple_value float
    SessionLog   1 status (1: a process starts here; what earlier ones wrote for this step and later ones is void)
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

VERSION = "brain.Event:2"
_POLYNOMIAL = 0x82F63B78  # Castagnoli, bits reversed
_VARINT, _DOUBLE, _BYTES, _FLOAT = 0, 1, 2, 5


def _table() -> tuple[int, ...]:
    rows = []
    for byte in range(256):
        value = byte
        for _ in range(8):
            value = (value >> 1) ^ (_POLYNOMIAL if value & 1 else 0)
        rows.append(value)
    return tuple(rows)


_TABLE = _table()


def crc32c(data: bytes) -> int:
    """CRC-32C (Castagnoli), as in RFC 3720.

    Example:
        >>> hex(crc32c(b"123456789"))
        '0xe3069283'
    """
    value = 0xFFFFFFFF
    for byte in data:
        value = (value >> 8) ^ _TABLE[(value ^ byte) & 0xFF]
    return value ^ 0xFFFFFFFF


def record(message: bytes) -> bytes:
    """One record of a file.

    Example:
        >>> record(b"").hex()
        '000000000000000029039807d8ea82a2'
    """
    length = struct.pack("<Q", len(message))
    return length + _masked(length) + message + _masked(message)


def header(time: float) -> bytes:
    """The message that every file begins with."""
    return _double(1, time) + _bytes(3, VERSION.encode())


def start(time: float, step: int) -> bytes:
    """The message of a process that begins at a step."""
    return _double(1, time) + _varint(2, step) + _bytes(7, _varint(1, 1))


def scalars(time: float, step: int, values: Mapping[str, float]) -> bytes:
    """The message that holds numbers of a step, by tag."""
    summary = b"".join(_bytes(1, _bytes(1, tag.encode()) + _float(2, value)) for tag, value in values.items())
    return _double(1, time) + _varint(2, step) + _bytes(5, summary)


def _masked(data: bytes) -> bytes:
    """A checksum as the format stores it, so that a checksum of data with checksums in it is not weak."""
    value = crc32c(data)
    return struct.pack("<I", (((value >> 15) | (value << 17)) + 0xA282EAD8) & 0xFFFFFFFF)


def _number(value: int) -> bytes:
    """Seven bits a byte, the lowest first; all but the last have the eighth bit."""
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*parts, value])


def _varint(field: int, value: int) -> bytes:
    return _number(field << 3 | _VARINT) + _number(value)


def _double(field: int, value: float) -> bytes:
    return _number(field << 3 | _DOUBLE) + struct.pack("<d", value)


def _float(field: int, value: float) -> bytes:
    return _number(field << 3 | _FLOAT) + struct.pack("<f", value)


def _bytes(field: int, value: bytes) -> bytes:
    return _number(field << 3 | _BYTES) + _number(len(value)) + value
