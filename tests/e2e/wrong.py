"""A small data set of the smoke kind on files, and ways to spoil it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from pipeline.smoke_data import tables

CONFIG = """\
name: smoke
seed: 42
data:
  interactions: {path: ratings.csv}
  users: {path: users.parquet}
  items: {path: items.parquet, title: title}
  roles: {user: user_id, item: item_id, time: timestamp}
etl:
  engine: cpu
  target: {column: rating, at_least: 4}
  split: {by: user_time, valid: 0.1, test: 0.2}
  features:
    - {columns: [user_id, item_id, occupation, genre], ops: [categorify]}
    - {columns: [age, release_year], ops: [fill_median, normalize]}
train:
  retriever: {model: popularity}
  ranker: {model: {kind: mlp, embedding_dim: 4, hidden: [8]}, epochs: 1, batch_size: 1024}
export: {golden_rows: 20, candidates: 20}
"""


@dataclass(frozen=True)
class Wrong:
    """One row of the table of wrong inputs.

    Attributes:
        name: What is wrong.
        spoil: Does it, in the directory of the files.
        words: What the message must hold: the place, and the value or the cure.
    """

    name: str
    spoil: Callable[[Path], None]
    words: tuple[str, ...]


def write(folder: Path) -> Path:
    """Write good files and their config; give the path of the config."""
    folder.mkdir(parents=True, exist_ok=True)
    frames = tables(seed=3)
    frames["interactions"].write_csv(folder / "ratings.csv")
    frames["users"].write_parquet(folder / "users.parquet")
    frames["items"].write_parquet(folder / "items.parquet")
    (folder / "config.yaml").write_text(CONFIG)
    return folder / "config.yaml"


def replaced(old: str, new: str, name: str = "config.yaml") -> Callable[[Path], None]:
    """Replace text in a file once."""

    def spoil(folder: Path) -> None:
        text = (folder / name).read_text()
        assert old in text
        (folder / name).write_text(text.replace(old, new, 1))

    return spoil


def ratings(change: Callable[[pl.DataFrame], pl.DataFrame]) -> Callable[[Path], None]:
    """Change the interactions."""

    def spoil(folder: Path) -> None:
        change(pl.read_csv(folder / "ratings.csv")).write_csv(folder / "ratings.csv")

    return spoil


def _missing_file(folder: Path) -> None:
    (folder / "users.parquet").unlink()


def _null_column(folder: Path) -> None:
    file = folder / "users.parquet"
    pl.read_parquet(file).with_columns(age=pl.lit(None, dtype=pl.Int32)).write_parquet(file)


def _broken_line(folder: Path) -> None:
    lines = (folder / "ratings.csv").read_text().splitlines()
    lines[100] += ",7,8"
    (folder / "ratings.csv").write_text("\n".join(lines) + "\n")


def _half_parquet(folder: Path) -> None:
    data = (folder / "items.parquet").read_bytes()
    (folder / "items.parquet").write_bytes(data[: len(data) // 2])


def _two_schemas(folder: Path) -> None:
    frame = pl.read_csv(folder / "ratings.csv")
    frame.write_parquet(folder / "part-1.parquet")
    frame.with_columns(pl.col("rating").cast(pl.String)).write_parquet(folder / "part-2.parquet")
    replaced("path: ratings.csv", "path: 'part-*.parquet'")(folder)


def _empty_file(folder: Path) -> None:
    (folder / "ratings.csv").write_text("")


def _label(folder: Path) -> None:
    replaced("target: {column: rating, at_least: 4}", "target: {column: rating}")(folder)


WRONG: tuple[Wrong, ...] = (
    Wrong(
        "unknown key",
        replaced("epochs: 1", "epoch: 1"),
        ("config.yaml:17:", "train.ranker.epoch", "did you mean epochs"),
    ),
    Wrong("wrong type", replaced("epochs: 1", "epochs: many"), ("config.yaml:17:", "train.ranker.epochs", '"many"')),
    Wrong("missing file", _missing_file, ("users.parquet", "no such file")),
    Wrong("missing column", replaced("occupation, genre", "occupation, genres"), ("genres", "did you mean", "genre")),
    Wrong("missing target", replaced("column: rating", "column: ratin"), ("ratin", "did you mean", "rating")),
    Wrong("missing role", replaced("time: timestamp", "time: time"), ("time", "timestamp")),
    Wrong("all null", _null_column, ("age", "null")),
    Wrong("one class", replaced("at_least: 4", "at_least: 0"), ("target rating", "positive", "mend")),
    Wrong(
        "empty split", replaced("valid: 0.1", "valid: 0.0"), ("etl.split", "the split valid is empty", "larger share")
    ),
    Wrong("label outside {0, 1}", _label, ("rating", "0", "1")),
    Wrong(
        "duplicate columns",
        replaced("rating,timestamp", "rating,rating", "ratings.csv"),
        ("ratings.csv:1", "two columns", "rating"),
    ),
    Wrong("broken line", _broken_line, ("ratings.csv", "101")),
    Wrong("half a Parquet file", _half_parquet, ("items.parquet",)),
    Wrong("two schemas", _two_schemas, ("part-2.parquet", "rating")),
    Wrong("empty file", _empty_file, ("ratings.csv", "empty")),
    Wrong("no rows", ratings(lambda frame: frame.head(0)), ("ratings.csv",)),
)
