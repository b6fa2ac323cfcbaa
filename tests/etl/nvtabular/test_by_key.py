"""What the real NVTabular learns by key is taken over, and new rows get from our workflow what they get from it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from core.dataset import ROW, SPLIT, SPLITS, TARGET
from core.errors import UserError
from etl import Fitted, Workflow
from etl.engines.nvtabular import NvtabularEngine
from etl.nvtabular import process, stage
from etl.ops import Categorify, FillMissing, JoinGroupby, Normalize, TargetEncoding
from tests.etl.nvtabular.peer import installed

pytestmark = [pytest.mark.nvtabular, installed, pytest.mark.filterwarnings("ignore")]

TRAINING = pl.col(SPLIT) == 0
STATS = ["count", "sum", "mean", "std", "var", "min", "max"]


def drawn(rows: int) -> pl.DataFrame:
    """Two thirds are training rows. Their keys are those of all, but for `later`; `hole` is null in every split."""
    rng = np.random.default_rng(3)
    made = pl.DataFrame(
        {
            "word": rng.choice(list("abcdefg"), rows),
            "number": rng.integers(0, 40, rows),
            "hole": [None if value < 2 else f"v{value}" for value in rng.integers(0, 12, rows)],
            "x": rng.normal(size=rows),
            "w": rng.integers(-5, 90, rows),
            "gap": [None if value == 0 else float(value) for value in rng.integers(0, 6, rows)],
            "same": np.full(rows, 0.1),
            "y": (rng.random(rows) < 0.3).astype("int8"),
        }
    ).with_row_index(ROW)
    made = made.with_columns(pl.col(ROW).mod(6).clip(3).sub(3).cast(pl.Int8).alias(SPLIT))
    later = pl.when(TRAINING | (pl.col(ROW) % 2 == 0)).then("word").otherwise(pl.lit("new"))
    return made.with_columns(later=later, **{TARGET: pl.col("y").cast(pl.Float32)})


ROWS = drawn(3000)


@pytest.fixture(scope="module")
def engine() -> Iterator[NvtabularEngine]:
    """One process for many workflows."""
    with NvtabularEngine() as started:
        yield started


def run(engine: NvtabularEngine, node: Any, out: Path, rows: pl.DataFrame = ROWS) -> tuple[Fitted, list[pl.DataFrame]]:
    """Fit on the training rows and write all; the outputs of each split."""
    fitted = engine.fit(Workflow(node), rows.lazy(), only=TRAINING)
    sunk = engine.write(fitted, rows.lazy(), out, keep=[SPLIT, ROW, TARGET], training=TRAINING)
    return fitted, [pl.read_parquet(sunk.files[name]).drop(TARGET) for name in SPLITS]


def served(node: Any, rows: pl.DataFrame = ROWS) -> list[pl.DataFrame]:
    """What our fit makes of each split's rows as new ones."""
    fitted = Workflow(node).fit(rows, only=TRAINING)
    return [fitted.transform(rows.filter(pl.col(SPLIT) == number)).collect() for number in range(len(SPLITS))]


NODES = [
    ["word", "number"] >> JoinGroupby(["x", "w"], STATS),
    ["later", "number"] >> JoinGroupby(["x"], ["mean"]),
    ["later"] >> JoinGroupby(["x", "w"], ["std"]),
    ["later"] >> JoinGroupby("w", ["min", "var"]),
    ["hole"] >> JoinGroupby("x", ["sum", "min", "max"]),
    [["number", "hole"], "later"] >> JoinGroupby("x", ["mean", "max"]),
    [["word", "number"], ["hole", "word"]] >> JoinGroupby("w", ["sum"]),
    ["later", "number"] >> TargetEncoding("y", kfold=1),
    ["later", ["number", "hole"]] >> TargetEncoding(["y", "x"], kfold=1, p_smooth=3, name_sep="-"),
    (["word"] >> Categorify()) >> JoinGroupby("x", ["sum"]),
    ["number", "w"] >> JoinGroupby("w", ["mean"]),
    (["later"] >> JoinGroupby("x", ["mean"]))
    + (["x"] >> Normalize())
    + (["number"] >> JoinGroupby("w", ["sum", "max"])),
    (["word"] >> JoinGroupby("x", ["mean"])) + (["word"] >> JoinGroupby("w", ["mean"])),
]


@pytest.mark.parametrize("node", NODES)
def test_every_row_gets_what_our_own_fit_gives(engine: NvtabularEngine, node: Any, tmp_path: Path) -> None:
    """Unseen keys, null keys, groups of keys, several numbers and targets, other operators."""
    fitted, made = run(engine, node, tmp_path)
    assert fitted.schema == Workflow(node).fit(ROWS, only=TRAINING).schema
    for found, wanted in zip(made, served(node), strict=True):
        if "Categorify" not in repr(node):
            assert_frame_equal(found, wanted, rel_tol=1e-6, abs_tol=1e-7)
        assert found.schema == wanted.schema


@pytest.mark.parametrize("node", [*NODES[:4], ["number", ["word", "number"]] >> TargetEncoding(["y", "x"])])
def test_an_update_goes_on_from_what_it_learned(engine: NvtabularEngine, node: Any, tmp_path: Path) -> None:
    """Counts and sums that weren't asked for are there all the same."""
    first, second = ROWS.filter(pl.col(ROW) < 1500), ROWS.filter(pl.col(ROW) >= 1500)
    fitted, _ = run(engine, node, tmp_path, first)
    fitted.save(tmp_path / "workflow")
    made = Fitted.load(tmp_path / "workflow").update(second, only=TRAINING).transform(ROWS).collect()
    whole = Workflow(node).fit(ROWS, only=TRAINING).transform(ROWS).collect()
    assert_frame_equal(made, whole, rel_tol=1e-5, abs_tol=1e-6)


def out_of_fold(parts: list[pl.DataFrame], p_smooth: int = 20) -> list[float]:
    """NVTabular's folds are drawn for each part of the data; a row's sums leave out its own fold."""
    folds = [np.random.RandomState(42).choice(np.arange(3, dtype="uint8"), part.height) for part in parts]
    rows = pl.concat(parts).with_columns(fold=np.concatenate(folds))
    sums = [pl.col("y").cast(pl.Float64).sum(), pl.len().cast(pl.Float64)]
    every, own = ([one.over(keys) for one in sums] for keys in (["number"], ["number", "fold"]))
    value = (every[0] - own[0] + p_smooth * pl.col("y").mean()) / (every[1] - own[1] + p_smooth)
    return rows.select(value).to_series().to_list()


def test_training_rows_are_encoded_without_their_own_fold(engine: NvtabularEngine, tmp_path: Path) -> None:
    node = ["number", "later"] >> TargetEncoding()
    fitted, (train, *others) = run(engine, node, tmp_path)
    assert fitted.schema.names == ("TE_number_target", "TE_later_target")
    assert train["TE_number_target"].to_list() == pytest.approx(out_of_fold([ROWS.filter(TRAINING)]), rel=1e-6)
    for found, wanted in zip(others, served(node)[1:], strict=True):
        assert_frame_equal(found, wanted, rel_tol=1e-6)
    again = engine.write(fitted, ROWS.lazy(), tmp_path / "again", keep=[SPLIT, ROW], training=TRAINING)
    assert_frame_equal(pl.read_parquet(again.files["train"]), train)
    alone = ROWS.with_columns(number=pl.int_range(pl.len(), dtype=pl.Int64))
    _, (train, *_) = run(engine, ["number"] >> TargetEncoding("y"), tmp_path / "alone", alone)
    mean = ROWS.filter(TRAINING)["y"].mean()
    assert train["TE_number_y"].to_list() == pytest.approx([mean] * train.height, rel=1e-6), (
        "its own target is left out"
    )


def test_what_comes_after_an_encoding_is_compared_too(engine: NvtabularEngine, tmp_path: Path) -> None:
    node = (["number"] >> TargetEncoding("y") >> Normalize()) + (["word"] >> Categorify())
    fitted, made = run(engine, node, tmp_path)
    assert made[0]["TE_number_y"].mean() == pytest.approx(0.0, abs=1e-5), "normalized as the model sees it"
    later = fitted.transform(ROWS.filter(pl.col(SPLIT) == 1)).collect()
    assert_frame_equal(made[1], later.select(made[1].columns), rel_tol=1e-5, abs_tol=1e-6)


def test_several_parts_have_folds_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rows of the fit are read from the file of the fit, so that each part holds the same rows again."""
    script = tmp_path / "worker.py"
    script.write_text(process._SCRIPT.read_text().replace('PART = "256MB"', 'PART = "1KB"'))
    monkeypatch.setattr(process, "_SCRIPT", script)
    monkeypatch.setattr(stage, "_ROW_GROUP", 500)
    node = ["number"] >> TargetEncoding("y")
    with NvtabularEngine() as engine:
        _, (train, valid, _) = run(engine, node, tmp_path / "out")
        assert list(engine._scratch.rglob("rows.parquet")) == [], "rows of a split go once it is transformed"
    parts = list(ROWS.filter(TRAINING).iter_slices(500))
    assert len(parts) == 4
    assert train["TE_number_y"].to_list() == pytest.approx(out_of_fold(parts), rel=1e-6)
    assert_frame_equal(valid, served(node)[1], rel_tol=1e-6)


def test_numbers_without_a_value_keep_its_mean(engine: NvtabularEngine, tmp_path: Path) -> None:
    """It divides by the rows of the key; so it was trained, and so it is served."""
    fitted, (train, *_) = run(engine, ["word"] >> JoinGroupby(["gap", "same"], ["mean", "std"]), tmp_path)
    rows = ROWS.filter(TRAINING)
    mean = rows.select(pl.col("gap").sum().over("word") / pl.len().over("word"))["gap"]
    assert train["word_gap_mean"].to_list() == pytest.approx(mean.to_list(), rel=1e-6)
    assert fitted.transform(rows).collect()["word_gap_mean"].to_list() == pytest.approx(mean.to_list(), rel=1e-6)
    assert train["word_same_std"].fill_null(0.0).max() < 1e-6, "what rounding leaves has a root, or none"


@pytest.mark.parametrize(
    ("node", "words"),
    [
        (["hole"] >> JoinGroupby("x", ["mean"]), "column hole: .*divides by their number, 0; put fill_missing before"),
        (["hole"] >> JoinGroupby("x", ["std"]), "column hole: .*divides by their number, 0; put fill_missing before"),
        (["hole"] >> TargetEncoding("y"), "column hole: .*doesn't count them; put fill_missing before"),
        (["word"] >> TargetEncoding("gap"), "column gap: NVTabular counts rows that have no target"),
        (["x"] >> TargetEncoding("y"), "column x: only whole numbers and strings can be keys"),
        (["later"] >> JoinGroupby("x"), "NVTabular failed in its transform: .*non-finite"),
        (["word"] >> JoinGroupby(), "join_groupby can't be handed to NVTabular: it needs cont_cols"),
        ([["word", "w"], "w"] >> JoinGroupby("x"), "a column both alone and in a group"),
        (["word"] >> JoinGroupby("x", ["max", "min"]), "needs a statistic beside min and max"),
        (["word"] >> JoinGroupby("x", ["sum"], name_sep="-"), "name_sep isn't `_`"),
        (["word"] >> TargetEncoding("y", target_mean=0.5), "fails where target_mean is given"),
        (["word"] >> TargetEncoding("y", out_col="z"), "fails where out_col is given"),
        (["word"] >> TargetEncoding("y", drop_folds=False), "folds are there for its own training rows alone"),
    ],
)
def test_what_it_gets_wrong_is_refused(engine: NvtabularEngine, node: Any, words: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=words):
        run(engine, node, tmp_path)
    assert list(tmp_path.rglob("*.parquet")) == []


def test_null_keys_are_fine_once_they_are_filled(engine: NvtabularEngine, tmp_path: Path) -> None:
    node = ["hole"] >> FillMissing("none") >> TargetEncoding("y", kfold=1)
    _, made = run(engine, node, tmp_path)
    for found, wanted in zip(made, served(node), strict=True):
        assert_frame_equal(found, wanted, rel_tol=1e-6)


def test_other_training_rows_than_those_of_the_fit(engine: NvtabularEngine, tmp_path: Path) -> None:
    fitted = engine.fit(Workflow(["word"] >> TargetEncoding("y")), ROWS.lazy(), only=TRAINING & (pl.col(ROW) != 7))
    with pytest.raises(UserError, match=r"not those that NVTabular was fitted on \(row 7\)"):
        engine.write(fitted, ROWS.lazy(), tmp_path, keep=[SPLIT, ROW], training=TRAINING)
