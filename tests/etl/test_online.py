"""An online caller gets what a transform gives."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from unittest.mock import patch

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from core.errors import UserError
from etl import Workflow
from etl.ops import Bucketize, Categorify, FillMedian, FillMissing, HashBucket, LogOp, Normalize, Rename

ROWS = 5_000
FRAME = pl.DataFrame(
    {
        "id": [None if n % 7 == 0 else (n * n) % 997 for n in range(ROWS)],
        "name": [None if n % 5 == 0 else f"n{(n * 31) % 3001}" for n in range(ROWS)],
        "city": ["Oslo", "Rome", "Lima", None, ""] * (ROWS // 5),
        "x": [None if n % 11 == 0 else n / 7 for n in range(ROWS)],
        "further": range(ROWS),
    }
)
WORKFLOW = Workflow(
    ["id", "name", "city"] >> Categorify(num_buckets=3),
    ["city"] >> HashBucket(10) >> Rename(postfix="_hash"),
    ["x"] >> FillMedian() >> LogOp() >> Normalize() >> Rename(postfix="_log"),
    ["x"] >> FillMissing(0) >> Bucketize({"x": [1.0, 50.0]}),
)


@pytest.fixture(scope="module")
def fitted():
    return WORKFLOW.fit(FRAME[:4000])


@pytest.mark.parametrize("rows", [0, 1, 2, 1000, ROWS])
def test_the_same_as_a_transform(fitted, rows):
    online = fitted.online()
    for start in (0, 17, 3999):
        part = FRAME.slice(start, rows)
        assert_frame_equal(online.apply(part), fitted.transform(part).collect(), check_exact=True)


def test_some_outputs_and_kept_columns(fitted):
    made = fitted.online(["name"], keep=["further"]).apply(FRAME.select("further", "name"))
    assert_frame_equal(made, fitted.transform(FRAME, ["name"], keep=["further"]).collect())


def test_types_may_change_from_call_to_call(fitted):
    online = fitted.online(["id"])
    expected = online.apply(FRAME)
    with patch("etl.online.MOST", 2):
        for dtype in [pl.Int32, pl.UInt16, pl.Int16, pl.Int32, pl.UInt64]:
            assert_frame_equal(online.apply(FRAME.with_columns(pl.col("id").cast(dtype))), expected)
        assert len(online._queries) == 2


def test_a_missing_column_is_named(fitted):
    with pytest.raises(UserError, match="column city"):
        fitted.online().apply(FRAME.drop("city"))


def test_threads_get_their_own_rows(fitted):
    online = fitted.online()
    parts = [FRAME.slice(start, 50) for start in range(0, ROWS, 50)]
    with ThreadPoolExecutor(8) as pool:
        made = pl.concat(pool.map(online.apply, parts))
    assert_frame_equal(made, fitted.transform(FRAME).collect())
