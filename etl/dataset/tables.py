"""Small tables on disk."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import polars.exceptions as pe

from etl.engines.base import ROW_GROUP
from etl.engines.failures import system_error


def write_table(table: pl.DataFrame, path: Path) -> None:
    """Write a table as Parquet; the same table gives the same bytes.

    Left to itself Polars cuts a table into as many row groups as there are threads.

    Raises:
        OSError: The disk refuses; Polars tells some of that as an error of its own.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        table.write_parquet(path, compression="zstd", row_group_size=ROW_GROUP)
    except (OSError, pe.PolarsError) as error:
        raise system_error(error) or error from error
