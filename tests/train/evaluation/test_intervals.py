"""Intervals over users: they hold the truth as often as they say, pair what is paired, and move with nothing else."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest
import torch
from sklearn.metrics import roc_auc_score

from train.evaluation.intervals import REPLICATES, replicate
from train.evaluation.ranker import Scored
from train.evaluation.sample import KEYS, ROWS, Sample, frame_of, samples_of
from train.metrics.classification import auc, auc_influence


def sample(value: np.ndarray, name: str = "hr@1", rows: np.ndarray | None = None) -> Sample:
    weight = None if rows is None else torch.from_numpy(rows)
    return Sample(torch.arange(len(value)), {name: torch.from_numpy(value)}, weight)


def test_nineteen_of_twenty_intervals_hold_the_truth() -> None:
    """200 planted data sets of known mean: 95 % of the intervals hold it, within what chance allows."""
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(200):
        low, high = replicate({0: sample((rng.random(300) < 0.3).astype(float))})[0].interval("hr@1", 0.95)
        held += low <= 0.3 <= high
    assert 181 <= held <= 198


def test_the_width_is_that_of_the_normal_law() -> None:
    value = np.random.default_rng(1).normal(size=9000)
    low, high = replicate({0: sample(value)})[0].interval("hr@1", 0.9)
    assert high - low == pytest.approx(2 * 1.6449 * value.std() / math.sqrt(len(value)), rel=0.06)
    assert low < value.mean() < high


def test_the_draws_are_poisson() -> None:
    """A replicate's mean of the draws is told by a user who alone is worth 1: the number of times it counts."""
    value = np.zeros(4)
    value[0] = 1.0
    found = replicate({0: Sample(torch.arange(4), {"m": torch.from_numpy(value)})}, count=20_000)[0].value_RM[:, 0]
    # Given N draws in all, the first user holds a share of 1/4 on average; no draw at all (e^-4) is NaN.
    assert found.nanmean().item() == pytest.approx(0.25, abs=0.006)
    assert found.isnan().double().mean().item() == pytest.approx(math.exp(-4), abs=0.004)


def test_a_difference_is_paired() -> None:
    """Two models that differ by the same on every user differ by exactly that in every replicate."""
    value = np.random.default_rng(2).normal(size=500)
    found = replicate({"a": sample(value + 0.25), "b": sample(value)})
    assert found["a"].against(found["b"], 0.95) == {"hr@1": [0.25, 0.25]}
    alone = replicate({"b": sample(value)})["b"].intervals(0.95)
    assert alone == found["b"].intervals(0.95)


def test_users_without_a_value_do_not_count() -> None:
    value = np.array([1.0, math.nan, 3.0] * 100)
    assert replicate({0: sample(value)})[0].interval("hr@1", 0.5)[0] > 1.9
    nothing = replicate({0: sample(np.full(5, math.nan))})[0].interval("hr@1", 0.5)
    assert all(math.isnan(end) for end in nothing)
    assert replicate({}) == {}


def planted(users: int = 60, rows: int = 900) -> Scored:
    rng = np.random.default_rng(3)
    user, logit = rng.integers(0, users, rows), rng.normal(size=rows).round(1).astype(np.float32)
    target = (rng.random(rows) < 1 / (1 + np.exp(-logit))).astype(np.float32)
    return Scored(torch.from_numpy(logit), torch.from_numpy(target), torch.from_numpy(user))


def test_a_rankers_sample_gives_its_figures_back() -> None:
    scored = planted()
    found, figures = scored.sample(), scored.figures()
    assert found is not None
    for name, value in found.value.items():
        weight = found.weight(name)
        mean = (value.nan_to_num(0.0) * weight).sum() / weight.sum()
        assert mean.item() == pytest.approx(figures[name], abs=1e-12), name


def test_the_aucs_interval_is_that_of_drawing_users_again() -> None:
    """Against the plain bootstrap: rows of drawn users, scikit-learn's AUC of each."""
    scored, rng = planted(), np.random.default_rng(4)
    user, target, logit = (one.numpy() for one in (scored.user_N, scored.target_N, scored.logit_N))
    rows = [np.flatnonzero(user == one) for one in np.unique(user)]
    drawn = [np.concatenate([rows[at] for at in rng.integers(0, len(rows), len(rows))]) for _ in range(600)]
    plain = np.quantile([roc_auc_score(target[each], logit[each]) for each in drawn], [0.025, 0.975])
    ours = replicate({0: scored.sample()})[0].interval("auc", 0.95)
    assert ours == pytest.approx(plain.tolist(), abs=0.006)


def test_influence_is_what_a_row_more_moves() -> None:
    scored = planted(rows=200)
    influence, whole = auc_influence(scored.logit_N, scored.target_N), auc(scored.logit_N, scored.target_N)
    assert influence.sum().item() == pytest.approx(0.0, abs=1e-12)
    copies = 1e-6
    weight = np.ones(200)
    weight[7] += copies
    moved = roc_auc_score(scored.target_N.numpy(), scored.logit_N.numpy(), sample_weight=weight)
    assert (moved - whole) / copies == pytest.approx(influence[7].item(), rel=1e-3)
    assert auc_influence(torch.zeros(3), torch.ones(3)).isnan().all()


def test_samples_survive_the_file(tmp_path) -> None:
    held = {
        ("ranker", "mlp", "test"): planted().sample(),
        ("retriever", "mf", "valid"): Sample(torch.tensor([2, 5]), {"recall@3": torch.tensor([0.5, 1.0]).double()}),
    }
    frame_of(held).write_parquet(tmp_path / "users.parquet")
    frame = pl.read_parquet(tmp_path / "users.parquet")
    assert set(KEYS) | {ROWS, "auc", "recall@3"} <= set(frame.columns)
    found = samples_of(frame)
    assert found.keys() == held.keys()
    for key, one in held.items():
        assert torch.equal(found[key].user_Q, one.user_Q)
        assert found[key].value.keys() == one.value.keys()
        for name, value in one.value.items():
            assert torch.equal(found[key].value[name].nan_to_num(-1), value.nan_to_num(-1))
            assert torch.equal(found[key].weight(name), one.weight(name))
    assert samples_of(frame_of({})) == {}


def test_over_more_users_the_others_do_not_count() -> None:
    narrow = Sample(torch.tensor([3, 8]), {"gauc": torch.tensor([0.5, 1.0]).double()}, torch.tensor([4, 6]))
    wide = narrow.over(torch.tensor([1, 3, 5, 8]))
    assert wide.weight("gauc").tolist() == [0.0, 4.0, 0.0, 6.0]
    assert wide.value["gauc"].nan_to_num(-1).tolist() == [-1.0, 0.5, -1.0, 1.0]
    assert REPLICATES == 1000
