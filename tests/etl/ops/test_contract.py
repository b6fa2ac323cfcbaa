"""Every operator holds the contract."""

from __future__ import annotations

import polars as pl

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
    Formula,
    Groupby,
    HashBucket,
    HashedCross,
    HashText,
    History,
    JoinExternal,
    JoinGroupby,
    Lag,
    LambdaOp,
    ListColumns,
    ListSlice,
    LogOp,
    Normalize,
    NormalizeMinMax,
    ReduceDtypeSize,
    Rename,
    Rolling,
    Sessionize,
    SplitText,
    TagAsItemFeatures,
    TagAsItemID,
    TagAsUserFeatures,
    TagAsUserID,
    TargetEncoding,
    TimeFeatures,
    ValueCount,
)
from tests.contract.events import EVENTS
from tests.contract.frames import KEYS, NUMBERS
from tests.contract.lists import LIST_FRAMES, LIST_KEYS, LISTS, PIPED
from tests.contract.operators import OperatorContract

WHOLE = ("int", "small", "bool", "date", "time", "text")
TABLE = pl.DataFrame(
    {
        "small": [1, -128, 127, 3, None],
        "word": ["b", "a", "é", None, "東京"],
        "yes": [True, False, True, None, True],
        "whole": [1, None, 3, 4, 5],
        "real": [0.5, -1.0, None, float("nan"), 1e300],
    }
)
"""Another table, to join."""
FEATURES = pl.DataFrame(
    [(1, "x", 1.0), (1, "y", 2.0), (3, "y", -1.5), (5, "z", 0.25), (-128, "x", 3.0), (-128, "z", 1.0)],
    schema=["id", "feature", "weight"],
    orient="row",
)
WORDS = pl.DataFrame({"word": ["a", "b", "b", "é", "東京"], "feature": ["x", "x", "y", "z", "w"]})
"""Features of ids, to compare."""


class TestCategorify(OperatorContract, operator=Categorify(), takes=WHOLE): ...


class TestCategorifyRare(OperatorContract, operator=Categorify(freq_threshold=2, max_size=6), takes=WHOLE): ...


class TestCategorifyBuckets(OperatorContract, operator=Categorify(freq_threshold=2, num_buckets=3), takes=WHOLE): ...


class TestCategorifyByColumn(
    OperatorContract,
    operator=Categorify(freq_threshold={"int": 2}, max_size={"text": 5, "date": 4}, num_buckets={"text": 2}),
    takes=WHOLE,
): ...


class TestCategorifyJoint(
    OperatorContract, operator=Categorify(freq_threshold=2, num_buckets=2), takes=(["int", "small", "bool"], "text")
): ...


class TestCategorifyCombo(
    OperatorContract, operator=Categorify(encode_type="combo"), takes=(["int", "text"], ["small", "bool", "date"])
): ...


class TestCategorifyComboBuckets(
    OperatorContract,
    operator=Categorify(encode_type="combo", freq_threshold=2, num_buckets=3, name_sep="+"),
    takes=(["text", "bool"], "int", ["int", "text"]),
): ...


class TestCategorifyOneSpace(
    OperatorContract,
    operator=Categorify(single_table=True, num_buckets={"text": 2}, freq_threshold={"int": 2}, dtype="int64"),
    takes=(["int", "small"], "text", "bool"),
): ...


class TestCategorifyGiven(
    OperatorContract,
    operator=Categorify(vocabs={"text": ("a", "zz", "é"), "int": (3, -7)}, num_buckets={"text": 3}),
    takes=("text", "int", "small"),
): ...


class TestCategorifyLists(OperatorContract, operator=Categorify(), takes=LIST_KEYS, frames=LIST_FRAMES): ...


class TestCategorifyListsBuckets(
    OperatorContract,
    operator=Categorify(freq_threshold=2, num_buckets=3, dtype="int64", single_table=True),
    takes=(*LIST_KEYS, "text"),
    frames=LIST_FRAMES,
): ...


class TestCategorifyListsJoint(
    OperatorContract,
    operator=Categorify(num_buckets=2),
    takes=(["ints", "int", "bytes"], ["text", "texts"]),
    frames=LIST_FRAMES,
): ...


class TestHashBucketLists(
    OperatorContract,
    operator=HashBucket({"ints": 7, "texts": 5, "text": 3}),
    takes=("ints", "texts", "text"),
    frames=LIST_FRAMES,
): ...


class TestListColumns(OperatorContract, operator=ListColumns(3), takes=LISTS, frames=LIST_FRAMES): ...


class TestListSlice(OperatorContract, operator=ListSlice(2), takes=LISTS, frames=LIST_FRAMES): ...


class TestListSliceEnd(OperatorContract, operator=ListSlice(-2), takes=LISTS, frames=LIST_FRAMES): ...


class TestListSliceInner(OperatorContract, operator=ListSlice(1, -1), takes=LISTS, frames=LIST_FRAMES): ...


class TestListSlicePadded(
    OperatorContract,
    operator=ListSlice(1, 4, pad=True, pad_value=7),
    takes=("ints", "bytes", "floats"),
    frames=LIST_FRAMES,
): ...


class TestListSlicePaddedText(
    OperatorContract, operator=ListSlice(-3, pad=True, pad_value="?"), takes=("texts",), frames=LIST_FRAMES
): ...


class TestRenameLists(OperatorContract, operator=Rename(postfix="_l"), takes=LISTS, frames=LIST_FRAMES): ...


class TestTagLists(OperatorContract, operator=TagAsItemFeatures(), takes=(*LISTS, "int"), frames=LIST_FRAMES): ...


class TestValueCount(OperatorContract, operator=ValueCount(), takes=LISTS, frames=LIST_FRAMES): ...


class TestHashText(OperatorContract, operator=HashText(9), takes=("text",), frames=PIPED): ...


class TestHashTextColumns(OperatorContract, operator=HashText(9, max_values=3), takes=("text",), frames=PIPED): ...


class TestSplitText(OperatorContract, operator=SplitText(), takes=("text",), frames=PIPED): ...


class TestSplitTextColumns(OperatorContract, operator=SplitText(" ", max_values=2), takes=("text",), frames=PIPED): ...


class TestFillMissing(OperatorContract, operator=FillMissing(1), takes=NUMBERS): ...


class TestFillMissingFraction(OperatorContract, operator=FillMissing(0.25, add_binary_cols=True), takes=NUMBERS): ...


class TestFillMissingText(OperatorContract, operator=FillMissing("?", add_binary_cols=True), takes=("text",)): ...


class TestFillMedian(
    OperatorContract, operator=FillMedian(add_binary_cols=True), takes=NUMBERS, merge_error=1 / 256
): ...


class TestClip(OperatorContract, operator=Clip(min=-2, max=3.5), takes=NUMBERS): ...


class TestClipBelow(OperatorContract, operator=Clip(min_value=0), takes=NUMBERS): ...


class TestLogOp(OperatorContract, operator=LogOp(), takes=NUMBERS): ...


class TestNormalize(OperatorContract, operator=Normalize(), takes=NUMBERS): ...


class TestNormalizeMinMax(OperatorContract, operator=NormalizeMinMax(), takes=NUMBERS): ...


class TestBucketize(OperatorContract, operator=Bucketize([-1, 0, 0.5, 3]), takes=NUMBERS): ...


class TestHashBucket(OperatorContract, operator=HashBucket(7), takes=KEYS): ...


class TestRename(OperatorContract, operator=Rename(postfix="_again"), takes=(*NUMBERS, "text")): ...


class TestFormula(
    OperatorContract,
    operator=Formula("log(1 + int) / float - single ** 2 % 3", "made"),
    takes=("int", "float", "single"),
): ...


class TestFormulaLogic(
    OperatorContract,
    operator=Formula("where(0 < int and not bool, min(float, 2), fill_null(float, -1)) or small == 1", "made"),
    takes=("int", "bool", "float", "small"),
): ...


class TestFilter(
    OperatorContract,
    operator=Filter("(int > 0 or is_null(text)) and text not in ['b', 'é'] or starts_with(text, 'a') or float < 0"),
    takes=(*NUMBERS, "text"),
): ...


class TestFilterFunction(
    OperatorContract, operator=Filter(lambda df: df["int"] > 3), takes=("int", "text"), saved=False
): ...


class TestDropna(OperatorContract, operator=Dropna(), takes=("int", "float", "text")): ...


class TestFilterLists(OperatorContract, operator=Filter("int != 5"), takes=LISTS, frames=LIST_FRAMES): ...


class TestDropnaLists(OperatorContract, operator=Dropna(), takes=("floats", "texts"), frames=LIST_FRAMES): ...


class TestDropLowCardinalityLists(
    OperatorContract, operator=DropLowCardinality(), takes=(*LISTS, "int"), frames=LIST_FRAMES
): ...


class TestGroupby(
    OperatorContract,
    operator=Groupby(
        ["text", "bool"],
        sort_cols=["float"],
        aggs={
            "int": ["count", "nunique", "sum", "mean", "min", "max", "first", "last"],
            "single": ["sum", "std", "var", "min"],
            "date": ["first", "max"],
            "float": "last",
        },
    ),
    takes=("text", "bool", "int", "float", "single", "date"),
): ...


class TestGroupbyLists(
    OperatorContract,
    operator=Groupby("small", ["time", "int"], ["list", "first", "nunique", "median"], "-", ascending=False),
    takes=("small", "time", "int", "float"),
): ...


class TestLambdaOp(
    OperatorContract, operator=LambdaOp(lambda x: x.abs() + 1), takes=("float", "single"), saved=False
): ...


class TestTargetEncoding(OperatorContract, operator=TargetEncoding("bool"), takes=("int", "small", "date", "text")): ...


class TestTargetEncodingOfNumbers(
    OperatorContract,
    operator=TargetEncoding(["float", "int"], kfold=2, p_smooth=0, fold_seed=None, drop_folds=False),
    takes=("text", ["small", "bool"], ["date", "text", "time"]),
): ...


class TestTargetEncodingWithoutFolds(OperatorContract, operator=TargetEncoding("single", kfold=1), takes=("text",)): ...


class TestJoinGroupby(OperatorContract, operator=JoinGroupby(), takes=WHOLE): ...


class TestJoinGroupbyStatistics(
    OperatorContract,
    operator=JoinGroupby(["float", "int"], ["count", "sum", "mean", "std", "var", "min", "max"]),
    takes=("text", ["small", "bool"], ["bool", "text", "time"]),
): ...


class TestDifferenceLag(
    OperatorContract, operator=DifferenceLag("user", [1, 2]), takes=("at", "tick", "price"), frames=EVENTS
): ...


class TestDifferenceLagAhead(
    OperatorContract,
    operator=DifferenceLag(["user", "film"], -1, time="at", future=True),
    takes=("tick", "price"),
    frames=EVENTS,
): ...


class TestLag(
    OperatorContract, operator=Lag("user", [1, 3], time="at"), takes=("film", "tick", "price"), frames=EVENTS
): ...


class TestLagLate(
    OperatorContract,
    operator=Lag(["film", "liked"], delay="10s", time="tick", unit="s"),
    takes=("user", "at"),
    frames=EVENTS,
): ...


class TestSessionize(
    OperatorContract,
    operator=Sessionize("15m", ["id", "number", "position", "elapsed", "pause"], time="at"),
    takes=("user", ["film", "liked"]),
    frames=EVENTS,
): ...


class TestHistory(
    OperatorContract,
    operator=History(["count", "sum", "mean", "since_last", "since_first"], ["price", "liked"], time="at"),
    takes=("user", "film", ["user", "liked"]),
    frames=EVENTS,
): ...


class TestHistoryOfTarget(
    OperatorContract,
    operator=History(["rate", "count"], target="liked", delay="10m", time="tick", unit="s"),
    takes=("film", "user"),
    frames=EVENTS,
): ...


class TestRolling(
    OperatorContract,
    operator=Rolling(["count", "sum", "mean", "rate"], "price", "liked", window=["20m", 3600], time="at", delay=60),
    takes=("user", ["film", "user"]),
    frames=EVENTS,
): ...


class TestAddMetadata(
    OperatorContract, operator=AddMetadata(["context"], {"unit": "EUR", "of": [1, 2.5]}), takes=(*NUMBERS, "text")
): ...


class TestAddTags(OperatorContract, operator=AddTags(["continuous", "item"]), takes=NUMBERS): ...


class TestAddProperties(OperatorContract, operator=AddProperties({"a": None}), takes=(*NUMBERS, "text")): ...


class TestTagAsUserID(OperatorContract, operator=TagAsUserID(), takes=("int", "text")): ...


class TestTagAsItemID(OperatorContract, operator=TagAsItemID(), takes=("int", "text")): ...


class TestTagAsUserFeatures(OperatorContract, operator=TagAsUserFeatures(), takes=("int", "text")): ...


class TestTagAsItemFeatures(OperatorContract, operator=TagAsItemFeatures(), takes=("int", "text")): ...


class TestDropLowCardinality(OperatorContract, operator=DropLowCardinality(), takes=(*NUMBERS, "text")): ...


class TestHashedCross(
    OperatorContract, operator=HashedCross(7), takes=(["int", "text"], ["text", "small", "time"])
): ...


class TestReduceDtypeSize(OperatorContract, operator=ReduceDtypeSize(), takes=(*NUMBERS, "text")): ...


class TestJoinExternal(OperatorContract, operator=JoinExternal(TABLE, on="small"), takes=("small", "float")): ...


class TestJoinExternalInner(
    OperatorContract,
    operator=JoinExternal(TABLE, ["text", "bool"], "inner", ["word", "yes"], ["whole", "real", "word"], keep_on=False),
    takes=("text", "bool"),
): ...


class TestTimeFeatures(
    OperatorContract,
    operator=TimeFeatures(
        [
            "hour",
            "minute",
            "weekday",
            "is_weekend",
            "day",
            "day_of_year",
            "week",
            "month",
            "quarter",
            "year",
            "recency",
        ],
        unit="us",
    ),
    takes=("date", "time", "int"),
): ...


class TestTimeFeaturesCyclic(
    OperatorContract,
    operator=TimeFeatures("recency", ["hour", "weekday", "day_of_year"], "2026-01-01T12:30", -3.5, "ns"),
    takes=("int", "small"),
): ...


class TestDataStats(OperatorContract, operator=DataStats(), takes=(*NUMBERS, "text")): ...


class TestColumnSimilarity(
    OperatorContract, operator=ColumnSimilarity(FEATURES, WORDS), takes=(["small", "text"], ["int", "text"])
): ...


class TestColumnSimilarityOfOne(
    OperatorContract, operator=ColumnSimilarity(FEATURES, metric="inner"), takes=(["small", "int"],)
): ...


def test_every_operator_of_the_registry_is_here():
    here = {type(case.operator) for case in OperatorContract.__subclasses__()}
    assert here >= set(OPERATORS.values())


def test_kinds_are_those_of_the_classes():
    assert all(chosen.kind == kind for kind, chosen in OPERATORS.items())
