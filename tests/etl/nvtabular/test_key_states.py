"""Files of NVTabular's join_groupby and target_encoding, written by hand, become our states; without NVTabular."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from core.errors import UserError
from etl import Workflow
from etl.nvtabular.described import describe
from etl.nvtabular.key_states import BESIDE
from etl.nvtabular.states import take_over
from etl.ops import JoinGroupby, TargetEncoding
from etl.steps import raw_columns

SCHEMA = pl.Schema({"k": pl.String(), "n": pl.Int32(), "x": pl.Float64(), "w": pl.Int64(), "y": pl.Int8()})
Table = dict[str, list[Any]]


def files(folder: Path, **tables: Table) -> dict[str, str]:
    """Directories of parts, as dask writes them: one row goes to a second part."""
    for name, table in tables.items():
        frame = pl.DataFrame(table, strict=False)
        (folder / name).mkdir()
        for number, part in enumerate((frame.head(-1), frame.tail(1))):
            part.write_parquet(folder / name / f"part.{number}.parquet")
    return {name: str(folder / name) for name in tables}


def taken(node: Any, learned: dict[str, Any]) -> pl.DataFrame:
    plan = Workflow(node).plan(SCHEMA)
    state = take_over(plan.steps[-1], raw_columns((*plan.inputs, *plan.fit_inputs)), learned)
    (table,) = state.by_key.values()
    return table


def test_statistics_become_sums(tmp_path: Path) -> None:
    """The numbers of a are 1, 2 and 6, those of b are 4 and 4.5."""
    table = {
        "k": ["b", "a"],
        "k_count": [2, 3],
        "k_x_mean": [4.25, 3.0],
        "k_x_var": [0.125, 7.0],
        "k_x_max": [4.5, 6.0],
    }
    found = taken(["k"] >> JoinGroupby("x", ["count", "mean", "var", "max"]), {"categories": files(tmp_path, k=table)})
    half = 2**31
    assert found.to_dict(as_series=False) == {
        "key@0": ["a", "b"],
        "count": [3, 2],
        "filled@x": [3, 2],
        "whole@x": [9, 8],
        "rest@x": [0, half],
        "low@x": [None, None],
        "high@x": [6.0, 4.5],
        "spread@x": [14.0, 0.125],
    }


def test_what_was_not_asked_for_comes_from_the_operator_beside(tmp_path: Path) -> None:
    """A deviation that rounding left without a root is null; that of one row, too."""
    theirs = {"n": [7.0, 8.0, 9.0], "n_w_std": [2.0, float("nan"), float("nan")]}
    beside = {"n": [9.0, 7.0, 8.0], "n_count": [1, 3, 2], "n_w_sum": [5.0, 12.0, 8.0]}
    categories = files(tmp_path, n=theirs)
    (tmp_path / "beside").mkdir()
    learned = {"categories": categories, BESIDE: files(tmp_path / "beside", n=beside)}
    found = taken(["n"] >> JoinGroupby("w", ["std"]), learned)
    assert found["key@0"].to_list() == [7, 8, 9]
    assert found["key@0"].dtype == pl.Int64
    assert found["whole@w"].to_list() == [12, 8, 5]
    assert found["spread@w"].to_list() == [8.0, None, 0.0]
    assert "rest@w" not in found.columns, "sums of whole numbers have no rest"


def test_a_name_that_looks_like_a_pattern(tmp_path: Path) -> None:
    """Files are called by the column."""
    table = {"a[b]": ["y", "x"], "a[b]_count": [2, 1]}
    (file,) = files(tmp_path, **{"a[b]": table}).values()
    plan = Workflow(["a[b]"] >> JoinGroupby(stats=["count"])).plan({"a[b]": pl.String()})
    state = take_over(plan.steps[-1], raw_columns(plan.inputs), {"categories": {"a[b]": file}})
    (found,) = state.by_key.values()
    assert found.rows() == [("x", 1), ("y", 2)]


@pytest.mark.parametrize("name", ["w", "x"])
def test_a_mean_whose_sum_is_too_large(tmp_path: Path, name: str) -> None:
    """Of whole numbers and of floats: the mean itself is small enough."""
    table = {"n": [1.0, 2.0], "n_count": [2, 100], f"n_{name}_mean": [1.0, 1e18]}
    with pytest.raises(UserError, match=rf"column {name}: a sum .* too large \(1e\+20\)"):
        taken(["n"] >> JoinGroupby(name, ["count", "mean"]), {"categories": files(tmp_path, n=table)})


def test_folds_become_columns(tmp_path: Path) -> None:
    every = {"k": ["a", "b"], "n": [1.0, None], "k_n_count": [3, 1], "k_n_y_sum": [2.0, 1.0]}
    folds = {
        "__fold__": [0, 1, 1],
        "k": ["a", "a", "b"],
        "n": [1.0, 1.0, None],
        "__fold___k_n_count": [1, 2, 1],
        "__fold___k_n_y_sum": [1.0, 1.0, 1.0],
    }
    learned = {"stats": files(tmp_path, k_n=every, __fold___k_n=folds), "means": {"y": 0.75}}
    found = taken([["k", "n"]] >> TargetEncoding("y", kfold=2), learned)
    assert found.to_dict(as_series=False) == {
        "key@0": ["a", "b"],
        "key@1": [1, None],
        "count@y@0": [1, 0],
        "count@y@1": [2, 1],
        "whole@y@0": [1, 0],
        "whole@y@1": [1, 1],
    }


@pytest.mark.parametrize(
    ("keys", "sums", "words"),
    [
        ([0.5, 2.0], [1.0, 1.0], "column n: only whole numbers"),
        ([1.0, 2.0], [1.0, 1e19], "column w: a sum .* too large"),
        ([1.0, 2.0], [1.0, float("nan")], "column w: a sum .* too large"),
        ([1.0, 2.0], [1.0, float("inf")], "column w: a sum .* too large"),
    ],
)
def test_what_no_table_of_ours_can_hold(tmp_path: Path, keys: list[float], sums: list[float], words: str) -> None:
    table = {"n": keys, "n_count": [2, 2], "n_w_sum": sums}
    with pytest.raises(UserError, match=words):
        taken(["n"] >> JoinGroupby("w", ["count", "sum"]), {"categories": files(tmp_path, n=table)})


@pytest.mark.parametrize("value", [1e19, float("nan")])
def test_a_target_whose_sum_is_too_large(tmp_path: Path, value: float) -> None:
    table = {"k": ["a", "b"], "k_count": [3, 1], "k_w_sum": [value, 1.0]}
    learned = {"stats": files(tmp_path, k=table), "means": {"w": value / 4}}
    with pytest.raises(UserError, match=r"column w: a sum .* too large"):
        taken(["k"] >> TargetEncoding("w", kfold=1), learned)


def test_it_is_asked_for_what_the_state_needs_and_for_the_target_by_our_name(tmp_path: Path) -> None:
    def asked(node: Any) -> list[tuple[Any, ...]]:
        steps, _ = describe(Workflow(node).plan({**SCHEMA, "__target__": pl.Float32()}), tmp_path)
        return [(one["number"], one["kwargs"].get("stats"), one["inputs"], one["renamed"]) for one in steps]

    assert asked(["k"] >> JoinGroupby("x", ["count", "sum"])) == [("1", ["count", "sum"], [["", ["k"]]], {})]
    assert asked(["k", "x"] >> JoinGroupby("x", ["mean", "max"])) == [
        ("1", ["mean", "max"], [["", ["k"]]], {}),
        ("1 beside", ["count"], [["", ["k"]]], {}),
    ]
    assert [stats for _, stats, *_ in asked(["k"] >> JoinGroupby("x", "std"))] == [["std"], ["count", "sum"]]
    assert asked([["k", "n"]] >> TargetEncoding()) == [
        ("1", None, [["", [["k", "n"]]]], {"TE_k_n___target__": "TE_k_n_target"}),
    ]
