"""Statistics by key through the whole stage: what training rows get, what the others get, and what is served."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import polars as pl
import pytest

from core.dataset import TARGET, Dataset
from core.files import hash_tree
from etl import Fitted

from .conftest import Desk

ROWS = 600


@pytest.fixture
def keyed(tmp_path: Path) -> Desk:
    """Rows whose target depends on their key, split at random; and a table beside them, as a file."""
    made = Desk(tmp_path)
    rows = pl.DataFrame(
        {
            "key": [f"k{n * n % 11}" for n in range(ROWS)],
            "id": range(ROWS),
            "price": [(n * 37 % 101) / 7 for n in range(ROWS)],
            "click": [int(n * n % 11 < 4) ^ int(n % 9 == 0) for n in range(ROWS)],
        }
    )
    made.sources = {"interactions": {"path": made.write("rows.parquet", rows)}}
    table = pl.DataFrame({"key": [f"k{n}" for n in range(8)], "level": [n // 3 for n in range(8)]})
    joined = {"path": made.write("levels.csv", table), "on": "key", "keep_on": False}
    made.spec = {
        "engine": "cpu",
        "target": {"column": "click"},
        "split": {"by": "random", "valid": 0.2, "test": 0.2},
        "features": [
            {"columns": ["key", "id"], "ops": [{"target_encoding": {"p_smooth": 5}}]},
            {"columns": [["key", "id"], ["key"]], "ops": [{"join_groupby": {"cont_cols": "price", "stats": ["mean"]}}]},
            {"columns": ["key"], "ops": [{"join_external": joined}, "categorify"]},
        ],
    }
    return made


def rows(dataset: Dataset, split: str) -> pl.DataFrame:
    return pl.read_parquet(dataset.files(split))


def test_training_rows_are_encoded_out_of_fold_and_others_by_all_training_rows(keyed: Desk) -> None:
    dataset = keyed.prepare()
    fitted = Fitted.load(dataset.workflow_dir)
    train, valid = rows(dataset, "train"), rows(dataset, "valid")
    mean = train[TARGET].mean()
    assert isinstance(mean, float)
    assert train["TE_id_target"].unique().to_list() == [pytest.approx(mean)], "a row's own target never shows"
    # Six keys (n * n % 11), and for training rows one value a key and fold.
    assert 6 < train["TE_key_target"].n_unique() <= 18
    assert valid["TE_key_target"].n_unique() <= 6
    again = fitted.transform(pl.DataFrame({"key": ["k0", "new"], "id": [0, -1]}), columns=["TE_key_target"]).collect()
    assert again["TE_key_target"][1] == pytest.approx(mean)
    assert again["TE_key_target"][0] in valid["TE_key_target"]


def test_full_statistics_by_a_plain_loop(keyed: Desk) -> None:
    dataset = keyed.prepare()
    raw = pl.read_parquet(keyed.path / "rows.parquet")
    fitted = Fitted.load(dataset.workflow_dir)
    served = fitted.transform(raw).collect()
    trained = set(raw["id"]) - set(held_out(raw, dataset))
    sums: dict[str, list[float]] = defaultdict(list)
    for key, number, click in zip(raw["key"], raw["id"], raw["click"], strict=True):
        if number in trained:
            sums[key].append(click)
    mean = sum(map(sum, sums.values())) / len(trained)
    expected = [(sum(sums[key]) + 5 * mean) / (len(sums[key]) + 5) for key in raw["key"]]
    assert served["TE_key_target"].to_list() == pytest.approx(expected, rel=1e-6)


def held_out(raw: pl.DataFrame, dataset: Dataset) -> list[int]:
    """Ids of rows outside the training split: their price has no mean of its own there."""
    seen = Fitted.load(dataset.workflow_dir).transform(raw).collect()
    return raw.filter(seen["key_id_price_mean"].is_null())["id"].to_list()


def test_beside_windows_too_everything_is_learned_from_the_training_rows_alone(tmp_path: Path) -> None:
    """A window looks at the rows of every split, so all of them are in the frame that is fitted on."""
    made = Desk(tmp_path)
    late = [n >= 480 for n in range(ROWS)]
    log = pl.DataFrame({"t": range(ROWS), "key": ["late" if one else "early" for one in late]})
    log = log.with_columns(
        x=pl.Series([1000 if one else n % 2 for n, one in enumerate(late)]), click=pl.col("t") // 3 % 2
    )
    made.sources = {"interactions": {"path": made.write("log.parquet", log)}, "roles": {"time": "t"}}
    made.spec = {
        "engine": "cpu",
        "target": {"column": "click"},
        "split": {"by": "time", "valid": 0, "test": 0.2},
        "features": [
            {"columns": ["key"], "ops": [{"history": {"stats": "count", "unit": "s"}}]},
            {"columns": ["key"], "ops": ["categorify"]},
            {"columns": ["x"], "ops": ["normalize"]},
        ],
    }
    dataset = made.prepare()
    train, test = rows(dataset, "train"), rows(dataset, "test")
    assert sorted(set(train["x"])) == pytest.approx([-1, 1], rel=0.01)
    assert set(test["key"]) == {2}, "only rows to come hold it, so it is unknown"
    assert test["key_history_count"].to_list() == list(range(120))
    assert [one.rows for one in Fitted.load(dataset.workflow_dir).seen] == [480]


def test_a_joined_file_is_part_of_the_workflow(keyed: Desk) -> None:
    dataset = keyed.prepare()
    (keyed.path / "levels.csv").unlink()
    fitted = Fitted.load(dataset.workflow_dir)
    made = fitted.transform(pl.DataFrame({"key": ["k0", "k7", "k9"]}), columns=["level"]).collect()["level"].to_list()
    assert made[2] == 1, "a key that the table doesn't have"
    assert made[0] != made[1]


def test_the_number_of_threads_changes_no_byte(keyed: Desk) -> None:
    first = hash_tree(keyed.prepare().path)
    code = (
        "import sys, json; from pathlib import Path; from etl.dataset.prepare import prepare;"
        "from etl.dataset.sources import Sources; from etl.spec import EtlSpec;"
        "given = json.loads(sys.argv[1]); out = Path(given['out']); out.mkdir();"
        "prepare(Sources.model_validate(given['sources']), EtlSpec.model_validate(given['spec']), out, seed=3)"
    )
    given = {"sources": keyed.sources, "spec": keyed.spec, "out": str(keyed.path / "one")}
    root = Path(__file__).parents[2]
    environment = {"POLARS_MAX_THREADS": "1", "PATH": "", "PYTHONPATH": str(root)}
    subprocess.run([sys.executable, "-c", code, json.dumps(given)], check=True, env=environment, cwd=root)
    assert hash_tree(keyed.path / "one") == first
