"""Lookups by key: hash tables, joins and label encoders find the same rows; sums are exact."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import UserError
from core.files import hash_file
from core.schema import Column, DType
from etl import Fitted, Workflow
from etl.ops import ColumnSimilarity, JoinExternal, JoinGroupby, TargetEncoding
from etl.ops.key_rows import RowNumbers
from etl.ops.keyed import Key, in_order, row_node
from etl.ops.sums import parts
from serve.graph import OnnxGraph, run

NUMBERS = st.none() | st.integers(-3, 3) | st.sampled_from([2**63 - 1, -(2**63) + 1, 0])
TEXTS = st.none() | st.sampled_from(["a", "b", "é", "e\u0301", "東京", "a" * 300, " "])
TYPES = {"n": pl.Int64(), "t": pl.String(), "m": pl.Int64()}


def frames(names: str) -> st.SearchStrategy[pl.DataFrame]:
    one = st.tuples(*(TEXTS if name == "t" else NUMBERS for name in names))
    schema = {name: TYPES[name] for name in names}
    return st.lists(one, min_size=1, max_size=30).map(lambda rows: pl.DataFrame(rows, schema=schema, orient="row"))


def table_of(rows: pl.DataFrame) -> tuple[Key, pl.DataFrame]:
    key = Key(tuple(Column(name, DType.STRING if name == "t" else DType.INT64) for name in rows.columns))
    return key, in_order(rows.unique().rename(dict(zip(rows.columns, key.places, strict=True))))


@pytest.mark.parametrize("names", ["n", "t", "nt", "tnm"])
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_every_way_finds_the_same_row(names, data):
    key, table = table_of(data.draw(frames(names)))
    rows = data.draw(frames(names))
    numbered = table.with_row_index("row", offset=0).rename(dict(zip(key.places, names, strict=True)))
    joined = rows.join(numbered, on=list(names), how="left", nulls_equal=True, maintain_order="left")
    expected = joined["row"].fill_null(table.height).to_list()
    asked = rows.to_struct() if len(names) > 1 else rows.to_series()
    assert RowNumbers(table)(asked).to_list() == expected
    graph = OnnxGraph()
    inputs = [graph.input(name, "string" if name == "t" else "int64") for name in names]
    model = graph.to_model(inputs, {"row": row_node(graph, inputs, table)})
    assert run(model, {name: sent(rows[name]) for name in names})["row"].tolist() == expected


def sent(values: pl.Series) -> np.ndarray:
    if values.dtype == pl.String:
        return np.array([value or "" for value in values], dtype=object)
    return values.fill_null(-(2**63)).to_numpy()


@given(values=st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=50), data=st.data())
@settings(max_examples=60, deadline=None)
def test_sums_are_those_of_fractions_in_any_order(values, data):
    column = Column("x", DType.FLOAT64)

    def summed(numbers: list[float]) -> Fraction:
        made = pl.DataFrame({"x": numbers}).select(
            one.sum().alias(name) for name, one in parts(pl.col("x"), column).items()
        )
        whole, rest = made.row(0)
        return Fraction(whole) + Fraction(rest, 2**32)

    exact = sum(map(Fraction, values))
    assert abs(summed(values) - exact) <= Fraction(len(values), 2**33)
    assert summed(data.draw(st.permutations(values))) == summed(values)


@pytest.mark.parametrize(
    "operator",
    [
        TargetEncoding("y"),
        JoinGroupby("y", "mean"),
        JoinExternal(pl.DataFrame({"a": [1], "v": [2]}), "a"),
        ColumnSimilarity(pl.DataFrame({"id": [1, 2], "f": ["x", "y"]})),
    ],
    ids=lambda operator: operator.kind,
)
def test_a_saved_table_that_is_another_one_is_told(operator, tmp_path: Path):
    columns = [["a", "b"]] if operator.kind == "column_similarity" else ["a"]
    frame = pl.DataFrame({"a": [1, 2], "b": [2, 1], "y": [0, 1]})
    Workflow(columns >> operator).fit(frame).save(tmp_path / "w")
    path = tmp_path / "w" / "tables" / "01-00.parquet"
    pl.DataFrame({"x": [1]}).write_parquet(path)
    value = json.loads((tmp_path / "w" / "workflow.json").read_text())
    value["steps"][0]["tables"][0]["sha256"] = hash_file(path)
    (tmp_path / "w" / "workflow.json").write_text(json.dumps(value))
    with pytest.raises(UserError, match="this is not a fitted workflow"):
        Fitted.load(tmp_path / "w")
