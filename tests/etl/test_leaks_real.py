"""The leak guard on real data, whose leaks are known: see `GYRFALCON_REAL_DATA`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from core.dataset import Dataset

from .conftest import Desk

FOLDER = os.environ.get("GYRFALCON_REAL_DATA", "")
pytestmark = pytest.mark.skipif(not FOLDER, reason="GYRFALCON_REAL_DATA names no folder of real data")


def prepared(desk: Desk, file: Path, target: dict[str, Any], features: dict[str, Any], **more: Any) -> Dataset:
    if not file.exists():
        pytest.skip(f"GYRFALCON_REAL_DATA holds no {file.name}")
    desk.sources = {"interactions": {"path": str(file)}, "roles": more.pop("roles", {})}
    desk.spec |= {"target": target, **more}
    desk.spec["features"] = [{"columns": columns, "ops": [op]} for op, columns in features.items()]
    return desk.prepare()


def test_the_length_of_a_sales_call_tells_most_of_all(flat: Desk) -> None:
    """Its makers say that it is known only after the call; it tells too little alone to be named for certain."""
    file = Path(FOLDER, "bank-marketing", "bank_additional_full.parquet")
    types = pl.read_parquet_schema(file) if file.exists() else {}
    numbers = [name for name, dtype in types.items() if dtype.is_numeric()]
    texts = [name for name, dtype in types.items() if dtype == pl.String and name != "y"]
    features = {"normalize": numbers, "categorify": texts}
    dataset = prepared(flat, file, {"column": "y", "equals": "yes"}, features)
    told = pl.read_parquet(dataset.profile_file).sort("alone", descending=True, nulls_last=True)
    assert told["name"][0] == "duration"
    assert 0.8 < told["alone"][0] < 0.85
    assert dataset.manifest()["warnings"] == []


def test_a_negative_quantity_is_the_cancellation_itself(flat: Desk, tmp_path: Path) -> None:
    source = Path(FOLDER, "online-retail", "transactions.parquet")
    if not source.exists():
        pytest.skip(f"GYRFALCON_REAL_DATA holds no {source.name}")
    known = pl.scan_parquet(source).filter(pl.col("user_id").is_not_null())
    cancelled = pl.col("invoice").str.starts_with("C").cast(pl.Int8)
    known.with_columns(cancelled=cancelled).sink_parquet(tmp_path / "sales.parquet")
    features = {"categorify": ["user_id", "item_id", "country"], "normalize": ["quantity", "price"]}
    roles = {"user": "user_id", "item": "item_id", "time": "timestamp"}
    by_time = {"by": "time", "valid": 0.1, "test": 0.1}
    dataset = prepared(flat, tmp_path / "sales.parquet", {"column": "cancelled"}, features, roles=roles, split=by_time)
    assert [(one["kind"], one["column"]) for one in dataset.manifest()["warnings"]] == [("alone", "quantity")]
