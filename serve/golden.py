"""Golden rows: raw rows with what the trained torch models gave for them, through Polars and not through ONNX."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
import polars as pl
import torch

from serve.bundle import SCORE, SCORES, VECTOR, column_of
from serve.signature import Array
from train.batch import Batch, Features
from train.read import jagged

if TYPE_CHECKING:
    from torch import nn

    from serve.met import Met
    from serve.query import Query

ROWS = 8192
"""Rows that one forward pass takes: bounds the memory."""
ROOM = 1 << 22
"""Numbers that the scores of all items may take: 16 MiB."""


class FrameTransform(Protocol):
    """What the golden rows need of a fitted workflow (`etl.workflow.Fitted`)."""

    def transform(
        self, frame: pl.LazyFrame, columns: Sequence[str] | None = None, keep: Sequence[str] = ()
    ) -> pl.LazyFrame:
        """The workflow's outputs for raw rows, in their order."""
        ...


def batch_of(frame: pl.DataFrame, features: Features) -> Batch:
    """Transformed columns as a batch.

    Example:
        >>> frame = pl.DataFrame({"id": [1, 2], "x": [0.5, 1.0]})
        >>> batch_of(frame, Features(("id",), (3,), ("x",))).ids_BF.tolist()
        [[1], [2]]
    """
    ids = frame.select(features.categorical).to_numpy().astype(np.int64).reshape(len(frame), -1)
    dense = frame.select(features.continuous).to_numpy().astype(np.float32).reshape(len(frame), -1)
    lists = {one.name: jagged(frame[one.name].to_arrow(), one, "golden rows") for one in features.lists}
    return Batch(torch.from_numpy(ids), torch.from_numpy(dense), lists=lists)


def run_module(module: nn.Module, frame: pl.DataFrame, features: Features, *, sigmoid: bool = False) -> Array:
    """What a module gives for transformed rows: float32 [rows] or [rows, width]."""
    outputs: list[Array] = []
    with torch.inference_mode():
        for start in range(0, len(frame), ROWS):
            out = module(batch_of(frame.slice(start, ROWS), features))
            outputs.append((torch.sigmoid(out) if sigmoid else out).numpy())
    return np.concatenate(outputs) if outputs else np.zeros(0, np.float32)


def with_scores(
    golden: pl.DataFrame,
    raw: pl.DataFrame,
    transform: FrameTransform,
    module: nn.Module,
    features: Features,
    *,
    met: Met | None = None,
    beside: Sequence[str] = (),
) -> pl.DataFrame:
    """Add the ranker's scores for the raw rows; outputs `beside` the score are further columns of what it gives."""
    more = met.columns(raw) if met else []
    own = [name for name in features.names if name not in {column.name for column in more}]
    outputs = transform.transform(raw.lazy(), columns=own).collect().hstack(more)
    scores = run_module(module, outputs, features, sigmoid=not beside)
    columns = [SCORE, *map(column_of, beside)]
    named = zip(columns, scores.reshape(-1, len(columns)).T, strict=True)
    return golden.with_columns(pl.Series(name, part, dtype=pl.Float32) for name, part in named)


def with_answers(golden: pl.DataFrame, raw: pl.DataFrame, transform: FrameTransform, query: Query) -> pl.DataFrame:
    """Add the query vectors for the raw rows; or the scores of all items, for as many rows as there is room for."""
    own = transform.transform(raw.lazy(), columns=query.own).collect()
    outputs = pl.DataFrame([*own.get_columns(), *query.columns(raw)])
    if not query.scores:
        # A query that reads nothing has no column that tells how many rows there are.
        return golden.with_columns(vector_column(run_module(query.module, outputs, query.features)))
    rows = max(1, ROOM // max(1, query.items))
    scores_NI = run_module(query.module, outputs.head(rows), query.features)
    return golden.with_columns(vector_column(scores_NI, SCORES).extend_constant(None, len(golden) - len(scores_NI)))


def vector_column(vectors_ND: Array, name: str = VECTOR) -> pl.Series:
    """Vectors as one column of fixed-length arrays."""
    vectors_ND = np.ascontiguousarray(vectors_ND, dtype=np.float32)
    return pl.Series(name, vectors_ND, dtype=pl.Array(pl.Float32, vectors_ND.shape[1]))
