"""A run directory written by hand, of which every part can be left out."""

import math
from pathlib import Path
from types import SimpleNamespace

import polars as pl

from core.dataset import ITEM_INDEX, SPLIT, TARGET, TIME, USER_INDEX
from core.files import write_json, write_text
from core.schema import Column, DType, Schema, Tag
from pipeline.manifest import Record
from pipeline.manifest import write as write_manifest

TITLES = ("<script>alert('x')</script>", 'Tom & "Jerry"', "Misérables, Les", "{{ 7 * 7 }}", "Fargo", "Alien")
CONFIG = """\
name: made
data: {interactions: {dataset: smoke}}
etl: {split: {by: user_time}}
train: {ranker: {model: {kind: dlrm}}, retriever: {model: {kind: two_tower}}}
"""


def record(seconds: float, **known) -> Record:
    return Record(key="k", parts={}, inputs={}, outputs={}, seconds=seconds, **known)


def records() -> dict[str, Record]:
    rows = {"train": 80, "valid": 10, "test": 10}
    phases = {"read": {"seconds": 0.5, "rows_per_second": 200.0}, "fit": {"seconds": 0.25, "rows_per_second": 9.0}}
    return {
        "etl": record(1.0, rows=100, rows_per_second=100.0, engine="cpu", figures={"rows": rows, "phases": phases}),
        "retriever": record(2.0, device="cpu", figures={"epochs": 3, "best_epoch": 2}),
        "ranker": record(5.0, rows_per_second=12_300.0, device="cpu", peak_memory_bytes=410_000_000),
        "evaluate": record(1.0),
        "export": record(1.0, figures={"bytes": 1_200_000}),
        "report": record(99.0),
    }


def figures(auc: float, logloss: float) -> dict[str, float]:
    return {"rows": 10, "positive_rate": 0.4, "auc": auc, "logloss": logloss, "calibration": 1.1, "gauc": None}


def metrics(*, auc: float = 0.8, logloss: float = 0.5) -> dict:
    roc = [[0.0, 0.0], [0.2, 0.7], [1.0, 1.0]]
    scores = {"edges": [0.0, 0.5, 1.0], "negative": [5, 1], "positive": [1, 3]}
    curve = {"calibration": [[0.2, 0.25, 6], [0.7, 0.75, 4]], "scores": scores, "roc": roc}
    word = "beats" if auc > 0.7 else "LOSES to"
    return {
        "verdicts": [f"ranker dlrm {word} logistic on test: auc {auc:.4f} against 0.7000 ({auc - 0.7:+.4f})"],
        "protocol": {"ranker": ["Every row is scored by itself."], "retriever": ["The whole catalogue is ranked."]},
        "curves": {"ranker": {"dlrm": curve, "logistic": curve}},
        "ranker": {
            "model": "dlrm",
            "test": figures(auc, logloss),
            "valid": figures(auc, logloss),
            "baselines": {"logistic": {"test": figures(0.7, 0.6), "valid": figures(0.7, 0.6)}},
        },
        "retriever": {
            "model": "two_tower",
            "test": {"recall@10": 0.2, "recall@50": 0.5, "coverage@10": 0.9, "users": 3},
            "baselines": {"popularity": {"test": {"recall@10": 0.1, "recall@50": 0.4, "coverage@10": 0.1}}},
        },
    }


def history(model: str, monitor: str) -> dict:
    epochs = [
        {"epoch": n, "train_loss": 1 / n, "valid": {"logloss": 0.5 + abs(n - 2) / 10, monitor: 0.8 - abs(n - 2) / 10}}
        for n in (1, 2, 3)
    ]
    return {"version": 1, "model": model, "monitor": monitor, "best_epoch": 2, "epochs": epochs}


def profile() -> pl.DataFrame:
    shared = {"rows": 100, "mean": None, "sampled": 100}
    return pl.DataFrame(
        [
            {"name": "age", "dtype": "Int32", "nulls": 7, "distinct": 40, "low": "16", "high": "74"}
            | {"quantiles": [16.0, 20.0, 30.0, 40.0, 50.0, 60.0, 74.0], "histogram": [1, 5, 9, 2]}
            | {"top_values": ["20"], "top_counts": [9], "unseen_valid": None, "unseen_test": None, **shared},
            {"name": "genre", "dtype": "String", "nulls": 0, "distinct": 2, "low": None, "high": None}
            | {"quantiles": [], "histogram": [], "top_values": ["<b>Drama</b>", "War"], "top_counts": [75, 25]}
            | {"unseen_valid": 0.0, "unseen_test": 0.125, **shared},
            {"name": "timestamp", "dtype": "Int64", "nulls": 0, "distinct": 99, "low": "874062899", "high": "890000000"}
            | {"quantiles": [8.75e8] * 3 + [8.8e8] + [8.85e8] * 3, "histogram": [3, 4], "top_values": []}
            | {"top_counts": [], "unseen_valid": None, "unseen_test": None, **shared},
        ],
        infer_schema_length=None,
    ).join(differences(), on="name", how="left", maintain_order="left")


def differences() -> pl.DataFrame:
    """How the splits differ: age moves far in the test split, genre a little, and the time says nothing of it."""
    sizes = {"rows_train": 80, "rows_valid": 10, "rows_test": 10}
    age = {"name": "age", "edges": [16.0, 30.0, 44.0, 58.0, 72.0], "js_test": 0.5, "ks_test": 0.6, "alone": 0.625}
    age |= {"psi_valid": 0.04, "js_valid": 0.1, "ks_valid": 0.09, "drifts_valid": False}
    age |= {"psi_test": 1.75, "drifts_test": True}
    age |= {"histogram_train": [1, 5, 7, 0], "histogram_valid": [0, 0, 1, 1], "histogram_test": [0, 0, 1, 1]}
    genre = {"name": "genre", "psi_valid": 0.0, "psi_test": 0.12, "js_valid": 0.0, "js_test": 0.125}
    genre |= {"top_train": [60, 20], "top_valid": [8, 2], "top_test": [7, 3]}
    genre |= {"drifts_valid": False, "drifts_test": False}
    return pl.DataFrame([age | sizes, genre | sizes], infer_schema_length=None)


WARNINGS = (
    {"kind": "alone", "column": "<i>", "told": "the column <i> alone tells the target (AUC 1.000)"},
    {"kind": "drift", "column": "age", "told": "the column age drifts"},
)


def write_run(path: Path, *, without: tuple[str, ...] = (), **values) -> Path:
    """Write a run; `without` names parts to leave out, `values` replaces the metrics."""
    write_manifest(path, records())
    parts = {
        "config": lambda: write_text(path / "config.yaml", CONFIG),
        "metrics": lambda: write_json(path / "metrics.json", values.get("metrics", metrics())),
        "ranker": lambda: write_json(path / "train/ranker/history.json", history("dlrm", "auc")),
        "retriever": lambda: write_json(path / "train/retriever/history.json", history("two_tower", "recall@50")),
        "profile": lambda: _write_profile(path / "etl"),
        "bundle": lambda: _write_entities(path),
    }
    for name, write in parts.items():
        if name not in without:
            write()
    return path


def _write_profile(etl: Path) -> None:
    etl.mkdir(parents=True, exist_ok=True)
    profile().write_parquet(etl / "profile.parquet")
    columns = (
        Column("age", DType.INT32, frozenset({Tag.USER})),
        Column("timestamp", DType.INT64, frozenset({Tag.TIME})),
    )
    Schema(columns).write(etl / "raw_schema.json")
    write_json(etl / "manifest.json", {"warnings": list(WARNINGS)})


def _write_entities(path: Path) -> None:
    """Users 0 to 4; all but the last liked items 0 to 2 in training, and item 4 in the test split."""
    entities = path / "etl" / "entities"
    entities.mkdir(parents=True, exist_ok=True)
    items = {"item_id": [10 * n for n in range(6)], "title": TITLES, "genre": ["War", "Drama"] * 3}
    pl.DataFrame(items).write_parquet(entities / "items.parquet")
    pl.DataFrame({"user_id": [100, 101, 102, 103, 104], "age": [20, None, 40, 50, 60]}).write_parquet(
        entities / "users.parquet"
    )
    rows = [(user, item, 0 if item < 3 else 2, 1.0, item) for user in range(4) for item in (0, 1, 2, 4)]
    rows += [(0, 5, 0, 0.0, 9), (4, 5, 0, 1.0, 9)]
    frame = pl.DataFrame(rows, schema=[USER_INDEX, ITEM_INDEX, SPLIT, TARGET, TIME], orient="row")
    frame.write_parquet(path / "etl" / "interactions.parquet")
    (path / "etl" / "test").mkdir()
    frame.write_parquet(path / "etl" / "test" / "part-00000.parquet")
    write_json(path / "bundle" / "manifest.json", {"versions": {"polars": "1.0", "torch": "2.0"}})


class StandInRecommender:
    """Recommends items 3 to 5 to everybody, and remembers who the report says has seen what."""

    def __init__(self, bundle, people) -> None:
        self.bundle, self.people = bundle, people

    def recommend(self, user, k):
        items = tuple(
            SimpleNamespace(id=10 * n, title=TITLES[n], columns={"genre": "War", "title": TITLES[n]}, score=1 / n)
            for n in (3, 4, 5)
        )
        stage = SimpleNamespace(
            name="filtering", given=6, kept=3, dropped={"already seen": 3, "other": 0}, seconds=math.pi
        )
        return SimpleNamespace(user=user, items=items[:k], stages=(stage,))
