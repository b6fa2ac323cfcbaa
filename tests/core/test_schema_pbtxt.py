"""Merlin's schema text, both ways."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import UserError
from core.schema import Column, DType, Schema, Tag
from core.schema_pbtxt import from_text, read, to_text, write

MERLIN = r"""
# as merlin-core 23 writes it
feature {
  name: "item_id"
  type: INT
  int_domain {
    name: "item_id"
    min: 0
    max: 1682
    is_categorical: true
  }
  annotation {
    tag: "item_id"
    tag: "item"
    tag: "id"
    tag: "categorical"
    extra_metadata {
      [type.googleapis.com/google.protobuf.Struct] {
        fields { key: "dtype_item_size" value { number_value: 64.0 } }
        fields { key: "is_list" value { bool_value: false } }
        fields { key: "is_ragged" value { bool_value: false } }
        fields { key: "freq_threshold" value { number_value: 0.0 } }
        fields {
          key: "embedding_sizes"
          value {
            struct_value {
              fields { key: "cardinality" value { number_value: 1683.0 } }
              fields { key: "dimension" value { number_value: 102.0 } }
            }
          }
        }
      }
    }
  }
}
feature {
  name: "genres"
  value_count { min: 0 max: 4 }
  type: INT
  int_domain { name: "genre_vocabulary" min: 0 max: 18 is_categorical: true }
  annotation {
    tag: "list"
    tag: "categorical"
    tag: "embedding"
    extra_metadata {
      [type.googleapis.com/google.protobuf.Struct] {
        fields { key: "dtype_item_size" value { number_value: 32.0 } }
        fields { key: "is_list" value { bool_value: true } }
      }
    }
  }
}
feature {
  name: 'age'; type: FLOAT,
  float_domain < name: "age" min: 1.5 max: 1e2 >
  annotation { tag: ["continuous", "user"] }
}
feature { name: "click" type: INT annotation { tag: "binary_classification" tag: "target" } }
"""


def test_reads_what_merlin_wrote() -> None:
    schema = from_text(MERLIN, "schema.pbtxt")
    item, genres, age, click = schema
    assert (item.dtype, item.cardinality, item.embedding_dim) == (DType.INT64, 1683, 102)
    assert item.tags == {Tag.ITEM_ID, Tag.ITEM, Tag.ID, Tag.CATEGORICAL}
    assert item.properties == {"freq_threshold": 0}
    assert genres.is_list
    assert (genres.dtype, genres.cardinality) == (DType.INT32, 19)
    assert genres.properties["domain"] == {"name": "genre_vocabulary"}
    assert genres.properties["value_count"] == {"min": 0, "max": 4}
    assert genres.tags == {Tag.LIST, Tag.CATEGORICAL}
    assert genres.properties["merlin_tags"] == ["embedding"]
    assert age.properties["domain"] == {"min": 1.5, "max": 100.0}
    assert age.tags == {Tag.CONTINUOUS, Tag.USER}
    assert click.tags == {Tag.BINARY, Tag.TARGET}


PACKED = r"""
feature {
  name: "genres"
  type: INT
  int_domain { name: "genres" max: 20 is_categorical: true }
  annotation {
    tag: "categorical"
    extra_metadata {
      type_url: "type.googleapis.com/google.protobuf.Struct"
      value: "\n\034\n\017dtype_item_size\022\t\021\000\000\000\000\000\000@@"
        "\nG\n\017embedding_sizes\0224*2\n\026\n\tdimension\022\t\021\000\000\000\000\000\000\200@"
        "\n\030\n\013cardinality\022\t\021\000\000\000\000\000\0004@"
        "\n\021\n\013num_buckets\022\002\010\000\n\r\n\007is_list\022\002 \001"
    }
  }
}
"""


def test_metadata_that_older_merlin_wrote_as_bytes() -> None:
    """As in the schemas of 2022: a list without a value_count, its size and width are told there alone."""
    (column,) = from_text(PACKED, "old.pbtxt")
    assert (column.dtype, column.is_list, column.cardinality, column.embedding_dim) == (DType.INT32, True, 20, 512)
    assert column.properties["num_buckets"] is None
    assert from_text(to_text(Schema((column,))), "again.pbtxt")["genres"] == column


@pytest.mark.parametrize(
    ("old", "new"), [("protobuf.Struct", "protobuf.Value"), (r"\022\002 \001", r"\022\002 "), (r"\n\034", r"\014\034")]
)
def test_metadata_that_cannot_be_read_is_no_schema(old: str, new: str) -> None:
    with pytest.raises(UserError, match="not a Merlin schema"):
        from_text(PACKED.replace(old, new), "old.pbtxt")


def test_what_merlin_wrote_survives_a_round_trip() -> None:
    schema = from_text(MERLIN, "schema.pbtxt")
    assert from_text(to_text(schema), "again.pbtxt") == schema


def test_writes_the_fields_that_merlin_reads() -> None:
    column = Column(
        "job",
        DType.INT32,
        frozenset({Tag.CATEGORICAL, Tag.USER}),
        cardinality=23,
        embedding_dim=16,
        nullable=False,
    )
    text = to_text(Schema((column,)))
    for part in (
        "type: INT",
        "int_domain {",
        "max: 22",
        "is_categorical: true",
        'tag: "categorical"',
        'tag: "user"',
    ):
        assert part in text
    assert "number_value: 32.0" in text
    assert 'key: "embedding_sizes"' in text


@pytest.mark.parametrize(
    "text", ["feature {", "feature { name }", "feature { name: }", "\x00", "feature { type: INT }", "= 1"]
)
def test_a_broken_text_is_the_users_error(text: str) -> None:
    with pytest.raises(UserError, match="schema.pbtxt"):
        from_text(text, "schema.pbtxt")


def test_files(tmp_path: Path) -> None:
    schema = from_text(MERLIN, "x")
    write(schema, tmp_path / "schema.pbtxt")
    assert read(tmp_path / "schema.pbtxt") == schema
    with pytest.raises(UserError, match="no such file"):
        read(tmp_path / "none.pbtxt")


plain = (
    st.none()
    | st.booleans()
    | st.integers(-(2**40), 2**40)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)
words = st.text(min_size=1)


@st.composite
def columns(draw: st.DrawFn) -> Column:
    """Any column that our code can make."""
    dtype = draw(st.sampled_from(list(DType)))
    whole = "int" in dtype.value
    tags = draw(st.frozensets(st.sampled_from([tag for tag in Tag if tag is not Tag.CATEGORICAL])))
    return Column(
        draw(words),
        dtype,
        tags | {Tag.CATEGORICAL} if whole and draw(st.booleans()) else tags,
        is_list=draw(st.booleans()),
        nullable=draw(st.booleans()),
        cardinality=draw(st.none() | st.integers(2, 2**31)) if whole else None,
        properties=draw(st.dictionaries(words.map("p_".__add__), plain | st.lists(plain, max_size=2), max_size=3)),
    )


@given(st.lists(columns(), max_size=3, unique_by=lambda column: column.name))
def test_our_columns_survive_a_round_trip(given_columns: list[Column]) -> None:
    schema = Schema(tuple(given_columns))
    assert from_text(to_text(schema), "x.pbtxt") == schema
