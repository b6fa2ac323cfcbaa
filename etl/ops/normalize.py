"""Scaling: to mean 0 and deviation 1, or to the range 0 to 1."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import polars as pl

from core.errors import UserError
from core.schema import Column
from etl.onnx import GraphBuilder, Value
from etl.ops.base import Collected, State, Statistics, Wiring
from etl.ops.elementwise import Elementwise, float_constant, number
from etl.ops.nvt import nvtabular_ops

_BITS = 26
"""Learned moments keep this many bits (of the deviation): more than float32 shows, less than what the order in
which rows are summed changes. So a fit gives the same bytes for every order of rows and number of threads."""


@dataclass(frozen=True)
class Moments(State):
    """Mean and standard deviation (ddof 1) by column; the deviation of a constant column is 0."""

    mean: dict[str, float]
    std: dict[str, float]

    def to_json(self) -> dict[str, Any]:
        """See `State`."""
        return asdict(self)


class Normalize(Elementwise[Moments]):
    """(x - mean) / std, with the sample deviation (ddof 1, as NVTabular); a constant column gives x - mean.

    Example:
        >>> from etl import Workflow
        >>> frame = pl.DataFrame({"x": [1.0, 2.0, 3.0]})
        >>> Workflow(["x"] >> Normalize()).fit(frame).transform(frame).collect()["x"].to_list()
        [-1.0, 0.0, 1.0]
    """

    kind = "normalize"
    state_type = Moments

    def statistics(self, frame: pl.LazyFrame, columns: Sequence[Column], wiring: Wiring) -> Statistics:
        """Mean and deviation of all columns in one table, and their extremes.

        A grouping by a constant, since a GPU engine streams `std` in a group_by (Welford's algorithm) but holds
        all rows at once for it in a select.
        """
        values = {column.name: number(wiring, column) for column in columns}
        key = "group@"
        aggregations = [
            item
            for name, x in values.items()
            for item in (x.mean().alias(f"mean@{name}"), x.std(ddof=1).alias(f"std@{name}"))
        ]
        table = frame.with_columns(pl.lit(0, pl.Int32).alias(key)).group_by(key).agg(aggregations)
        return Statistics(extremes(values), {"moments": table})

    def learn(self, collected: Collected, columns: Sequence[Column]) -> Moments:
        """Read the table; columns whose extremes are equal are constant, whatever rounding left in `std`."""
        moments = collected.tables["moments"].row(0, named=True)
        mean, std = {}, {}
        for column in columns:
            low, high = finite_extremes(collected, column, self.kind)
            if low == high:
                mean[column.name], std[column.name] = low, 0.0
                continue
            deviation = moments[f"std@{column.name}"]
            # Where even the spread overflows, Polars' deviation is 0.
            if not (math.isfinite(deviation) and math.isfinite(high - low)):
                raise too_wide(column, self.kind)
            std[column.name] = round_to(deviation, deviation)
            mean[column.name] = round_to(moments[f"mean@{column.name}"], deviation)
        return Moments(mean, std)

    def expression(self, x: pl.Expr, name: str, state: Moments) -> pl.Expr:
        """See `Elementwise.expression`."""
        return (x - state.mean[name]) / (state.std[name] or 1.0)

    def node(self, graph: GraphBuilder, x: Value, name: str, state: Moments) -> Value:
        """See `Elementwise.node`."""
        centred = graph.op("Sub", x, float_constant(graph, state.mean[name]), dtype="float64")
        return graph.op("Div", centred, float_constant(graph, state.std[name] or 1.0), dtype="float64")

    def nvtabular(self, columns: Sequence[Column]) -> Any:
        """`nvtabular.ops.Normalize`."""
        return nvtabular_ops().Normalize()


@dataclass(frozen=True)
class Extremes(State):
    """Smallest and largest value by column."""

    low: dict[str, float]
    high: dict[str, float]

    def to_json(self) -> dict[str, Any]:
        """See `State`."""
        return asdict(self)


class NormalizeMinMax(Elementwise[Extremes]):
    """(x - min) / (max - min); a constant column gives 0.0 for every value.

    NVTabular gives 0.5, or NaN for a column of zeros, where the column is constant. Values outside the range of
    the training rows fall outside 0 .. 1.

    Example:
        >>> from etl import Workflow
        >>> frame = pl.DataFrame({"x": [2.0, 4.0, 3.0], "one": [7, 7, 7]})
        >>> Workflow(["x", "one"] >> NormalizeMinMax()).fit(frame).transform(frame).collect().rows()
        [(0.0, 0.0), (1.0, 0.0), (0.5, 0.0)]
    """

    kind = "normalize_min_max"
    state_type = Extremes

    def statistics(self, frame: pl.LazyFrame, columns: Sequence[Column], wiring: Wiring) -> Statistics:
        """The extremes."""
        return Statistics(extremes({column.name: number(wiring, column) for column in columns}))

    def learn(self, collected: Collected, columns: Sequence[Column]) -> Extremes:
        """Read the extremes."""
        lows, highs = {}, {}
        for column in columns:
            low, high = finite_extremes(collected, column, self.kind)
            if not math.isfinite(high - low):
                raise too_wide(column, self.kind)
            lows[column.name], highs[column.name] = low, high
        return Extremes(lows, highs)

    def expression(self, x: pl.Expr, name: str, state: Extremes) -> pl.Expr:
        """See `Elementwise.expression`."""
        low, high = state.low[name], state.high[name]
        if low == high:
            return pl.when(x.is_not_null()).then(0.0)
        return (x - low) / (high - low)

    def node(self, graph: GraphBuilder, x: Value, name: str, state: Extremes) -> Value:
        """See `Elementwise.node`."""
        low, high = state.low[name], state.high[name]
        if low == high:
            null, nan = graph.op("IsNaN", x, dtype="bool"), float_constant(graph, math.nan)
            return graph.op("Where", null, nan, float_constant(graph, 0.0), dtype="float64")
        above = graph.op("Sub", x, float_constant(graph, low), dtype="float64")
        return graph.op("Div", above, float_constant(graph, high - low), dtype="float64")

    def nvtabular(self, columns: Sequence[Column]) -> Any:
        """`nvtabular.ops.NormalizeMinMax`."""
        return nvtabular_ops().NormalizeMinMax()


def extremes(values: dict[str, pl.Expr]) -> dict[str, pl.Expr]:
    """Scalars `low@NAME` and `high@NAME`."""
    lows = {f"low@{name}": x.min() for name, x in values.items()}
    return {**lows, **{f"high@{name}": x.max() for name, x in values.items()}}


def finite_extremes(collected: Collected, column: Column, kind: str) -> tuple[float, float]:
    """The extremes of a column.

    Raises:
        UserError: One of them is infinite; names the column.
    """
    low, high = (float(collected.scalars[f"{end}@{column.name}"]) for end in ("low", "high"))
    if not (math.isfinite(low) and math.isfinite(high)):
        raise UserError(
            f"the column holds an infinite value, so {kind} can't scale it",
            where=f"column {column.name}",
            cure="put clip before",
        )
    return low, high


def too_wide(column: Column, kind: str) -> UserError:
    """The spread of a column does not fit float64."""
    return UserError(
        f"the values lie too far apart for {kind}", where=f"column {column.name}", cure="put clip or log before"
    )


def round_to(value: float, scale: float) -> float:
    """Round to a multiple of a power of two that is about `scale` / 2^26.

    Example:
        >>> round_to(1 / 3, 1.0)
        0.3333333432674408
    """
    unit = math.ldexp(1.0, math.frexp(scale)[1] - _BITS) if scale else 0.0
    rounded = round(value / unit) * unit if unit else value
    return rounded if math.isfinite(rounded) else value
