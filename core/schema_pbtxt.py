"""Merlin's `schema.pbtxt`: TensorFlow Metadata's Schema message as text, with Merlin's tags and metadata.

What Merlin has no field for lies in `extra_metadata`, where Merlin keeps it as a property: `dtype` where type
and item size don't tell it, and `nullable` where it is false.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from core.errors import UserError
from core.files import write_text
from core.proto_struct import plain_struct
from core.schema import Column, DType, Schema, Tag
from core.text_proto import Bytes, Message, Word, parse, render

STRUCT = "[type.googleapis.com/google.protobuf.Struct]"
_TYPES = {"int": "INT", "float": "FLOAT", "uint": "INT", "bool": "INT", "string": "BYTES"}
_DOMAINS = {"INT": "int_domain", "FLOAT": "float_domain"}
_PLAIN = {
    ("INT", 8): DType.INT8,
    ("INT", 16): DType.INT16,
    ("INT", 32): DType.INT32,
    ("INT", 64): DType.INT64,
    ("FLOAT", 32): DType.FLOAT32,
    ("FLOAT", 64): DType.FLOAT64,
    ("BYTES", 0): DType.STRING,
}
"""Data types that Merlin's type and item size tell."""
_SYNONYMS = {"binary_classification": Tag.BINARY}
OTHER_TAGS = "merlin_tags"
"""Property that keeps tags which only Merlin knows."""


def write(schema: Schema, path: Path) -> None:
    """Write a schema as Merlin's text."""
    write_text(path, to_text(schema))


def read(path: Path) -> Schema:
    """Read a schema that we or Merlin wrote.

    Raises:
        UserError: The file is missing, or is not such a text.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError("there is no such file", where=str(path)) from None
    return from_text(text, str(path))


def to_text(schema: Schema) -> str:
    """A schema as Merlin's text.

    Example:
        >>> text = to_text(Schema((Column("age", DType.FLOAT32),)))
        >>> from_text(text, "x.pbtxt").names
        ('age',)
    """
    return render({"feature": [_feature(column) for column in schema]})


def from_text(text: str, source: str) -> Schema:
    """The schema in Merlin's text; `source` names it in errors.

    Raises:
        UserError: This is not such a text.
    """
    try:
        return Schema(tuple(_column(feature) for feature in parse(text, source).get("feature", [])))
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise UserError(f"this is not a Merlin schema ({error!r})", where=source) from None


def _feature(column: Column) -> Message:
    kind = _TYPES.get(column.dtype.value.rstrip("0123456789"), "INT")
    feature: Message = {"name": [column.name], "type": [Word(kind)]}
    if column.is_list:
        # Merlin writes lists of one length in the same way; 0 is not known.
        lengths = column.properties.get("value_count", {})
        feature["value_count"] = [{"min": [lengths.get("min") or 0], "max": [lengths.get("max") or 0]}]
    domain = _domain(column)
    if domain and kind in _DOMAINS:
        feature[_DOMAINS[kind]] = [domain]
    tags = [*sorted(tag.value for tag in column.tags), *column.properties.get(OTHER_TAGS, [])]
    feature["annotation"] = [{"tag": tags, "extra_metadata": [{STRUCT: [_struct(_extra(column, kind))]}]}]
    return feature


def _domain(column: Column) -> Message:
    known = dict(column.properties.get("domain", {}))
    if column.cardinality is not None:
        known = {"name": column.name, "min": 0, "max": column.cardinality - 1, **known}
    domain: Message = {key: [known[key]] for key in ("name", "min", "max") if key in known}
    if domain and Tag.CATEGORICAL in column.tags:
        domain["is_categorical"] = [True]
    return domain


def _extra(column: Column, kind: str) -> dict[str, Any]:
    apart = ("domain", "value_count", OTHER_TAGS)
    extra = {name: value for name, value in column.properties.items() if name not in apart}
    size = _bits(column.dtype)
    extra |= {"is_list": column.is_list, "is_ragged": column.is_list, "dtype_item_size": size}
    lengths = column.properties.get("value_count", {})
    if lengths.get("min") and lengths.get("min") == lengths.get("max"):
        extra["is_ragged"] = False
    if column.cardinality is not None:
        extra["embedding_sizes"] = {"cardinality": column.cardinality, "dimension": column.embedding_dim}
    if _PLAIN.get((kind, size)) is not column.dtype:
        extra["dtype"] = column.dtype.value
    return extra if column.nullable else {**extra, "nullable": False}


def _bits(dtype: DType) -> int:
    digits = dtype.value.lstrip("abcdefghijklmnopqrstuvwxyz")
    return int(digits) if digits else {DType.BOOL: 8, DType.DATETIME: 64, DType.DATE: 32}.get(dtype, 0)


def _column(feature: Message) -> Column:
    kind = str(feature.get("type", ["BYTES"])[0])
    annotation = feature.get("annotation", [{}])[0]
    extra = _extra_metadata(annotation)
    size = int(extra.pop("dtype_item_size", 0) or 0)
    dtype = DType(extra.pop("dtype", None) or _PLAIN.get((kind, size)) or _widest(kind))
    tags, others = _tags([str(tag) for tag in annotation.get("tag", [])])
    domain = {key: values[0] for key, values in feature.get(_DOMAINS.get(kind, ""), [{}])[0].items()}
    if domain.pop("is_categorical", False):
        tags = tags | {Tag.CATEGORICAL}
    sizes = extra.pop("embedding_sizes", None) or {}
    lengths = _lengths(feature)
    column = Column(
        str(feature["name"][0]),
        dtype,
        tags,
        is_list=bool(extra.pop("is_list", False)) or lengths is not None,
        nullable=bool(extra.pop("nullable", True)),
        cardinality=_cardinality(domain, sizes, tags),
        embedding_dim=None if sizes.get("dimension") is None else int(sizes["dimension"]),
    )
    kept = {"domain": _own_domain(domain, column), "value_count": lengths, OTHER_TAGS: others}
    properties = {**extra, **{key: value for key, value in kept.items() if value}}
    return replace(column, properties=properties)


def _extra_metadata(annotation: Message) -> dict[str, Any]:
    extra: dict[str, Any] = {}
    for metadata in annotation.get("extra_metadata", []):
        if "type_url" in metadata:
            extra |= _packed(metadata)
        extra |= _plain_struct(metadata.get(STRUCT, [{}])[0])
    # Both are told by what else is known of the column.
    for name in ("is_ragged", "_dims"):
        extra.pop(name, None)
    return extra


def _packed(metadata: Message) -> dict[str, Any]:
    """Merlin before 23 writes the metadata as bytes."""
    (kind,), (value,) = metadata["type_url"], metadata.get("value", [""])
    if f"[{kind}]" != STRUCT:
        raise ValueError(f"metadata of the type {kind}")
    return plain_struct(value.raw if isinstance(value, Bytes) else value.encode())


def _own_domain(domain: Mapping[str, Any], column: Column) -> dict[str, Any]:
    """What a domain says beyond the column's own name and cardinality."""
    told: dict[str, Any] = {"name": column.name}
    if column.cardinality is not None:
        told = {**told, "min": 0, "max": column.cardinality - 1}
    return {key: value for key, value in domain.items() if told.get(key) != value}


def _widest(kind: str) -> DType:
    return {"INT": DType.INT64, "FLOAT": DType.FLOAT64}.get(kind, DType.STRING)


def _tags(words: list[str]) -> tuple[frozenset[Tag], list[str]]:
    ours = {tag.value: tag for tag in Tag} | _SYNONYMS
    return frozenset(ours[word] for word in words if word in ours), [word for word in words if word not in ours]


def _lengths(feature: Message) -> dict[str, int] | None:
    if "value_count" in feature:
        lengths = {key: int(values[0]) for key, values in feature["value_count"][0].items()}
        if not lengths.get("max"):
            lengths.pop("max", None)
        return lengths if any(lengths.values()) else {}
    sizes = [int(dim["size"][0]) for dim in feature.get("shape", [{}])[0].get("dim", [])]
    return {"min": sizes[-1], "max": sizes[-1]} if sizes else None


def _cardinality(domain: Mapping[str, Any], sizes: Mapping[str, Any], tags: frozenset[Tag]) -> int | None:
    if sizes.get("cardinality") is not None:
        return int(sizes["cardinality"])
    if Tag.CATEGORICAL in tags and domain.get("max"):
        return int(domain["max"]) + 1
    return None


def _struct(values: Mapping[str, Any]) -> Message:
    """Plain JSON values as a google.protobuf.Struct."""
    return {"fields": [{"key": [key], "value": [_value(value)]} for key, value in sorted(values.items())]}


def _value(value: Any) -> Message:
    if value is None:
        return {"null_value": [Word("NULL_VALUE")]}
    if isinstance(value, bool):
        return {"bool_value": [value]}
    if isinstance(value, int | float):
        return {"number_value": [float(value)]}
    if isinstance(value, str):
        return {"string_value": [value]}
    if isinstance(value, Mapping):
        return {"struct_value": [_struct(value)]}
    return {"list_value": [{"values": [_value(one) for one in value]}]}


def _plain_struct(struct: Message) -> dict[str, Any]:
    return {str(field["key"][0]): _plain(field["value"][0]) for field in struct.get("fields", [])}


def _plain(value: Message) -> Any:
    kind, values = next(iter(value.items()), ("null_value", []))
    if kind == "struct_value":
        return _plain_struct(values[0])
    if kind == "list_value":
        return [_plain(one) for one in values[0].get("values", [])]
    if kind == "number_value":
        return int(values[0]) if float(values[0]).is_integer() else float(values[0])
    if kind == "null_value":
        return None
    return values[0] if kind == "bool_value" else str(values[0])
