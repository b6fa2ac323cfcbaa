"""Every operator against the NVTabular operator that it says it is, run by the real package.

Runs in the environment of requirements/nvtabular.txt (`make test-nvtabular`); skipped elsewhere. Rows are such that
NVTabular follows its documentation; where it doesn't, tests/etl/nvtabular/differences.py shows what it does.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from etl.ops import (
    OPERATORS,
    AddMetadata,
    AddProperties,
    AddTags,
    Bucketize,
    Categorify,
    Clip,
    ColumnSimilarity,
    DataStats,
    DifferenceLag,
    DropLowCardinality,
    Dropna,
    FillMedian,
    FillMissing,
    Filter,
    Groupby,
    JoinExternal,
    JoinGroupby,
    ListSlice,
    LogOp,
    Normalize,
    NormalizeMinMax,
    ReduceDtypeSize,
    Rename,
    TagAsItemFeatures,
    TagAsItemID,
    TagAsUserFeatures,
    TagAsUserID,
    TargetEncoding,
    ValueCount,
)
from etl.workflow import Workflow
from tests.etl.nvtabular.differences import DIFFERENCES
from tests.etl.nvtabular.peer import Peer, installed

pytestmark = [
    pytest.mark.nvtabular,
    pytest.mark.filterwarnings("ignore"),
]

FRAME = pl.DataFrame(
    {
        "x": [1.5, None, 3.0, -0.5, 10.0, 3.0],
        "y": [0.0, 1.0, 2.0, 3.0, 4.0, 5.0],
        "i": [5, 5, 5, 7, 7, 9],
        "s": ["b", "a", "b", None, "b", "a"],
    }
)
LATER = pl.DataFrame({"x": [2.0, None], "y": [9.0, -0.5], "i": [7, 1], "s": ["new", "a"]})
KEYED = pl.DataFrame(
    {
        "k": [1, 1, 1, 2, 2, 3, 3, 3, 3],
        "m": ["a", "b", "a", "a", "b", "b", "b", "a", "b"],
        "t": [10, 15, 30, 5, 9, 1, 2, 4, 8],
        "v": [1.0, 2.5, 4.0, 8.0, 9.5, -1.0, 0.0, 2.0, 7.0],
        "click": [1, 0, 1, 1, 0, 0, 0, 1, 1],
    }
)
LISTS = pl.DataFrame({"l": [[1, 2, 3], [4], [5, 6, 7, 8], [1, 1]]})
WORDS = pl.DataFrame({"l": [["b", "a"], ["b"], ["b", "c", "a"]]})
CITIES = pl.DataFrame({"m": ["a", "c"], "people": [717, 2748], "name": ["Oslo", None]})
TOPICS = pl.DataFrame({"id": [0, 0, 1, 2, 2, 3], "topic": [0, 1, 1, 2, 0, 3], "weight": [1.0, 2.0, 1.0, 1.0, 3.0, 1.0]})
PAGES = pl.DataFrame({"page": [0, 0, 1, 2, 3], "link": [1, 2, 0, 2, 3]})
STATS = ("count", "sum", "mean", "std", "var", "min", "max")


@dataclass(frozen=True)
class Case:
    """An operator and the rows on which both must agree: those that it is fitted on, and later ones."""

    operator: Any
    columns: Any
    rows: pl.DataFrame
    later: pl.DataFrame | None = None

    def __str__(self) -> str:
        return f"{self.operator!r} of {self.columns}"


def simple(operator: Any, columns: Any) -> Case:
    """A case with the common rows."""
    return Case(operator, columns, FRAME, LATER)


CASES = [
    simple(FillMissing(2), ["x", "i"]),
    simple(FillMissing(2, add_binary_cols=True), ["x"]),
    simple(FillMissing("none"), ["s"]),
    simple(FillMedian(), ["x"]),
    simple(FillMedian(add_binary_cols=True), ["x"]),
    simple(Clip(min=0, max=4), ["x", "y"]),
    simple(Clip(max=2), ["i"]),
    simple(LogOp(), ["x", "y"]),
    simple(Normalize(), ["y", "i"]),
    simple(NormalizeMinMax(), ["y", "i"]),
    simple(Bucketize([0, 2, 3]), ["x", "y"]),
    simple(Bucketize({"x": (0,), "y": (1, 2)}), ["x", "y"]),
    simple(Categorify(), ["s", "i"]),
    simple(Categorify(freq_threshold=2), ["s", "i"]),
    simple(Categorify(freq_threshold={"s": 3, "i": 2}), ["s", "i"]),
    simple(Categorify(max_size=4), ["s", "i"]),
    simple(Categorify(max_size={"s": 4, "i": 5}), ["s", "i"]),
    simple(Categorify(dtype="int64"), ["s"]),
    Case(Categorify(), [["k", "t"]], KEYED.with_columns(t=pl.col("k") % 2 + 1)),
    Case(Categorify(encode_type="combo"), [["k", "m"]], KEYED.head(8).vstack(KEYED[[0, 0, 5]])),
    Case(Categorify(), ["l"], LISTS[[0, 0, 3, 3, 3]], pl.DataFrame({"l": [[9, 1], [2]]})),
    Case(Categorify(), ["l"], WORDS),
    simple(Rename(postfix="_p"), ["x", "i"]),
    simple(Rename(name="q"), ["x"]),
    simple(AddMetadata(tags=["continuous"], properties={"unit": "EUR"}), ["x"]),
    simple(AddTags(["user"]), ["x"]),
    simple(AddProperties({"unit": "EUR"}), ["x"]),
    simple(TagAsUserID(), ["i"]),
    simple(TagAsItemID(), ["i"]),
    simple(TagAsUserFeatures(), ["x"]),
    simple(TagAsItemFeatures(), ["x"]),
    Case(ReduceDtypeSize(), ["y", "i"], FRAME),
    Case(Dropna(), ["x", "s"], FRAME),
    Case(Filter("x > 1 and y < 5"), ["x", "y"], FRAME),
    Case(JoinGroupby("v", STATS), ["k"], KEYED),
    Case(JoinGroupby(["v", "t"], ["mean", "max"]), ["m"], KEYED, KEYED.head(1).with_columns(m=pl.lit("new"))),
    Case(JoinGroupby("v", ["count", "mean"]), [["k", "m"]], KEYED),
    Case(TargetEncoding("click", kfold=1), ["k"], KEYED),
    Case(TargetEncoding("click", kfold=1, p_smooth=2), [["k", "m"], "m"], KEYED),
    Case(TargetEncoding("click", kfold=1), ["m"], KEYED, KEYED.head(2).with_columns(m=pl.lit("new"))),
    Case(TargetEncoding(["click", "v"], kfold=1), ["m"], KEYED),
    Case(DifferenceLag("k"), ["t"], KEYED),
    Case(DifferenceLag("k", [1, 2]), ["t"], KEYED),
    Case(DifferenceLag("k", [-1], future=True), ["t"], KEYED),
    Case(Groupby("k", "t", {"v": ["list", "first", "last", "sum", "mean"]}), ["k", "t", "v"], KEYED),
    Case(Groupby("k", "t", {"m": ["list", "count", "nunique"]}), ["k", "t", "m"], KEYED),
    Case(Groupby("k", "t", {"v": ["std", "var", "min", "max", "median"]}), ["k", "t", "v"], KEYED),
    Case(Groupby("k", "t", {"v": ["list"]}, ascending=False), ["k", "t", "v"], KEYED),
    Case(Groupby(["k", "m"], aggs="count"), ["k", "m", "v"], KEYED),
    *(Case(ListSlice(*bounds), ["l"], LISTS) for bounds in ((2,), (-2,), (1, 3), (-3, -1))),
    Case(ListSlice(1), ["l"], WORDS),
    Case(ValueCount(), ["l"], LISTS),
    *(
        Case(ColumnSimilarity(TOPICS, metric=metric), [["page", "link"]], PAGES)
        for metric in ("inner", "cosine", "tfidf")
    ),
    Case(DataStats(), ["x", "y", "i", "s"], FRAME),
    Case(JoinExternal(CITIES, on="m"), ["k", "m"], KEYED),
    Case(JoinExternal(CITIES, on="m", how="inner"), ["m"], KEYED),
    Case(JoinExternal(CITIES.rename({"m": "q"}), on="m", on_ext="q"), ["m"], KEYED),
]


@installed
@pytest.mark.parametrize("case", CASES, ids=str)
def test_same_as_the_real_one(case: Case, tmp_path: Path) -> None:
    fitted = Workflow(case.columns >> case.operator).fit(case.rows)
    peer = Peer(tmp_path)
    theirs = peer.fit(case.columns >> fitted.steps[0].operator.nvtabular(fitted.steps[0].columns), case.rows)
    for rows in [case.rows] if case.later is None else [case.rows, case.later]:
        compare(fitted.transform(rows).collect(), peer.apply(theirs, rows))


@installed
def test_low_cardinalities_are_dropped_by_the_same_rule(tmp_path: Path) -> None:
    """It works on what categorify learned, so it can't stand alone."""
    rows = pl.DataFrame({"one": ["a"] * 9, "two": [*"ab", *"a" * 7], "many": [*"abcdefghi"]})
    for least in (3, 4, 5, 9):
        fitted = Workflow(["one", "two", "many"] >> Categorify() >> DropLowCardinality(least)).fit(rows)
        peer = Peer(tmp_path)
        node = ["one", "two", "many"] >> peer.ops.Categorify() >> peer.ops.DropLowCardinality(least)
        peer.path = tmp_path / str(least)
        peer.path.mkdir()
        assert list(fitted.schema.names) == peer.both(node, rows).columns


@installed
def test_embedding_sizes_are_the_same(tmp_path: Path) -> None:
    rows = pl.DataFrame({"few": [n % 3 for n in range(900)], "many": range(900)})
    fitted = Workflow(["few", "many"] >> Categorify()).fit(rows)
    peer = Peer(tmp_path)
    theirs = peer.ops.get_embedding_sizes(peer.fit(["few", "many"] >> peer.ops.Categorify(), rows))
    assert theirs == {column.name: (column.cardinality, column.embedding_dim) for column in fitted.schema}


@installed
def test_statistics_of_columns_are_the_same(tmp_path: Path) -> None:
    fitted = Workflow(["x", "i", "s"] >> DataStats()).fit(FRAME)
    peer = Peer(tmp_path)
    theirs = peer.ops.DataStats()
    peer.fit(["x", "i", "s"] >> theirs, FRAME)
    for name, wanted in theirs.output.items():
        made = fitted.schema[name].properties
        numbers = {key: value for key, value in wanted.items() if key != "dtype"}
        assert {key: made[key] for key in numbers} == pytest.approx(numbers, rel=1e-6)


def compare(ours: pl.DataFrame, theirs: pl.DataFrame) -> None:
    """Columns, in any order, and their values up to float32."""
    assert sorted(ours.columns) == sorted(theirs.columns)
    for name in ours.columns:
        made, wanted = plain(ours[name]), plain(theirs[name])
        if ours.schema[name] in (pl.String, pl.List(pl.String)):
            assert made == wanted
        else:
            assert made == pytest.approx(wanted, rel=1e-6, abs=1e-7)


def plain(values: pl.Series) -> list[Any]:
    """Null and NaN as one number that no column holds; lists flat, with their lengths."""
    if isinstance(values.dtype, pl.List):
        return [*values.list.len().to_list(), *plain(values.explode())]
    if values.dtype == pl.String:
        return values.to_list()
    return values.cast(pl.Float64).fill_nan(None).fill_null(-1e30).to_list()


THEIRS = {
    *("AddMetadata", "AddProperties", "AddTags", "Bucketize", "Categorify", "Clip", "ColumnSimilarity", "DataStats"),
    *("DifferenceLag", "DropLowCardinality", "Dropna", "FillMedian", "FillMissing", "Filter", "Groupby", "HashBucket"),
    *("HashedCross", "JoinExternal", "JoinGroupby", "LambdaOp", "ListSlice", "LogOp", "Normalize", "NormalizeMinMax"),
    *("ReduceDtypeSize", "Rename", "TagAsItemFeatures", "TagAsItemID", "TagAsUserFeatures", "TagAsUserID"),
    *("TargetEncoding", "ValueCount"),
}
"""The operators of NVTabular 23.8."""


@installed
def test_the_list_of_its_operators_is_complete(tmp_path: Path) -> None:
    ops = Peer(tmp_path).ops
    found = {name for name in dir(ops) if hasattr(getattr(ops, name), "transform")}
    assert found - {"Operator", "StatOperator", "UDF", "InternalEncodingError"} == THEIRS


def test_each_of_its_operators_that_we_have_is_compared() -> None:
    """A case above agrees, or one in differences.py shows what differs."""
    covered = {case.operator.kind for case in CASES} | {name.partition(":")[0] for name in DIFFERENCES}
    ours = {kind for kind, operator in OPERATORS.items() if operator.__name__ in THEIRS}
    assert len(ours) == len(THEIRS) - 1, "LambdaOp takes functions of other frames"
    assert ours <= covered
