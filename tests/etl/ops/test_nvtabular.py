"""Every operator against the NVTabular operator that it says it is, run by the real package.

Runs in the environment of requirements/nvtabular.txt (with pytest and pytest-timeout); skipped elsewhere. Left out is
what NVTabular gets wrong on the CPU: hashes, whose buckets depend there on the number of the row, and constants in
NormalizeMinMax.
"""

from __future__ import annotations

import importlib.util
from typing import Any

import polars as pl
import pytest

from etl.ops import (
    Bucketize,
    Categorify,
    Clip,
    FillMedian,
    FillMissing,
    LogOp,
    Normalize,
    NormalizeMinMax,
    Rename,
)
from etl.workflow import Workflow

pytestmark = [
    pytest.mark.nvtabular,
    pytest.mark.skipif(importlib.util.find_spec("nvtabular") is None, reason="the package nvtabular is not installed"),
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

CASES = [
    (FillMissing(2), ["x", "i"]),
    (FillMissing(2, add_binary_cols=True), ["x"]),
    (FillMedian(), ["x"]),
    (FillMedian(add_binary_cols=True), ["x"]),
    (Clip(min=0, max=4), ["x", "y"]),
    (LogOp(), ["x", "y"]),
    (Normalize(), ["y", "i"]),
    (NormalizeMinMax(), ["y", "i"]),
    (Bucketize([0, 2, 3]), ["x", "y"]),
    (Categorify(), ["s", "i"]),
    (Categorify(freq_threshold=2), ["s", "i"]),
    (Categorify(max_size=4), ["s", "i"]),
    (Rename(postfix="_p"), ["x", "i"]),
    (Rename(name="q"), ["x"]),
]


@pytest.mark.parametrize(("operator", "columns"), CASES, ids=[repr(operator) for operator, _ in CASES])
def test_same_as_the_real_one(operator, columns, tmp_path, monkeypatch):
    import nvtabular

    # Its Categorify writes into the current directory.
    monkeypatch.chdir(tmp_path)
    fitted = Workflow(columns >> operator).fit(FRAME)
    theirs = nvtabular.Workflow(columns >> operator.nvtabular(fitted.input_schema.columns))
    theirs.fit(dataset(FRAME))
    for frame in (FRAME, LATER):
        expected = theirs.transform(dataset(frame)).to_ddf().compute()
        made = fitted.transform(frame).collect()
        assert made.columns == list(expected.columns)
        for name in made.columns:
            assert plain(made[name].to_list()) == pytest.approx(plain(expected[name].tolist()), rel=1e-6, abs=1e-7)


def dataset(frame: pl.DataFrame) -> Any:
    import nvtabular
    import pandas as pd

    return nvtabular.Dataset(pd.DataFrame(frame.to_dict(as_series=False)))


def plain(values: list[Any]) -> list[float]:
    """Null and NaN as one number that no column holds."""
    return [-1e30 if value is None or value != value else float(value) for value in values]  # noqa: PLR0124
