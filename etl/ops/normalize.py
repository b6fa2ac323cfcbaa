"""Scaling: to mean 0 and deviation 1, or to the range 0 to 1."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import polars as pl

from core.errors import UserError
from core.schema import Column
from etl.onnx import GraphBuilder, Value
from etl.ops.base import Collected, State, Statistics, Wiring
from etl.ops.declare import not_to_be_continued
from etl.ops.elementwise import Elementwise, float_constant, number
from etl.ops.foreign import Float32
from etl.ops.nvt import nvtabular_ops

_BITS = 26
"""Learned moments keep this many bits (of the deviation): more than float32 shows, less than what the order in
which rows are summed changes. So a fit gives the same bytes for every order of rows and number of threads."""


@dataclass(frozen=True)
class Moments(State):
    """By column: mean, standard deviation (ddof 1), and number of values.

    The deviation of a constant column is 0. NVTabular doesn't tell the number.
    """

    mean: dict[str, float]
    std: dict[str, float]
    count: dict[str, int] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """See `State`."""
        return asdict(self)


class Normalize(Elementwise[Moments]):
    """(x - mean) / std, with the sample deviation (ddof 1, as NVTabular); a constant column gives x - mean.

    Args:
        out_dtype: float32, as all numbers that leave a workflow; another is refused.

    Example:
        >>> from etl import Workflow
        >>> frame = pl.DataFrame({"x": [1.0, 2.0, 3.0]})
        >>> Workflow(["x"] >> Normalize()).fit(frame).transform(frame).collect()["x"].to_list()
        [-1.0, 0.0, 1.0]
    """

    kind = "normalize"
    state_type = Moments

    out_dtype: Float32 = None

    def statistics(self, frame: pl.LazyFrame, columns: Sequence[Column], wiring: Wiring) -> Statistics:
        """Mean and deviation of all columns in one table, and their extremes."""
        values = {column.name: number(wiring, column) for column in columns}
        aggregations = [
            item
            for name, x in values.items()
            for item in (
                x.mean().alias(f"mean@{name}"),
                x.std(ddof=1).alias(f"std@{name}"),
                x.count().alias(f"count@{name}"),
            )
        ]
        return Statistics(extremes(values), {"moments": moments(frame, aggregations, wiring)})

    def learn(self, collected: Collected, columns: Sequence[Column]) -> Moments:
        """Read the table; columns whose extremes are equal are constant, whatever rounding left in `std`."""
        moments = collected.tables["moments"].row(0, named=True)
        mean, std, count = {}, {}, {}
        for column in with_values(collected, columns):
            low, high = finite_extremes(collected, column, self.kind)
            count[column.name] = int(moments[f"count@{column.name}"])
            if low == high:
                mean[column.name], std[column.name] = low, 0.0
                continue
            deviation = moments[f"std@{column.name}"]
            # Where even the spread overflows, Polars' deviation is 0.
            if not (math.isfinite(deviation) and math.isfinite(high - low)):
                raise too_wide(column, self.kind)
            std[column.name] = round_to(deviation, deviation)
            mean[column.name] = round_to(moments[f"mean@{column.name}"], deviation)
        return Moments(mean, std, count)

    def merge(self, old: Moments, new: Moments, columns: Sequence[Column]) -> Moments:
        """Moments of both parts by Chan, Golub and LeVeque (1979), rounded again: within 2^-25 of the deviation."""
        mean, std, count = dict(old.mean), dict(old.std), dict(old.count)
        for column in columns:
            name = column.name
            if name not in new.mean:
                continue
            if name not in old.count:
                raise not_to_be_continued(name)
            mean[name], std[name] = merged_moments(
                *((one.count[name], one.mean[name], one.std[name]) for one in (old, new))
            )
            count[name] += new.count[name]
            if not math.isfinite(std[name]):
                raise too_wide(column, self.kind)
        return Moments(mean, std, count)

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

    Args:
        out_dtype: float32, as all numbers that leave a workflow; another is refused.

    Example:
        >>> from etl import Workflow
        >>> frame = pl.DataFrame({"x": [2.0, 4.0, 3.0], "one": [7, 7, 7]})
        >>> Workflow(["x", "one"] >> NormalizeMinMax()).fit(frame).transform(frame).collect().rows()
        [(0.0, 0.0), (1.0, 0.0), (0.5, 0.0)]
    """

    kind = "normalize_min_max"
    state_type = Extremes

    out_dtype: Float32 = None

    def statistics(self, frame: pl.LazyFrame, columns: Sequence[Column], wiring: Wiring) -> Statistics:
        """The extremes."""
        return Statistics(extremes({column.name: number(wiring, column) for column in columns}))

    def learn(self, collected: Collected, columns: Sequence[Column]) -> Extremes:
        """Read the extremes."""
        lows, highs = {}, {}
        for column in with_values(collected, columns):
            low, high = finite_extremes(collected, column, self.kind)
            if not math.isfinite(high - low):
                raise too_wide(column, self.kind)
            lows[column.name], highs[column.name] = low, high
        return Extremes(lows, highs)

    def merge(self, old: Extremes, new: Extremes, columns: Sequence[Column]) -> Extremes:
        """The smaller of the smallest, the larger of the largest."""
        lows, highs = dict(old.low), dict(old.high)
        for column in columns:
            name = column.name
            if name in new.low:
                lows[name], highs[name] = min(lows[name], new.low[name]), max(highs[name], new.high[name])
                if not math.isfinite(highs[name] - lows[name]):
                    raise too_wide(column, self.kind)
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


def moments(frame: pl.LazyFrame, aggregations: Sequence[pl.Expr], wiring: Wiring) -> pl.LazyFrame:
    """One row of means and deviations, in a plan that streams.

    Without Python in plans a grouping by a constant, since a GPU engine streams `std` in a group_by (Welford's
    algorithm) but holds all rows at once for it in a select. The CPU does the opposite.
    """
    if wiring.collect is None:
        return frame.select(aggregations)
    key = "group@"
    return frame.with_columns(pl.lit(0, pl.Int32).alias(key)).group_by(key).agg(aggregations)


def extremes(values: dict[str, pl.Expr]) -> dict[str, pl.Expr]:
    """Scalars `low@NAME` and `high@NAME`."""
    lows = {f"low@{name}": x.min() for name, x in values.items()}
    return {**lows, **{f"high@{name}": x.max() for name, x in values.items()}}


def with_values(collected: Collected, columns: Sequence[Column]) -> list[Column]:
    """The columns that hold a value: in an update, some may hold none."""
    return [column for column in columns if collected.scalars[f"low@{column.name}"] is not None]


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


def merged_moments(old: tuple[int, float, float], new: tuple[int, float, float]) -> tuple[float, float]:
    """Mean and deviation of two parts, each given by its number of values, mean and deviation; rounded.

    Example:
        >>> merged_moments((2, 1.0, 0.0), (2, 3.0, 0.0))[0]
        2.0
    """
    (n, mean, std), (m, mean_m, std_m) = old, new
    between = mean_m - mean
    shares = ((n - 1) / (n + m - 1), (m - 1) / (n + m - 1), n / (n + m) * (m / (n + m - 1)))
    spread = math.hypot(*(math.sqrt(share) * part for share, part in zip(shares, (std, std_m, between), strict=True)))
    if not math.isfinite(spread):
        return mean, spread
    return round_to(mean + between * (m / (n + m)), spread), round_to(spread, spread)


def round_to(value: float, scale: float) -> float:
    """Round to a multiple of a power of two that is about `scale` / 2^26.

    Example:
        >>> round_to(1 / 3, 1.0)
        0.3333333432674408
    """
    unit = math.ldexp(1.0, math.frexp(scale)[1] - _BITS) if scale else 0.0
    rounded = round(value / unit) * unit if unit else value
    return rounded if math.isfinite(rounded) else value
