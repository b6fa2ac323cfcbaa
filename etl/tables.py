"""Small tables on disk."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from etl.engines.base import ROW_GROUP


def write_table(table: pl.DataFrame, path: Path) -> None:
    """Write a table as Parquet; the same table gives the same bytes.

    Left to itself Polars cuts a table into as many row groups as there are threads.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    table.write_parquet(path, compression="zstd", row_group_size=ROW_GROUP)
