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
from etl.ops import Categorify, FillMedian, FillMissing, HashBucket, LogOp, Normalize, NormalizeMinMax
from tests.etl.nvtabular.peer import Peer


def ours(columns: list[str], operator: Any, rows: pl.DataFrame, later: pl.DataFrame | None = None) -> pl.DataFrame:
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
    "categorify: ties": ties,
    "categorify: unknown values in buckets": unknown_buckets,
    "categorify: freq_threshold with max_size": threshold_and_size,
    "categorify: a part without values": empty_part,
    "categorify: first null after the fit": later_nulls,
    "categorify: integers above 2^53 beside nulls": large_integers,
    "categorify: fractions": fractions_as_categories,
    "categorify: empty strings": empty_string,
    "hash_bucket": hash_of_the_row,
    "log: x = -1": logarithm_of_zero,
    "log: float32": logarithm_in_float32,
    "fill_median: several parts": median_of_parts,
    "normalize: infinite values": infinite_moments,
    "normalize_min_max: a constant column": constant_between_extremes,
}
"""Name in the table of docs/nvtabular.md -> what shows it."""
