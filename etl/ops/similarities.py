"""Weighted features of ids, and the inner products of two of them; what column_similarity computes with.

Products are summed as integers in a unit that the features themselves give, so that no order of rows or threads
shows in a sum, and the serving graph gives the very same.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import polars as pl

from core.errors import UserError
from core.schema import Column
from etl.onnx import GraphBuilder, Value, cast_to
from etl.ops.base import State
from etl.ops.external import canonical_column
from etl.ops.keyed import places, row_node
from etl.ops.keys import integral, key_dtype, key_expression
from etl.types import canonical, dtype_of

_BITS = 50
_MANY = 12
_LARGEST = 100_000_000
"""Cells of the two padded tables in a serving graph: 1.6 GB."""
_PRODUCTS = 100_000
"""Products of weights for a served row; with 200 candidates, 160 MB for each step of the arithmetic."""
KEY = places(1)[0]


@dataclass(frozen=True, eq=False)
class Features(State):
    """Weights of features, ready for inner products.

    Attributes:
        left: Id (`key@0`), number of a `feature`, `weight`; in order.
        right: The same of the other side.
    """

    left: pl.DataFrame
    right: pl.DataFrame

    @property
    def unit(self) -> float:
        """What products are multiplied by before they become integers: a power of two."""
        most = max(_most(side) for side in (self.left, self.right))
        product = _largest(self.left) * _largest(self.right)
        bits = _BITS - math.frexp(product)[1] - max(0, math.ceil(math.log2(most)) - _MANY)
        return math.ldexp(1.0, bits)

    def tables(self) -> dict[str, pl.DataFrame]:
        """See `State`."""
        return {"left": self.left, "right": self.right}

    @classmethod
    def load(cls, value: Mapping[str, Any], tables: Mapping[str, pl.DataFrame]) -> Self:
        """See `State`."""
        for side in ("left", "right"):
            if tables[side].columns != [KEY, "feature", "weight"]:
                raise ValueError(f"the features on the {side} must have an id, a feature and a weight")
        return cls(tables["left"], tables["right"])


def features(left: pl.DataFrame, right: pl.DataFrame | None, metric: str, where: tuple[str, str]) -> Features:
    """Weigh the features of two tables (id, feature and, if there is a third column, weight).

    Args:
        left: Features of the ids of one column.
        right: Those of the other; None: the same.
        metric: `tfidf`, `cosine` or `inner`.
        where: What messages call the tables.
    """
    tables = [_read(left, where[0])] + ([] if right is None else [_read(right, where[1])])
    names = pl.concat([table["feature"].cast(pl.String) for table in tables]).drop_nulls().unique().sort()
    numbered = [_numbered(table, names, metric) for table in tables]
    for table, told in zip(numbered, where, strict=False):
        if table.is_empty():
            raise UserError(f"no feature has a weight by {metric}", where=told, cure="use another metric")
    return Features(numbered[0], numbered[-1])


def id_column(table: pl.DataFrame) -> Column:
    """The column of a table that holds ids: its first."""
    return canonical_column(table, table.columns[0])


def products(pairs: pl.LazyFrame, state: Features, one: str, other: str, output: str) -> pl.LazyFrame:
    """The inner products of pairs of ids (columns `one` and `other`), where they share a feature: column `output`."""
    weight = (pl.col("weight") * pl.col("weight@right") * state.unit + 0.5).floor().cast(pl.Int64)
    return (
        pairs.join(state.left.lazy(), left_on=one, right_on=KEY)
        .join(state.right.lazy(), left_on=[other, "feature"], right_on=[KEY, "feature"], suffix="@right")
        .group_by(one, other)
        .agg(weight.sum().alias(output))
        .with_columns(pl.col(output).cast(pl.Float64) / state.unit)
    )


def product_node(graph: GraphBuilder, left: Value, right: Value, state: Features) -> Value:
    """The same in ONNX: the features of each id as a row of a padded table, each of one against each of the other."""
    sides = [_padded(table, filler) for table, filler in ((state.left, -1), (state.right, -2))]
    found = []
    for axis, x, (ids, number, weight) in zip((2, 1), (left, right), sides, strict=True):
        row = row_node(graph, [x], ids)
        place = graph.constant([axis], "int64")
        parts = (("int64", number), ("float64", weight))
        found.append(
            [
                graph.op(
                    "Unsqueeze",
                    graph.op("Gather", graph.constant(values, kind), row, dtype=kind, axis=0),
                    place,
                    dtype=kind,
                )
                for kind, values in parts
            ]
        )
    (feature_BL1, weight_BL1), (feature_B1R, weight_B1R) = found
    same_BLR = graph.op("Equal", feature_BL1, feature_B1R, dtype="bool")
    product_BLR = graph.op("Mul", weight_BL1, weight_B1R, dtype="float64")
    scaled_BLR = graph.op("Mul", product_BLR, graph.constant(state.unit, "float64"), dtype="float64")
    rounded_BLR = graph.op("Add", scaled_BLR, graph.constant(0.5, "float64"), dtype="float64")
    whole_BLR = cast_to(graph, graph.op("Floor", rounded_BLR, dtype="float64"), "int64")
    shared_BLR = graph.op("Where", same_BLR, whole_BLR, graph.constant(0, "int64"), dtype="int64")
    sum_B = graph.op("ReduceSum", shared_BLR, graph.constant([1, 2], "int64"), dtype="int64", keepdims=0)
    return graph.op("Div", cast_to(graph, sum_B, "float64"), graph.constant(state.unit, "float64"), dtype="float64")


def require_servable(state: Features, output: str) -> None:
    """Check that `product_node` keeps within bounds.

    Raises:
        UserError: The padded tables would be too large, or what is computed for each row; names the output.
    """
    ids = [table[KEY].n_unique() for table in (state.left, state.right)]
    most = [_most(table) for table in (state.left, state.right)]
    bounds = (
        ("products for each row", math.prod(most), _PRODUCTS),
        ("cells", sum((count + 1) * width for count, width in zip(ids, most, strict=True)), _LARGEST),
    )
    for what, needed, limit in bounds:
        if needed > limit:
            told = f"a serving graph would take {needed:,} {what}, the limit is {limit:,}: an id has"
            raise UserError(
                f"{told} up to {most[0]:,} features on the left, and up to {most[1]:,} on the right",
                where=f"column {output}",
                cure="keep the weightiest features of each id",
            )


def _read(table: pl.DataFrame, where: str) -> pl.DataFrame:
    """Id, feature and weight; equal pairs of id and feature are one, their weights added."""
    if table.width not in {2, 3} or table.is_empty():
        raise UserError(
            f"features must stand in two or three columns (id, feature, weight) and one row or more, got {table.shape}",
            where=where,
        )
    ids = id_column(table)
    x = canonical(ids.name, dtype_of(table.schema[ids.name], ids.name))
    if ids.dtype.value == "float64" and table.select((~integral(x)).any()).item():
        raise UserError("ids must be whole numbers or strings", where=f"{where}, column {ids.name}")
    weight = pl.col(table.columns[2]).cast(pl.Float64) if table.width == 3 else pl.lit(1.0)
    made = table.select(
        key_expression(x, ids).alias(KEY), pl.col(table.columns[1]).alias("feature"), weight.alias("weight")
    ).drop_nulls(KEY)
    if not made["weight"].fill_null(0.0).is_finite().all():
        raise UserError("the weights must be finite numbers", where=f"{where}, column {table.columns[2]}")
    return made.sort(KEY, "feature", "weight").group_by(KEY, "feature", maintain_order=True).agg(pl.col("weight").sum())


def _numbered(table: pl.DataFrame, names: pl.Series, metric: str) -> pl.DataFrame:
    """Features by number, weights by the metric."""
    count = table[KEY].n_unique()
    table = table.drop_nulls("feature").with_columns(pl.col("feature").cast(pl.String))
    weight = pl.col("weight")
    if metric == "tfidf":
        table = table.with_columns(weight * (count / pl.len().over("feature")).log())
    if metric in {"tfidf", "cosine"}:
        table = table.with_columns(weight / (weight**2).sum().over(KEY).sqrt())
    numbers = pl.DataFrame({"feature": names, "number": np.arange(len(names))})
    made = table.filter(weight.is_finite() & (weight != 0)).join(numbers, on="feature", how="left")
    return made.select(KEY, pl.col("number").alias("feature"), "weight").sort(KEY, "feature")


def _padded(table: pl.DataFrame, filler: int) -> tuple[pl.DataFrame, Any, Any]:
    """The ids, and a row for each and one behind them: numbers of features, and weights."""
    sizes = table.group_by(KEY, maintain_order=True).agg(pl.len().cast(pl.Int64))
    count, width, own = sizes.height, _most(table), sizes["len"].to_numpy()
    rows = np.repeat(np.arange(count), own)
    columns = np.arange(table.height) - np.repeat(np.cumsum(own) - own, own)
    numbers, weights = np.full((count + 1, width), filler, np.int64), np.zeros((count + 1, width))
    numbers[rows, columns], weights[rows, columns] = table["feature"].to_numpy(), table["weight"].to_numpy()
    return sizes.select(KEY), numbers, weights


def _most(table: pl.DataFrame) -> int:
    """Largest number of features of an id."""
    return int(np.max(table.group_by(KEY).len()["len"].to_numpy()))


def _largest(table: pl.DataFrame) -> float:
    return float(np.max(table["weight"].abs().to_numpy()))


def require_same_ids(column: Column, table: pl.DataFrame, where: str) -> None:
    """Check that a column holds ids of the type that the table has.

    Raises:
        UserError: It doesn't.
    """
    theirs = id_column(table)
    if key_dtype(theirs) != key_dtype(column):
        raise UserError(
            f"the ids are {column.dtype.value} in the rows and {theirs.dtype.value} in {where}",
            where=f"column {column.name}",
            cure="store both as integers or both as strings",
        )
