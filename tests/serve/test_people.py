"""Finding a user: ids of any type, known or not, and what they have seen."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve.people import People
from serve.signature import Input


def people(frame: pl.DataFrame, pairs: list[tuple[int, int]], dtype: str) -> People:
    seen = pl.DataFrame(sorted(pairs), schema={"user_row": pl.UInt32, "item_row": pl.UInt32}, orient="row")
    inputs = {"id": Input("id", dtype, dtype, "user"), "age": Input("age", "float64", "float64", "user")}
    return People(frame, seen, "id", inputs)


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=4)


@given(ids=st.sets(TEXTS, max_size=12), asked=TEXTS)
def test_text_ids(ids: set[str], asked: str) -> None:
    frame = (
        pl.DataFrame({"id": list(ids)}, schema={"id": pl.String}).sort("id").with_columns(age=pl.int_range(pl.len()))
    )
    pairs = [(row, row * 2) for row in range(len(ids))]
    crowd = people(frame, pairs, "string")
    for row, name in enumerate(frame["id"]):
        person = crowd.find(name, {})
        assert (person.known, person.columns["age"].tolist(), person.seen.tolist()) == (True, [row], [row * 2])
    assert crowd.find(asked, {}).known == (asked in ids)
    assert crowd.find(asked, {}).columns["id"].tolist() == [asked]


@given(ids=st.sets(st.integers(-(2**63), 2**63 - 1), max_size=12), asked=st.integers(-(2**63) + 1, 2**63 - 1))
def test_number_ids(ids: set[int], asked: int) -> None:
    frame = pl.DataFrame({"id": sorted(ids)}, schema={"id": pl.Int64}).with_columns(age=pl.int_range(pl.len()))
    crowd = people(frame, [], "int64")
    assert all(crowd.find(number, {}).known for number in ids)
    assert crowd.find(asked, {}).known == (asked in ids)
    assert crowd.find(str(asked), {}).columns["id"].tolist() == [asked]


@pytest.mark.parametrize("dtype", [pl.Int8, pl.UInt16, pl.Int32, pl.UInt64])
def test_ids_of_narrow_types(dtype: pl.DataType) -> None:
    crowd = people(
        pl.DataFrame({"id": [1, 100], "age": [1.0, None]}, schema_overrides={"id": dtype}), [(1, 5)], "int64"
    )
    assert crowd.find(100, {}).seen.tolist() == [5]
    assert crowd.find(1, {}).seen.tolist() == []
    for unknown in (-1, 0, 50, 10**6):
        person = crowd.find(unknown, {})
        assert not person.known
        assert person.columns["id"].tolist() == [unknown]
