"""Totals of what was bought together: every row of a basket gets the number of its lines and sums over them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl

from core.dataset import TIME
from core.errors import UserError

_LASTS = "__lasts__"


def baskets(
    frame: pl.LazyFrame, key: str, sums: Mapping[str, pl.Expr], *, lines: str | None, span: int
) -> pl.LazyFrame:
    """Add totals over all rows with the same key, the row itself and later lines among them.

    That is no look into the future only where a basket is one event, so all its rows must lie within `span`. A row
    without a key has null. In memory are the key, the time and one column for each sum.

    Args:
        frame: Has the key and TIME, in order.
        key: Column that tells the baskets apart (an invoice).
        sums: Column to add -> what to sum; null counts for nothing.
        lines: Column to add for the number of rows; None: none.
        span: The longest that a basket may last, in the unit of TIME.

    Raises:
        UserError: A basket lasts longer.

    Example:
        >>> log = pl.LazyFrame({"bill": [1, 1, 2], "price": [2.0, 3.0, 4.0], TIME: [0, 0, 9]})
        >>> made = baskets(log, "bill", {"value": pl.col("price")}, lines="size", span=0)
        >>> made.select("size", "value").collect().rows()
        [(2, 5.0), (2, 5.0), (1, 4.0)]
    """
    values = {name: value.cast(pl.Float64).fill_nan(None).fill_null(0.0).alias(name) for name, value in sums.items()}
    chosen = frame.filter(pl.col(key).is_not_null()).select(key, TIME, *values.values())
    found = chosen.collect(engine="streaming")
    _require_moments(found, key, span)
    code = found[key].rank("dense").cast(pl.Int64).to_numpy() - 1
    totals = {key: found[key].unique().sort()}
    if lines is not None:
        totals[lines] = pl.Series(lines, np.bincount(code), dtype=pl.Int64)
    for name in sums:
        # Added one after another in the order of the rows: the same sum whatever the number of threads.
        totals[name] = pl.Series(name, np.bincount(code, weights=found[name].to_numpy()), dtype=pl.Float64)
    return frame.join(pl.LazyFrame(totals), on=key, how="left", maintain_order="left")


def _require_moments(found: pl.DataFrame, key: str, span: int) -> None:
    lasts = found.group_by(key).agg((pl.col(TIME).max() - pl.col(TIME).min()).alias(_LASTS))
    longest = lasts.sort(_LASTS, key, descending=[True, False]).head(1)
    if longest.height and longest[_LASTS].item() > span:
        raise UserError(
            f"the rows of the basket {longest[key].item()!r} lie further apart than `span` allows, so its totals would"
            " tell of the future",
            where=f"column {key}",
            cure="group by a column that stands for one event, or raise `span` if it does",
        )
