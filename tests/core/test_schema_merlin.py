"""A schema that NVTabular 23.8 has written: `merlin_23_8.pbtxt`, of a workflow over seven columns.

Its columns: `city` Categorify and TagAsUserFeatures; `fixed` Categorify and ListSlice(2, pad=True); `raw` a list under
Categorify; `age` Normalize; `ragged` Categorify and ValueCount; `price` with the property `unit`; `click` the target.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from core.schema import Column, DType, Schema, Tag
from core.schema_pbtxt import from_text, read, to_text


@pytest.fixture
def schema() -> Schema:
    return read(Path(__file__).with_name("merlin_23_8.pbtxt"))


def test_names_and_types(schema: Schema):
    assert schema.names == ("city", "fixed", "raw", "age", "ragged", "price", "click")
    whole, real = DType.INT64, DType.FLOAT64
    assert [column.dtype for column in schema] == [whole, whole, whole, real, whole, real, whole]


def test_lists(schema: Schema):
    assert [column.name for column in schema if column.is_list] == ["fixed", "raw", "ragged"]
    assert schema["fixed"].properties["value_count"] == {"min": 2, "max": 2}
    assert schema["ragged"].properties["value_count"] == {"min": 1, "max": 3}
    assert "value_count" not in schema["raw"].properties


def test_tags(schema: Schema):
    assert schema["city"].tags == {Tag.CATEGORICAL, Tag.USER}
    assert schema["fixed"].tags == {Tag.CATEGORICAL, Tag.LIST}
    assert schema["ragged"].tags == {Tag.CATEGORICAL, Tag.ITEM}
    assert schema["age"].tags == {Tag.CONTINUOUS, Tag.USER}
    assert schema["click"].tags == {Tag.BINARY, Tag.TARGET}


def test_sizes_and_properties(schema: Schema):
    assert [schema[name].cardinality for name in ("city", "fixed", "raw", "ragged")] == [6, 6, 7, 9]
    assert schema["city"].embedding_dim == 16
    assert schema["city"].properties == {
        "cat_path": ".//categories/unique.city.parquet",
        "freq_threshold": 0,
        "max_size": 0,
        "num_buckets": None,
    }
    assert schema["price"].properties == {"unit": "EUR"}


def test_it_survives_a_round_trip(schema: Schema):
    assert from_text(to_text(schema), "again.pbtxt") == schema


def test_lists_are_written_as_merlin_writes_them():
    lists = [
        Column("fixed", DType.INT32, is_list=True, properties={"value_count": {"min": 3, "max": 3}}),
        Column("bounded", DType.INT32, is_list=True, properties={"value_count": {"min": 0, "max": 4}}),
        Column("long", DType.INT32, is_list=True, properties={"value_count": {"min": 2}}),
        Column("any", DType.INT32, is_list=True),
    ]
    text = to_text(Schema(tuple(lists)))
    assert from_text(text, "again.pbtxt") == Schema(tuple(lists))
    assert "shape" not in text
    ragged = [part.split("}")[0].split("bool_value: ")[1].strip() for part in text.split('"is_ragged"')[1:]]
    assert ragged == ["false", "true", "true", "true"]
