"""How well one column alone tells the target: areas under the ROC curve, of samples."""

from __future__ import annotations

import numpy as np
import polars as pl

from etl.mix import mix64

ENOUGH = 20
"""Rows of either class below which nothing is said."""
CODES = 100
"""Quantile bins of a number with more distinct values than that."""
_DIGITS = 6


def auc(values: pl.Series, target: pl.Series) -> float | None:
    """Probability that a positive row has the larger value; ties count half. None for too few rows of a class.

    Nulls are left out.

    Example:
        >>> auc(pl.Series(range(100)), pl.Series([0.0] * 50 + [1.0] * 50))
        1.0
    """
    there = values.is_not_null()
    return _area(values.filter(there).rank("average").to_numpy(), target.filter(there))


def alone(values: pl.Series, target: pl.Series) -> float | None:
    """The better of two AUCs, at least 0.5: by size, and by the rate of each value on the other half of the rows.

    The second one sees what has no order (strings) and what is not monotone; values seen once tell nothing there,
    so that an id is no leak. None for lists, and for too few rows of a class.

    Example:
        >>> alone(pl.Series(["yes", "no"] * 100), pl.Series([1.0, 0.0] * 100))
        1.0
    """
    if isinstance(values.dtype, pl.List):
        return None
    areas = [_by_rate(values, target)]
    if values.dtype.is_numeric() or values.dtype.is_temporal():
        areas += [_sided(auc(values, target))]
        for nulls in (-1.0, len(values) + 1.0):
            areas.append(_sided(_area(values.rank("average").fill_null(nulls).to_numpy(), target)))
    known = [area for area in areas if area is not None]
    return round(max(known), _DIGITS) if known else None


def presence(values: pl.Series, target: pl.Series) -> float | None:
    """AUC, at least 0.5, of whether there is a value at all; None where there always is one."""
    if not values.null_count():
        return None
    area = _sided(_area(values.is_not_null().cast(pl.Float64).rank("average").to_numpy(), target))
    return None if area is None else round(area, _DIGITS)


def _sided(area: float | None) -> float | None:
    return None if area is None else max(area, 1 - area)


def _area(ranks: np.ndarray, target: pl.Series) -> float | None:
    """From the sum of the ranks of the positive rows (Mann and Whitney, 1947)."""
    positive = (target > 0.5).to_numpy()
    ones = int(positive.sum())
    zeros = len(positive) - ones
    if min(ones, zeros) < ENOUGH:
        return None
    # Sentinels of nulls are no ranks; the order is all that counts.
    ranks = pl.Series(ranks).rank("average").to_numpy()
    return float((ranks[positive].sum() - ones * (ones + 1) / 2) / (ones * zeros))


def _by_rate(values: pl.Series, target: pl.Series) -> float | None:
    """Rates are learned on half of the rows, chosen by a hash, and judged on the rest, both ways."""
    frame = pl.DataFrame({"code": _codes(values), "y": (target > 0.5).cast(pl.Int64)}).with_row_index("row")
    frame = frame.with_columns(half=mix64("row", 0) % 2)
    halves = [frame.filter(half=number).drop("row", "half") for number in (0, 1)]
    areas = [_judge(*pair) for pair in (halves, halves[::-1])]
    known = [area for area in areas if area is not None]
    return sum(known) / len(known) if known else None


def _judge(learned: pl.DataFrame, judged: pl.DataFrame) -> float | None:
    prior = learned["y"].sum() / max(learned.height, 1)
    rates = learned.group_by("code").agg(rate=(pl.col("y").sum() + prior) / (pl.len() + 1))
    told = judged.join(rates, on="code", how="left", nulls_equal=True, maintain_order="left")
    return _area(told["rate"].fill_null(prior).to_numpy(), told["y"])


def _codes(values: pl.Series) -> pl.Series:
    number = values.dtype.is_numeric() or values.dtype.is_temporal()
    if not number or values.n_unique() <= CODES:
        return values
    return (values.rank("average") * CODES / len(values)).floor()
