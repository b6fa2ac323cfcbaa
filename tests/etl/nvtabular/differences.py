"""Where the real NVTabular 23.8 does other than we do, shown on small rows; docs/nvtabular.md has a line for each.

A function shows one difference and asserts both sides.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import polars as pl
import pytest

from core.errors import UserError
from etl import Workflow
from etl.ops import (
    Categorify,
    DifferenceLag,
    DropLowCardinality,
    Dropna,
    FillMedian,
    FillMissing,
    Groupby,
    HashBucket,
    HashedCross,
    JoinExternal,
    JoinGroupby,
    ListSlice,
    LogOp,
    Normalize,
    NormalizeMinMax,
    ReduceDtypeSize,
    TargetEncoding,
)
from tests.etl.nvtabular.peer import Peer


def ours(columns: Any, operator: Any, rows: pl.DataFrame, later: pl.DataFrame | None = None) -> pl.DataFrame:
    """What we make of rows."""
    return Workflow(columns >> operator).fit(rows).transform(rows if later is None else later).collect()


def fails(call: Callable[[], Any], *words: str) -> None:
    """Check that NVTabular raises, with these words in the error or in what it came from."""
    with pytest.raises(Exception) as caught:  # noqa: PT011 - pandas, dask and NVTabular each have their own
        call()
    told = f"{caught.value!r} {caught.value.__cause__!r}"
    for word in words:
        assert word in told


def ties(peer: Peer) -> None:
    rows = pl.DataFrame({"c": [f"v{(number * 7919) % 500:03}" for number in range(2000)]})
    theirs = peer.both(["c"] >> peer.ops.Categorify(), rows)["c"]
    made = ours(["c"], Categorify(), rows)["c"]
    assert sorted(theirs) == sorted(made)
    assert theirs.to_list() != made.to_list()
    by_value = rows.with_columns(id=made).unique().sort("c")["id"]
    assert by_value.is_sorted()


def unknown_buckets(peer: Peer) -> None:
    rows, later = pl.DataFrame({"c": ["a", "b"]}), pl.DataFrame({"c": ["new"] * 12})
    workflow = peer.fit(["c"] >> peer.ops.Categorify(num_buckets=5, freq_threshold=1), rows)
    assert peer.apply(workflow, later)["c"].n_unique() > 1
    assert ours(["c"], Categorify(num_buckets=5), rows, later)["c"].n_unique() == 1


def threshold_and_size(peer: Peer) -> None:
    fails(lambda: peer.ops.Categorify(freq_threshold=2, max_size=5), "freq_threshold", "max_size")
    rows = pl.DataFrame({"c": list("aaabbbccd")})
    assert ours(["c"], Categorify(freq_threshold=2, max_size=5), rows)["c"].to_list() == [3] * 3 + [4] * 3 + [2] * 3


def empty_part(peer: Peer) -> None:
    rows = pl.DataFrame({"c": [None] * 3 + ["a"] * 3})
    fails(lambda: peer.both(["c"] >> peer.ops.Categorify(), rows, parts=2), "column c", "IndexError")
    assert ours(["c"], Categorify(), rows)["c"].to_list() == [1] * 3 + [3] * 3


def later_nulls(peer: Peer) -> None:
    rows, later = pl.DataFrame({"i": [1, 2, 2]}), pl.DataFrame({"i": [1, None]})
    workflow = peer.fit(["i"] >> peer.ops.Categorify(), rows)
    fails(lambda: peer.apply(workflow, later), "column i", "non-finite")
    assert ours(["i"], Categorify(), rows, later)["i"].to_list() == [4, 1]


def large_integers(peer: Peer) -> None:
    rows = pl.DataFrame({"i": [2**60, 2**60 + 1, None, 2**60 + 1]})
    assert peer.both(["i"] >> peer.ops.Categorify(), rows)["i"].to_list() == [3, 3, 1, 3]
    assert ours(["i"], Categorify(), rows)["i"].to_list() == [4, 3, 1, 3]


def fractions_as_categories(peer: Peer) -> None:
    rows = pl.DataFrame({"x": [0.5, 0.5, 1.5]})
    assert peer.both(["x"] >> peer.ops.Categorify(), rows)["x"].to_list() == [3, 3, 4]
    with pytest.raises(UserError, match="whole numbers"):
        ours(["x"], Categorify(), rows)


def empty_string(peer: Peer) -> None:
    rows = pl.DataFrame({"s": ["", None, "a", ""]})
    assert peer.both(["s"] >> peer.ops.Categorify(), rows)["s"].to_list() == [3, 1, 4, 3]
    assert ours(["s"], Categorify(), rows)["s"].to_list() == [1, 1, 3, 1]


def hash_of_the_row(peer: Peer) -> None:
    rows = pl.DataFrame({"s": ["a"] * 12})
    assert peer.both(["s"] >> peer.ops.HashBucket(10), rows)["s"].n_unique() > 1
    assert ours(["s"], HashBucket(10), rows)["s"].n_unique() == 1


def logarithm_of_zero(peer: Peer) -> None:
    rows = pl.DataFrame({"x": [-1.0, -2.0, 0.0]})
    assert peer.both(["x"] >> peer.ops.LogOp(), rows)["x"].fill_nan(None).to_list() == [-float("inf"), None, 0.0]
    assert ours(["x"], LogOp(), rows)["x"].to_list() == [None, None, 0.0]


def logarithm_in_float32(peer: Peer) -> None:
    """Two numbers that float64 tells apart and float32 doesn't; normalize makes the loss visible."""
    rows = pl.DataFrame({"x": [2.0**24, 2.0**24 + 1, 2.0**24 + 3]})
    theirs = peer.both(["x"] >> peer.ops.LogOp(), rows)["x"]
    chain = ["x"] >> LogOp() >> NormalizeMinMax()
    made = Workflow(chain).fit(rows).transform(rows).collect()["x"]
    assert theirs.n_unique() < 3
    assert made.to_list() == pytest.approx([0.0, 1 / 3, 1.0], abs=1e-4)


def median_of_parts(peer: Peer) -> None:
    rows = pl.DataFrame({"x": [*(float(n) for n in range(99)), None, *(float(n * n) for n in range(100))]})
    node = ["x"] >> peer.ops.FillMedian()
    assert peer.both(node, rows, parts=1)["x"][99] == 89.0
    assert peer.both(node, rows, parts=2)["x"][99] == 98.0
    assert ours(["x"], FillMedian(), rows)["x"][99] == rows["x"].median() == 89.0


def constant_between_extremes(peer: Peer) -> None:
    rows = pl.DataFrame({"x": [3.0, 3.0], "zero": [0.0, 0.0]})
    theirs = peer.both(["x", "zero"] >> peer.ops.NormalizeMinMax(), rows)
    assert theirs.fill_nan(None).row(0) == (0.5, None)
    assert ours(["x", "zero"], NormalizeMinMax(), rows).row(0) == (0.0, 0.0)


def infinite_moments(peer: Peer) -> None:
    rows = pl.DataFrame({"x": [1.0, 2.0, float("inf")]})
    theirs = peer.both(["x"] >> peer.ops.Normalize(), rows)["x"].fill_nan(None).to_list()
    assert theirs == [-float("inf"), -float("inf"), None]
    with pytest.raises(UserError, match="infinite"):
        ours(["x"], Normalize(), rows)


def nothing_to_learn_from(peer: Peer) -> None:
    rows = pl.DataFrame({"x": [None, None]}, schema={"x": pl.Float64})
    assert peer.both(["x"] >> peer.ops.Normalize(), rows)["x"].fill_nan(None).null_count() == 2
    with pytest.raises(UserError, match="holds no value"):
        ours(["x"], Normalize(), rows)


def lists_of_numbers(peer: Peer) -> None:
    rows = pl.DataFrame({"l": [[0.0, 2.0], [4.0]]})
    assert peer.both(["l"] >> peer.ops.Normalize(), rows)["l"].to_list() == [[-1.0, 0.0], [1.0]]
    with pytest.raises(UserError, match="takes single values"):
        ours(["l"], Normalize(), rows)


def null_lists(peer: Peer) -> None:
    rows = pl.DataFrame({"l": [["a", "b"], None, ["a"]]})
    for theirs in (peer.ops.Categorify(), peer.ops.ListSlice(1), peer.ops.ValueCount()):
        fails(lambda theirs=theirs: peer.both(["l"] >> theirs, rows), "NoneType")
    assert ours(["l"], Categorify(), rows)["l"].to_list() == [[3, 4], [], [3]]
    assert ours(["l"], ListSlice(1), rows)["l"].to_list() == [["a"], [], ["a"]]


def null_in_a_list(peer: Peer) -> None:
    rows = pl.DataFrame({"l": [["a", None], ["a"]]})
    assert peer.both(["l"] >> peer.ops.Categorify(), rows)["l"].to_list() == [[3, 2], [3]]
    assert ours(["l"], Categorify(), rows)["l"].to_list() == [[3, 1], [3]]


def one_table_for_all(peer: Peer) -> None:
    """The ids of the second column begin where the number of values, not of ids, of the first ends."""
    rows = pl.DataFrame({"a": ["x", "y", "x", None], "b": [1, 1, 2, 2]})
    theirs = peer.both(["a", "b"] >> peer.ops.Categorify(single_table=True), rows)
    assert theirs["a"].to_list() == [3, 4, 3, 3], "null has the id of a value"
    made = ours(["a", "b"], Categorify(single_table=True), rows)
    assert made["a"].to_list() == [3, 4, 3, 1]
    assert set(made["a"]).isdisjoint(made["b"])


def hash_of_lists(peer: Peer) -> None:
    rows = pl.DataFrame({"l": [[1, 2], [1]]})
    fails(lambda: peer.both(["l"] >> peer.ops.HashBucket(10), rows), "unhashable")
    made = ours(["l"], HashBucket(10), rows)["l"].to_list()
    assert made[0][0] == made[1][0]


def cross_of_the_row(peer: Peer) -> None:
    rows = pl.DataFrame({"a": [1] * 12, "b": [2] * 12})
    assert peer.both(["a", "b"] >> peer.ops.HashedCross(50), rows)["a_X_b"].n_unique() > 1
    assert ours(["a", "b"], HashedCross(50), rows)["a_X_b"].n_unique() == 1


def key_without_value(peer: Peer) -> None:
    rows = pl.DataFrame({"k": ["a", "a", None], "x": [1.0, 3.0, 4.0]})
    theirs = peer.both(["k"] >> peer.ops.JoinGroupby(cont_cols=["x"], stats=["count", "mean"]), rows)
    assert theirs.row(2) == (0, float("inf"))
    assert ours(["k"], JoinGroupby("x", ["count", "mean"]), rows).row(2) == (1.0, 4.0)


def number_without_value(peer: Peer) -> None:
    rows = pl.DataFrame({"k": ["a", "a", "a"], "x": [1.0, None, 3.0]})
    theirs = peer.both(["k"] >> peer.ops.JoinGroupby(cont_cols=["x"], stats=["mean"]), rows)
    assert theirs["k_x_mean"][0] == pytest.approx(4 / 3)
    assert ours(["k"], JoinGroupby("x", ["mean"]), rows)["k_x_mean"][0] == 2.0


def key_that_was_not_seen(peer: Peer) -> None:
    rows = pl.DataFrame({"k": ["a", "a", "b"], "x": [1.0, 2.0, 3.0]})
    later = pl.DataFrame({"k": ["a", "new"], "x": [1.0, 1.0]})
    workflow = peer.fit(["k"] >> peer.ops.JoinGroupby(cont_cols=["x"], stats=["count"]), rows)
    fails(lambda: peer.apply(workflow, later), "non-finite")
    assert ours(["k"], JoinGroupby("x"), rows, later)["k_count"].to_list() == [2.0, 0.0]


def counts_alone(peer: Peer) -> None:
    rows = pl.DataFrame({"k": ["a", "a", "b"]})
    fails(lambda: peer.both(["k"] >> peer.ops.JoinGroupby(stats=["count"]), rows), "AttributeError")
    assert ours(["k"], JoinGroupby(), rows)["k_count"].to_list() == [2.0, 2.0, 1.0]


def alone_and_in_a_group(peer: Peer) -> None:
    rows = pl.DataFrame({"k": ["a", "a", "b"], "m": [1, 2, 2], "x": [1.0, 2.0, 3.0]})
    keys = [["k", "m"], "k"]
    fails(lambda: peer.both(keys >> peer.ops.JoinGroupby(cont_cols=["x"], stats=["sum"]), rows), "KeyError", "k_m")
    assert ours(keys, JoinGroupby("x", ["sum"]), rows)["k_x_sum"].to_list() == [3.0, 3.0, 3.0]


def joined_by_another_separator(peer: Peer) -> None:
    rows = pl.DataFrame({"k": ["a", "a", "b"], "x": [1.0, 2.0, 3.0]})
    theirs = peer.ops.JoinGroupby(cont_cols=["x"], stats=["sum"], name_sep="-")
    fails(lambda: peer.both(["k"] >> theirs, rows), "k_x_sum")
    assert ours(["k"], JoinGroupby("x", ["sum"], name_sep="-"), rows).columns == ["k-x-sum"]


def extremes_alone(peer: Peer) -> None:
    rows = pl.DataFrame({"k": ["a", "a", "b"], "x": [1.0, 2.0, 3.0]})
    fails(lambda: peer.both(["k"] >> peer.ops.JoinGroupby(cont_cols=["x"], stats=["max"]), rows), "KeyError")
    assert ours(["k"], JoinGroupby("x", ["max"]), rows)["k_x_max"].to_list() == [2.0, 2.0, 3.0]


def deviation_of_equal_numbers(peer: Peer) -> None:
    rows = pl.DataFrame({"k": ["a"] * 3, "x": [0.1] * 3})
    theirs = peer.both(["k"] >> peer.ops.JoinGroupby(cont_cols=["x"], stats=["std"]), rows)
    assert theirs["k_x_std"].fill_nan(None).fill_null(1e-9).to_list() != [0.0] * 3
    assert ours(["k"], JoinGroupby("x", ["std"]), rows)["k_x_std"].to_list() == [0.0] * 3


CLICKS = pl.DataFrame({"k": [*"abababab"], "y": [1, 0, 1, 1, 0, 0, 1, 0]})


def folds(peer: Peer) -> None:
    theirs = peer.both(["k"] >> peer.ops.TargetEncoding("y", p_smooth=1), CLICKS)["TE_k_y"].to_list()
    node = ["k"] >> TargetEncoding("y", p_smooth=1)
    _, made = Workflow(node).fit_transform(CLICKS)
    assert made.collect()["TE_k_y"].to_list() != pytest.approx(theirs)
    # Both leave a row's own fold out: each value is that of the key without some of its rows.
    assert len(set(theirs)) > 2
    assert made.collect()["TE_k_y"].n_unique() > 2


def target_encoding_of_new_rows(peer: Peer) -> None:
    """The same key gives one value for a new row here; there it depends on where the row stands."""
    later = pl.DataFrame({"k": ["a"] * 8, "y": [0] * 8})
    workflow = peer.fit(["k"] >> peer.ops.TargetEncoding("y", p_smooth=1), CLICKS)
    assert peer.apply(workflow, later)["TE_k_y"].n_unique() > 1
    made = ours(["k"], TargetEncoding("y", p_smooth=1), CLICKS, later)["TE_k_y"]
    assert made.to_list() == pytest.approx([(3 + 0.5) / (4 + 1)] * 8)


def target_at_inference(peer: Peer) -> None:
    workflow = peer.fit(["k"] >> peer.ops.TargetEncoding("y"), CLICKS)
    fails(lambda: peer.apply(workflow, CLICKS.select("k")), "y")
    assert ours(["k"], TargetEncoding("y"), CLICKS, CLICKS.select("k")).height == 8


def given_mean(peer: Peer) -> None:
    theirs = peer.ops.TargetEncoding("y", target_mean=0.5, kfold=1)
    fails(lambda: peer.both(["k"] >> theirs, CLICKS), "AttributeError")
    made = ours(["k"], TargetEncoding("y", target_mean=0.5, kfold=1), CLICKS)["TE_k_y"][0]
    assert made == pytest.approx((3 + 20 * 0.5) / (4 + 20))


def names_of_encodings(peer: Peer) -> None:
    fails(lambda: peer.both(["k"] >> peer.ops.TargetEncoding("y", out_col="z", kfold=1), CLICKS), "TE_k_y")
    assert ours(["k"], TargetEncoding("y", out_col="z", kfold=1), CLICKS).columns == ["z"]


def key_without_value_encoded(peer: Peer) -> None:
    rows = pl.DataFrame({"k": ["a", "a", None, None], "y": [1, 1, 0, 1]})
    theirs = peer.both(["k"] >> peer.ops.TargetEncoding("y", kfold=1, p_smooth=1), rows)["TE_k_y"][2]
    assert theirs == pytest.approx((1 + 0.75) / (0 + 1)), "the rows without a key count as none"
    made = ours(["k"], TargetEncoding("y", kfold=1, p_smooth=1), rows)["TE_k_y"][2]
    assert made == pytest.approx((1 + 0.75) / (2 + 1))


def rows_without_a_target(peer: Peer) -> None:
    rows = pl.DataFrame({"k": ["a", "a", "a"], "y": [1.0, None, 0.0]})
    theirs = peer.both(["k"] >> peer.ops.TargetEncoding("y", kfold=1, p_smooth=1), rows)["TE_k_y"][0]
    assert theirs == pytest.approx((1 + 0.5) / (3 + 1))
    made = ours(["k"], TargetEncoding("y", kfold=1, p_smooth=1), rows)["TE_k_y"][0]
    assert made == pytest.approx((1 + 0.5) / (2 + 1))


def rows_in_any_order(peer: Peer) -> None:
    rows = pl.DataFrame({"u": [1, 2, 1, 2], "t": [10, 5, 15, 9]})
    theirs = peer.both(["t"] >> peer.ops.DifferenceLag(["u"]), rows)
    assert theirs.to_series().fill_nan(None).null_count() == 4
    assert ours(["t"], DifferenceLag("u"), rows).to_series().to_list() == [None, None, 5.0, 4.0]


def difference_across_parts(peer: Peer) -> None:
    rows = pl.DataFrame({"u": [1, 1, 1, 1], "t": [1, 2, 5, 6]})
    theirs = peer.both(["t"] >> peer.ops.DifferenceLag(["u"]), rows, parts=2)
    assert theirs.to_series().fill_nan(None).to_list() == [None, 1.0, None, 1.0]
    assert ours(["t"], DifferenceLag("u"), rows).to_series().to_list() == [None, 1.0, 3.0, 1.0]


def groups_across_parts(peer: Peer) -> None:
    rows = pl.DataFrame({"k": [1, 2, 1, 2], "v": [1.0, 2.0, 3.0, 4.0]})
    theirs = peer.both(["k", "v"] >> peer.ops.Groupby(groupby_cols=["k"], aggs={"v": ["sum"]}), rows, parts=2)
    assert theirs["v_sum"].to_list() == [1.0, 2.0, 3.0, 4.0]
    assert ours(["k", "v"], Groupby("k", aggs={"v": ["sum"]}), rows)["v_sum"].to_list() == [4.0, 6.0]


def empty_string_dropped(peer: Peer) -> None:
    rows = pl.DataFrame({"s": ["", "a", None]})
    assert peer.both(["s"] >> peer.ops.Dropna(), rows)["s"].to_list() == ["", "a"]
    assert ours(["s"], Dropna(), rows)["s"].to_list() == ["a"]


def columns_of_the_other_table(peer: Peer) -> None:
    table = pl.DataFrame({"k": ["a", "b"], "z": [1, 2]})
    rows = pl.DataFrame({"k": ["a", "c"]})
    operator = JoinExternal(table, on="k", columns_ext=["z"])
    fails(lambda: peer.both(["k"] >> operator.nvtabular([]), rows), "KeyError", "k")
    assert ours(["k"], operator, rows).rows() == [("a", 1), ("c", None)]


def padding(peer: Peer) -> None:
    rows = pl.DataFrame({"l": [[1, 2, 3], [4]]})
    assert peer.both(["l"] >> peer.ops.ListSlice(2, pad=True), rows)["l"].to_list() == [[1, 2], [4]]
    assert ours(["l"], ListSlice(2, pad=True), rows)["l"].to_list() == [[1, 2], [4, 0]]


def slice_without_the_last(peer: Peer) -> None:
    rows = pl.DataFrame({"l": [[1, 2, 3], [4]]})
    fails(lambda: peer.both(["l"] >> peer.ops.ListSlice(0, -1), rows), "maximum size")
    assert ours(["l"], ListSlice(0, -1), rows)["l"].to_list() == [[1, 2], []]


def cardinality_of_what_is_none(peer: Peer) -> None:
    rows = pl.DataFrame({"k": ["a", "b"]})
    fails(lambda: peer.both(["k"] >> peer.ops.DropLowCardinality(), rows), "TypeError")
    assert ours(["k"], DropLowCardinality(), rows).columns == ["k"]


def later_value_too_large(peer: Peer) -> None:
    rows, later = pl.DataFrame({"n": [1, 100]}), pl.DataFrame({"n": [100, 1000]})
    workflow = peer.fit(["n"] >> peer.ops.ReduceDtypeSize(), rows)
    assert peer.apply(workflow, later)["n"].to_list() == [100, -24]
    assert ours(["n"], ReduceDtypeSize(), rows, later)["n"].to_list() == [100, None]


def types_of_outputs(peer: Peer) -> None:
    rows = pl.DataFrame({"x": [1.0, None, 2.0], "c": ["a", "b", None], "n": [1.0, 2.0, 3.0]})
    ops = peer.ops
    node = (["x"] >> ops.FillMissing(add_binary_cols=True)) + (["c"] >> ops.Categorify()) + (["n"] >> ops.Normalize())
    theirs = peer.both(node, rows).select("x", "x_filled", "c", "n")
    assert theirs.dtypes == [pl.Float64, pl.Boolean, pl.Int64, pl.Float64]
    mine = (["x"] >> FillMissing(add_binary_cols=True)) + (["c"] >> Categorify()) + (["n"] >> Normalize())
    made = Workflow(mine).fit(rows).transform(rows).collect().select(theirs.columns)
    assert made.dtypes == [pl.Float32, pl.Float32, pl.Int32, pl.Float32]
    for name in theirs.columns:
        assert made[name].to_list() == pytest.approx(theirs[name].cast(pl.Float64).to_list())


DIFFERENCES: dict[str, Callable[[Peer], None]] = {
    "types of outputs": types_of_outputs,
    "nothing to learn from": nothing_to_learn_from,
    "null lists": null_lists,
    "lists in log and normalize": lists_of_numbers,
    "categorify: ties": ties,
    "categorify: unknown values in buckets": unknown_buckets,
    "categorify: freq_threshold with max_size": threshold_and_size,
    "categorify: a part without values": empty_part,
    "categorify: first null after the fit": later_nulls,
    "categorify: integers above 2^53 beside nulls": large_integers,
    "categorify: fractions": fractions_as_categories,
    "categorify: empty strings": empty_string,
    "categorify: null in a list": null_in_a_list,
    "categorify: single_table": one_table_for_all,
    "hash_bucket: equal values": hash_of_the_row,
    "hash_bucket: lists": hash_of_lists,
    "hashed_cross: equal values": cross_of_the_row,
    "log: x = -1": logarithm_of_zero,
    "log: float32": logarithm_in_float32,
    "fill_median: several parts": median_of_parts,
    "normalize: infinite values": infinite_moments,
    "normalize_min_max: a constant column": constant_between_extremes,
    "join_groupby: rows without a key": key_without_value,
    "join_groupby: numbers without a value": number_without_value,
    "join_groupby: a key that was not seen": key_that_was_not_seen,
    "join_groupby: no cont_cols": counts_alone,
    "join_groupby: a column alone and in a group": alone_and_in_a_group,
    "join_groupby: another name_sep": joined_by_another_separator,
    "join_groupby: min and max alone": extremes_alone,
    "join_groupby: deviation of equal numbers": deviation_of_equal_numbers,
    "target_encoding: folds": folds,
    "target_encoding: new rows": target_encoding_of_new_rows,
    "target_encoding: target at inference": target_at_inference,
    "target_encoding: target_mean": given_mean,
    "target_encoding: out_col": names_of_encodings,
    "target_encoding: rows without a key": key_without_value_encoded,
    "target_encoding: rows without a target": rows_without_a_target,
    "difference_lag: order of rows": rows_in_any_order,
    "difference_lag: several parts": difference_across_parts,
    "groupby: several parts": groups_across_parts,
    "dropna: empty strings": empty_string_dropped,
    "join_external: columns_ext without the key": columns_of_the_other_table,
    "list_slice: pad": padding,
    "list_slice: all but the last": slice_without_the_last,
    "drop_low_cardinality: other columns": cardinality_of_what_is_none,
    "reduce_dtype_size: a later value": later_value_too_large,
}
"""Name in the table of docs/nvtabular.md -> what shows it."""
