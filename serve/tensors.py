"""Tensors as the Open Inference protocol (KServe v2) writes them: JSON lists, or raw little-endian bytes."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Iterator
from math import prod
from typing import Any

import numpy as np

from core.errors import UserError
from serve.columns import parse
from serve.signature import Array, Input, numpy_dtype

DATATYPES = {"int64": "INT64", "float32": "FP32", "float64": "FP64", "string": "BYTES"}
"""The protocol's names of our types."""

ONE_TYPE = {"int64": int, "float32": float, "float64": float, "string": str}
"""The type whose lists need no look at each value."""


def check_shape(item: Input, shape: Any, *, least: int = 1) -> int:
    """The length of a vector whose shape came with a request; only the elements of lists may be none.

    Raises:
        UserError: The shape is not that of a vector.
    """
    whole = isinstance(shape, list) and all(isinstance(n, int) and not isinstance(n, bool) for n in shape)
    if not whole or len(shape) != 1 or shape[0] < least:
        raise UserError(f"the shape must be [rows] or [1], got {shape!r}", where=item.name)
    return int(shape[0])


def from_json(item: Input, length: int, data: Any) -> Array:
    """A JSON list as a vector; a JSON null is a null.

    Raises:
        UserError: The list has another length, or a value has another type.
    """
    if not isinstance(data, list):
        raise UserError("data must be a list", where=item.name)
    if len(data) != length:
        raise UserError(f"the shape says {length} values, data hold {len(data)}", where=item.name)
    if not data:
        return np.empty(0, numpy_dtype(item.dtype))
    if set(map(type, data)) == {ONE_TYPE[item.dtype]}:
        with contextlib.suppress(OverflowError):  # the loop below says which value is too large
            return np.array(data, dtype=numpy_dtype(item.dtype))
    return np.concatenate([parse(item, value) for value in data])


def from_bytes(item: Input, length: int, data: bytes) -> Array:
    """Raw bytes as a vector; texts each come after their length as four bytes.

    Raises:
        UserError: The bytes are too few or too many, or a text is not UTF-8.
    """
    if item.dtype == "string":
        texts = np.empty(length, dtype=object)
        found = list(_texts(item, data))
        if len(found) != length:
            raise UserError(f"the shape says {length} values, the bytes hold {len(found)}", where=item.name)
        texts[:] = found
        return texts
    dtype = numpy_dtype(item.dtype).newbyteorder("<")
    if len(data) != length * dtype.itemsize:
        wanted = length * dtype.itemsize
        raise UserError(f"{length} values take {wanted} bytes, got {len(data)}", where=item.name)
    return np.frombuffer(data, dtype)


def to_bytes(values: Array) -> bytes:
    """A numeric array as raw little-endian bytes."""
    return values.astype(values.dtype.newbyteorder("<"), copy=False).tobytes()


def to_json(values: Array) -> list[float | None]:
    """A numeric array as a flat list; what is no number is null, since JSON has no word for it.

    Example:
        >>> to_json(np.array([[0.5, np.nan]]))
        [0.5, None]
    """
    flat = values.reshape(prod(values.shape)).tolist()
    return [value if value - value == 0 else None for value in flat]


def _texts(item: Input, data: bytes) -> Iterator[str]:
    at = 0
    while at < len(data):
        if at + 4 > len(data):
            raise UserError("the bytes end within the length of a text", where=item.name)
        (size,) = struct.unpack_from("<I", data, at)
        at += 4
        if at + size > len(data):
            raise UserError("the bytes end within a text", where=item.name)
        try:
            yield data[at : at + size].decode()
        except UnicodeDecodeError:
            raise UserError("a text is not UTF-8", where=item.name) from None
        at += size
