"""The generated clicks: same bytes however they are made, known truth, nothing half-written."""

import errno
import json

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import log_loss, roc_auc_score

from core.errors import UserError
from pipeline import generate
from pipeline.click_model import BLOCK, CARDINALITIES, ClickModel, _pareto, _scramble
from pipeline.generate import criteo_like


@pytest.fixture(scope="module")
def model():
    return ClickModel.of(seed=1, scale=1.0)


@pytest.fixture(scope="module")
def block(model):
    return model.block(0)


def test_columns_types_and_nulls(tmp_path):
    criteo_like(tmp_path / "rows", 5_000, 1, scale=0.1)
    frame = pl.read_parquet(tmp_path / "rows" / "part-*.parquet")
    assert frame.columns == ["label", *(f"I{j}" for j in range(1, 14)), *(f"C{j}" for j in range(1, 27))]
    assert frame.height == 5_000
    assert set(frame["label"].unique()) == {0, 1}
    assert frame["I2"].null_count() == 0
    assert frame["I12"].null_count() / 5_000 == pytest.approx(0.76, abs=0.03)
    assert frame["C1"].dtype == pl.Int64
    assert frame["C3"].n_unique() > frame["C17"].n_unique()


def test_bytes_depend_on_neither_threads_nor_length(tmp_path, monkeypatch):
    monkeypatch.setattr(generate, "PART", BLOCK)
    rows = BLOCK + 3_000
    one = criteo_like(tmp_path / "one", rows, 7, scale=0.1, threads=1)
    two = criteo_like(tmp_path / "two", rows, 7, scale=0.1, threads=2)
    assert one == two
    names = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert names == ["about.json", "part-00000.parquet", "part-00001.parquet"]
    assert all((tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes() for name in names)
    criteo_like(tmp_path / "short", 1_000, 7, scale=0.1)
    short = pl.read_parquet(tmp_path / "short" / "part-00000.parquet")
    assert short.equals(pl.read_parquet(tmp_path / "one" / "part-00000.parquet").head(1_000))


def test_another_seed_gives_other_rows(tmp_path):
    for seed in (1, 2):
        criteo_like(tmp_path / str(seed), 1_000, seed, scale=0.1)
    assert not pl.read_parquet(tmp_path / "1/part-*.parquet").equals(pl.read_parquet(tmp_path / "2/part-*.parquet"))


def test_the_reported_figures_are_those_of_the_truth(tmp_path, block):
    figures = criteo_like(tmp_path / "rows", BLOCK, 1)
    probability = 1 / (1 + np.exp(-block.logit_B.astype(np.float64)))
    assert figures.bayes_auc == pytest.approx(roc_auc_score(block.label_B, probability), abs=1e-4)
    assert figures.bayes_logloss == pytest.approx(log_loss(block.label_B, probability), abs=1e-4)
    assert figures.positives == pytest.approx(0.256, abs=0.01)
    about = json.loads((tmp_path / "rows" / "about.json").read_text())
    assert about["bayes_auc"] == figures.bayes_auc
    assert 0.78 < figures.bayes_auc < 0.85


def test_labels_follow_the_true_probability(block):
    probability = 1 / (1 + np.exp(-block.logit_B))
    for part in np.array_split(np.argsort(probability), 10):
        assert block.label_B[part].mean() == pytest.approx(probability[part].mean(), abs=0.02)


def test_pairs_of_ids_carry_part_of_the_truth(model, block):
    def alone(table):
        linear = table[:, :1] + 0.5 * np.square(table[:, 1:]).sum(axis=1, keepdims=True)
        return np.concatenate([linear, 0 * table[:, 1:]], axis=1).astype(np.float32)

    linear = ClickModel(
        model.seed, model.cardinalities, model.count_weights, tuple(map(alone, model.id_weights)), model.intercept
    )
    lost = roc_auc_score(block.label_B, block.logit_B) - roc_auc_score(block.label_B, linear.block(0).logit_B)
    assert lost > 0.02


def test_cardinalities_follow_the_scale(block):
    assert ClickModel.of(seed=1, scale=10.0).cardinalities[2] == 10 * CARDINALITIES[2]
    assert min(ClickModel.of(seed=1, scale=1e-6).cardinalities) == 3
    for (id_B, null_B), bound in zip(block.ids, CARDINALITIES, strict=True):
        assert len(np.unique(id_B[~null_B])) <= bound


def test_frequencies_fall_as_zipf_says():
    value_B, _ = _pareto(np.random.default_rng(1), ceiling=10_000, power=-16, null_rate=0.0)
    assert (value_B.min(), value_B.max() <= 10_000) == (1, True)
    counts = np.bincount(value_B, minlength=10_001)
    # a = 1 + 1/16: twice the rank, 2^-1.0625 of the frequency
    assert counts[1:3].sum() > 5 * counts[10:12].sum()
    ratio = counts[200:300].sum() / counts[100:150].sum()
    assert ratio == pytest.approx(2 ** (1 - 1.0625), rel=0.1)


@given(arrays(np.int64, st.integers(2, 50), elements=st.integers(0, 2**32 - 1), unique=True))
def test_scrambling_keeps_ids_apart(values):
    scrambled = _scramble(values)
    assert len(set(scrambled.tolist())) == len(values)
    assert scrambled.min() >= 0


@pytest.mark.parametrize(("rows", "scale", "word"), [(0, 1.0, "rows"), (1, 0.0, "scale"), (1, 401.0, "scale")])
def test_parameters_out_of_range(tmp_path, rows, scale, word):
    with pytest.raises(UserError, match=word):
        criteo_like(tmp_path / "rows", rows, 1, scale=scale)


@pytest.mark.parametrize("fault", [KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left on device")])
def test_a_failure_leaves_what_was_there(tmp_path, monkeypatch, fault):
    criteo_like(tmp_path / "rows", 100, 1, scale=0.01)
    before = {path.name: path.read_bytes() for path in (tmp_path / "rows").iterdir()}
    monkeypatch.setattr(generate, "PART", BLOCK)

    def fail(block, rows):
        raise fault

    monkeypatch.setattr(generate, "_tally", fail)
    with pytest.raises(KeyboardInterrupt if isinstance(fault, KeyboardInterrupt) else UserError):
        criteo_like(tmp_path / "rows", 3 * BLOCK, 2, scale=0.01)
    assert {path.name: path.read_bytes() for path in (tmp_path / "rows").iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["rows"]
