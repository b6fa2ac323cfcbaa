"""A small interaction log with a users and an items table, and a way to prepare it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from core.dataset import Dataset
from etl.dataset.prepare import prepare
from etl.dataset.sources import Sources
from etl.spec import EtlSpec
from tests.e2e.run import contents

FEATURES = [
    {"columns": ["user_id", "item_id", "city"], "ops": ["categorify"]},
    {"columns": ["age", "price"], "ops": ["fill_median", "log", "normalize"]},
]


def log(rows: int = 60) -> pl.DataFrame:
    """Every user rates items in turn; time runs backwards through the file, with ties."""
    return pl.DataFrame(
        {
            "user_id": [10 + row % 6 for row in range(rows)],
            "item_id": [f"i{row % 7}" for row in range(rows)],
            "rating": [1 + row % 5 for row in range(rows)],
            "stamp": [1000 - row // 2 for row in range(rows)],
            "device": ["phone" if row % 3 else "tv" for row in range(rows)],
        }
    )


def users() -> pl.DataFrame:
    """One user (99) never rates; user 15 has no row."""
    return pl.DataFrame(
        {
            "user_id": [99, 14, 13, 12, 11, 10],
            "age": [1.0, None, 30.0, float("nan"), 20.0, 40.0],
            "city": ["Oslo", "Rome", None, "Rome", "Oslo", "Rome"],
        }
    )


def items() -> pl.DataFrame:
    """Prices and titles; i9 is never rated."""
    return pl.DataFrame(
        {
            "item_id": [f"i{n}" for n in (9, 6, 5, 4, 3, 2, 1, 0)],
            "price": [float(n) for n in (9, 6, 5, 4, 3, 2, 1, 0)],
            "title": [f"Film {n}" for n in (9, 6, 5, 4, 3, 2, 1, 0)],
        }
    )


@dataclass
class Desk:
    """Files and settings of a run; a test changes what it is about."""

    path: Path
    sources: dict[str, Any] = field(default_factory=dict)
    spec: dict[str, Any] = field(default_factory=dict)
    runs: int = 0

    def prepare(self, *, seed: int = 3) -> Dataset:
        """Prepare into a fresh directory."""
        self.runs += 1
        out = self.path / f"out{self.runs}"
        out.mkdir()
        prepare(Sources.model_validate(self.sources), EtlSpec.model_validate(self.spec), out, seed=seed)
        return Dataset(out)

    def write(self, name: str, frame: pl.DataFrame | str | bytes) -> str:
        """Write a file and give its path."""
        path = self.path / name
        if isinstance(frame, str):
            path.write_text(frame, encoding="utf-8")
        elif isinstance(frame, bytes):
            path.write_bytes(frame)
        elif path.suffix == ".parquet":
            frame.write_parquet(path)
        else:
            frame.write_csv(path, separator="\t" if path.suffix == ".tsv" else ",")
        return str(path)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """Interactions, users and items as Parquet, split by each user's time."""
    made = Desk(tmp_path)
    made.sources = {
        "interactions": {"path": made.write("log.parquet", log())},
        "users": {"path": made.write("users.parquet", users())},
        "items": {"path": made.write("items.parquet", items())},
        "roles": {"user": "user_id", "item": "item_id", "time": "stamp"},
        "title": "title",
    }
    made.spec = {
        "engine": "cpu",
        "target": {"column": "rating", "at_least": 4},
        "split": {"by": "user_time", "valid": 0.2, "test": 0.2},
        "features": FEATURES,
    }
    return made


@pytest.fixture
def flat(tmp_path: Path) -> Desk:
    """Interactions alone, as CSV, with a ready label and no roles."""
    made = Desk(tmp_path)
    rows = pl.DataFrame({"a": range(40), "b": [f"v{n % 4}" for n in range(40)], "click": [n % 2 for n in range(40)]})
    made.sources = {"interactions": {"path": made.write("flat.csv", rows)}}
    made.spec = {
        "engine": "cpu",
        "target": {"column": "click"},
        "split": {"by": "random", "valid": 0.2, "test": 0.2},
        "features": [{"columns": ["a"], "ops": ["normalize"]}, {"columns": ["b"], "ops": ["categorify"]}],
    }
    return made


Write = Callable[[str, pl.DataFrame | str | bytes], str]


def write_config(desk: Desk, config: Path) -> None:
    """The desk's sources and settings as a file for the command line."""
    train = {"ranker": {"model": {"kind": "mlp", "embedding_dim": 4, "hidden": [8]}, "epochs": 1}}
    config.write_text(yaml.safe_dump({"name": "flat", "data": desk.sources, "etl": desk.spec, "train": train}))


def kept(runs: Path) -> dict[str, bytes]:
    """All files of runs, without the memory of hashes."""
    return {name: value for name, value in contents(runs).items() if ".hashes" not in name}
