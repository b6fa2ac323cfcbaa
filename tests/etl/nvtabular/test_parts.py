"""What surrounds NVTabular, without it: rows written for it, its statistics taken over, its output compared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from core.dataset import ROW
from core.errors import UserError
from etl import Fitted, Workflow
from etl.nvtabular.check import require_equal
from etl.nvtabular.stage import large_integers, write_rows
from etl.nvtabular.states import take_over
from etl.ops import Categorify, DataStats, FillMedian, Normalize, NormalizeMinMax, ReduceDtypeSize, ValueCount
from etl.steps import raw_columns

RAW = pl.DataFrame(
    {
        "n": pl.Series([1, None, 3], dtype=pl.Int16),
        "big": [2**60, 2**60 + 1, -(2**63)],
        "x": [1.5, float("nan"), None],
        "s": ["", "a", None],
        "b": [True, None, False],
        "l": [[1], [], [2, 3]],
    }
)


def columns(frame: pl.DataFrame) -> Any:
    return Workflow(list(frame.columns)).plan(frame.schema).inputs


def test_rows_are_written_as_operators_see_them(tmp_path: Path) -> None:
    rows, told = RAW.drop("big").with_row_index(ROW), columns(RAW.drop("big"))
    write_rows(rows.lazy(), told, frozenset(), tmp_path / "in" / "rows.parquet", keep=[ROW])
    made = pl.read_parquet(tmp_path / "in" / "rows.parquet")
    assert made.schema[ROW] == pl.UInt32
    assert made["n"].to_list() == [1.0, None, 3.0]
    assert made["n"].dtype == pl.Float64
    assert made["x"].to_list() == [1.5, None, None]
    assert made["s"].to_list() == [None, "a", None]
    assert made["b"].to_list() == [1.0, None, 0.0]
    assert made["l"].to_list() == [[1], [], [2, 3]]


def test_large_integers_stay_and_may_not_be_null(tmp_path: Path) -> None:
    told = columns(RAW)
    assert large_integers(RAW.lazy(), told) == {"big"}
    assert large_integers(RAW.lazy().drop("big"), columns(RAW.drop("big"))) == set()
    write_rows(RAW.head(2).lazy(), told, frozenset({"big"}), tmp_path / "a.parquet")
    assert pl.read_parquet(tmp_path / "a.parquet")["big"].to_list() == [2**60, 2**60 + 1]
    with pytest.raises(UserError, match=r"column big.*integers above 2\^53 and nulls"):
        write_rows(RAW.lazy(), told, frozenset({"big"}), tmp_path / "b.parquet")


FRAME = pl.DataFrame({"c": ["a", "b", "a"], "x": [1.0, 2.0, 4.0], "l": [["u"], [], ["v", "u"]]})


def fitted(node: Any) -> Fitted:
    return Workflow(node).fit(FRAME)


def outputs(made: Fitted) -> pl.DataFrame:
    return made.transform(FRAME.with_row_index(ROW), keep=[ROW]).collect()


BOTH = (["c"] >> Categorify()) + (["x"] >> Normalize()) + (["l"] >> Categorify())


@pytest.mark.parametrize("shift", [0.0, 2e-5])
def test_equal_outputs_pass(shift: float) -> None:
    made = fitted(BOTH)
    ours = outputs(made)
    require_equal(ours.with_columns(pl.col("x") + shift).lazy(), ours.sample(fraction=1.0, shuffle=True).lazy(), made)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            pl.when(pl.col(ROW) > 0).then(9).otherwise("c").alias("c"),
            "feature c.*2 of 3 .*categorify; row 1: 9 there, 4",
        ),
        (
            pl.when(pl.col(ROW) == 2).then(None).otherwise("x").alias("x"),
            "feature x.*1 of 3 .*normalize; row 2: None",
        ),
        (pl.when(pl.col(ROW) == 0).then(float("inf")).otherwise("x").alias("x"), "feature x.*row 0: inf there"),
        (pl.lit([3]).alias("l"), "feature l.*2 of 3 rows"),
    ],
)
def test_what_differs_is_named(change: pl.Expr, words: str) -> None:
    made = fitted(BOTH)
    ours = outputs(made)
    with pytest.raises(UserError, match=words):
        require_equal(ours.with_columns(change).lazy(), ours.lazy(), made)


@pytest.mark.parametrize("side", [0, 1])
def test_a_row_that_one_side_lacks_is_a_difference(side: int) -> None:
    made = fitted(BOTH)
    both = [outputs(made), outputs(made)]
    both[side] = both[side].filter(pl.col(ROW) != 1)
    with pytest.raises(UserError, match="1 of 3 rows .*row 1"):
        require_equal(both[0].lazy(), both[1].lazy(), made)


def test_null_nan_and_infinity_are_what_they_are() -> None:
    made = fitted(["x"] >> Normalize())
    odd = pl.DataFrame({ROW: [0, 1, 2], "x": [float("inf"), float("nan"), None]}, schema_overrides={"x": pl.Float32})
    require_equal(odd.lazy(), odd.with_columns(pl.col("x").fill_nan(None)).lazy(), made)


def taken(node: Any, learned: dict[str, Any], frame: pl.DataFrame = FRAME) -> Any:
    plan = Workflow(node).plan(frame.schema)
    return take_over(plan.steps[-1], raw_columns((*plan.inputs, *plan.fit_inputs)), learned)


def test_numbers_are_taken_over() -> None:
    assert taken(["x"] >> FillMedian(), {"medians": {"x": 2.5}}).median == {"x": 2.5}
    found = taken(["x"] >> Normalize(), {"means": {"x": 1.0}, "stds": {"x": 3.0}})
    assert (found.mean, found.std) == ({"x": 1.0}, {"x": 3.0})
    assert taken(["x"] >> Normalize(), {"means": {"x": 1.0}, "stds": {"x": float("nan")}}).std == {"x": 0.0}
    found = taken(["x"] >> NormalizeMinMax(), {"mins": {"x": 1.0}, "maxs": {"x": 9.0}})
    assert (found.low, found.high) == ({"x": 1.0}, {"x": 9.0})
    found = taken(["l"] >> ValueCount(), {"stats": {"l": {"value_count": {"min": 0.0, "max": 2.0}}}})
    assert (found.least, found.most) == ({"l": 0}, {"l": 2})
    whole = pl.DataFrame({"n": [1, 2]})
    found = taken(["n"] >> ReduceDtypeSize(), {"ranges": {"n": [1.0, 200.0]}}, whole)
    assert (found.low, found.high) == ({"n": 1}, {"n": 200})
    with pytest.raises(UserError, match="learned nan"):
        taken(["x"] >> FillMedian(), {"medians": {"x": float("nan")}})


@pytest.mark.parametrize("name", ["n", "n[0]"])
def test_vocabularies_are_taken_over_in_its_order(tmp_path: Path, name: str) -> None:
    """A name may look like a pattern."""
    file = tmp_path / f"unique.{name}.parquet"
    pl.DataFrame({name: [7.0, 5.0, None], f"{name}_size": [3, 3, 1]}).write_parquet(file)
    frame = pl.DataFrame({name: [5, 5, 7, 7, 5, 7]})
    found = taken([name] >> Categorify(), {"categories": {name: str(file)}}, frame)
    assert found.by_column[name].rows() == [(7, 3), (5, 3)]
    assert found.by_column[name].schema["value"] == pl.Int64


def test_what_cannot_be_taken_over_is_named() -> None:
    with pytest.raises(UserError, match="what NVTabular learns for data_stats can't be taken over"):
        taken(["c"] >> DataStats(), {})
