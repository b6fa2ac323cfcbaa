"""What can't be searched is told before the first trial, with place, value and cure; what a search draws."""

from __future__ import annotations

import builtins
from pathlib import Path

import pytest

from core.config import load_text
from core.errors import MissingExtra, UserError
from pipeline.commands.tune import tune
from pipeline.tune import sampling
from pipeline.tune.space import Config, values
from pipeline.tune.spec import TuneSpec
from pipeline.tune.trials import Trial
from tests.pipeline.tune import ground

LINE = 1 + next(at for at, line in enumerate(ground.CONFIG.splitlines()) if line.endswith("[2, 4, 8]"))


def checked(folder: Path, *changes: str) -> Config:
    config = Config.load(ground.write(folder), changes)
    config.checked()
    return config


def refused(folder: Path, *changes: str) -> str:
    with pytest.raises(UserError) as caught:
        checked(folder, *changes)
    return str(caught.value)


@pytest.mark.parametrize(
    ("path", "dimension", "words"),
    [
        ("train.retriever.optimizer.rat", "{low: 0.1, high: 1.0}", "unknown key; did you mean rate?"),
        ("train.retriever.model.embeding_dim", "[8]", "did you mean embedding_dim?"),
        ("train.retriever.model.embedding_dim", "[8, -4]", "-4: must be greater than 0, got -4"),
        ("train.retriever.model.embedding_dim", "{low: 2.0, high: 16.0}", "must be a whole number"),
        ("train.retriever.optimizer.embedding", "[adam, adamw]", "\"adamw\": must be 'adagrad'"),
        ("train.retriever.model.kind", "[mf, mff]", "there is no retriever 'mff'; did you mean mf?"),
        ("train.retriever.optimizer.rate.x", "[1]", "the path leads through the value"),
        ("train.ranker.epochs", "[1]", "this can't change recall@5, which is the retriever's"),
        ("train.retriever.monitor_k", "[5, 10]", "how a training is watched"),
        ("train.retriever.seeds", "[[1], [2]]", "how a training is watched"),
        ("seed", "[1, 2]", "trials could not be compared"),
        ("etl.split.valid", "[0.1, 0.2]", "trials could not be compared"),
        ("etl.features.0.ops.0.categorify.freq", "[1]", "unknown key"),
        ("etl.features.7.ops", "[[categorify]]", "no place in a list"),
        ("evaluate.k", "[[5]]", "no setting that training could show the worth of"),
        ("train.retriever", "[null]", "no setting that training could show the worth of"),
    ],
)
def test_a_wrong_path_or_value_is_refused_before_the_first_trial(tmp_path, path, dimension, words) -> None:
    text = ground.CONFIG.replace("train.retriever.model.embedding_dim: [2, 4, 8]", f"{path}: {dimension}")
    if "embedding_dim" in path:
        text = ground.CONFIG.replace("[2, 4, 8]", dimension).replace("model.embedding_dim:", f"{path[16:]}:")
    config = Config.load(ground.write(tmp_path, text), ())
    with pytest.raises(UserError) as caught:
        config.checked()
    told = str(caught.value)
    assert words in told
    assert f"tune.space.{path}: " in told
    assert f"clubs.yaml:{LINE}:" in told
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("dimension", "words"),
    [
        ("{low: 1, high: 1}", "must be above low (1), got 1"),
        ("{low: 0, high: 1, log: true}", "must be above 0 where log is true"),
        ("{low: 1, high: 9, step: 10}", "at most high - low (8), got 10"),
        ("{low: 1, high: 9, step: 2, log: true}", "doesn't go with log"),
        ("{low: 1, hgih: 9}", "did you mean high?"),
        ("[]", "must have at least 1"),
        ("7", "must be"),
    ],
)
def test_a_wrong_range_is_told_where_it_stands(tmp_path, dimension, words) -> None:
    text = ground.CONFIG.replace("[2, 4, 8]", dimension)
    with pytest.raises(UserError) as caught:
        Config.load(ground.write(tmp_path, text), ())
    assert words in str(caught.value)
    assert f"clubs.yaml:{LINE}:" in str(caught.value)


def test_a_figure_that_is_not_told_is_refused(tmp_path) -> None:
    assert "did you mean recall@5?" in refused(tmp_path, "tune.monitor=recal@5")
    assert "set train.retriever.monitor_k=20" in refused(tmp_path, "tune.monitor=recall@20")
    assert "no validation figure 'auc'" in refused(tmp_path, "tune.monitor=auc")


def test_which_model_is_searched_follows_from_the_space_or_is_asked_for(tmp_path) -> None:
    ranker = "train.ranker={model: logistic, monitor: logloss, negatives: {count: 1}}"
    config = checked(tmp_path, ranker)
    assert config.checked().side == "retriever"
    only = "tune.space={train.ranker.optimizer.rate: [0.1]}"
    wanted = checked(tmp_path, ranker, only).checked()
    assert (wanted.side, wanted.monitor, wanted.larger_is_better) == ("ranker", "logloss", False)
    both = "tune.space={etl.features.0.ops.0.categorify.freq_threshold: [0, 2]}"
    assert "set tune.monitor to recall@5 or logloss" in refused(tmp_path, ranker, both)
    assert checked(tmp_path, ranker, both, "tune.monitor=auc").checked().side == "ranker"


def test_a_config_without_a_search_is_told(tmp_path) -> None:
    config = ground.write(tmp_path, ground.CONFIG.partition("tune:")[0])
    with pytest.raises(UserError, match="says nothing of a search.*tune: {space:"):
        Config.load(config, ())


def test_without_optuna_the_cure_is_told_before_any_work(tmp_path, monkeypatch) -> None:
    real = builtins.__import__

    def blocked(name, *rest, **more):
        if name.partition(".")[0] == "optuna":
            raise ImportError("No module named 'optuna'")
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", blocked)
    with pytest.raises(MissingExtra, match="pip install .* optuna"):
        tune(ground.write(tmp_path), changes=(), device="cpu", runs_dir=tmp_path / "runs", dry=False, verbose=False)
    assert not (tmp_path / "runs").exists()


def test_values_that_can_be_counted() -> None:
    space = "a: [1, x]\nb: {low: 1, high: 3}\nc: {low: 0, high: 1, step: 0.5}\nd: {low: 0.0, high: 1}"
    spec = load_text(TuneSpec, "space:\n" + "".join(f"  {line}\n" for line in space.splitlines()), "x.yaml")
    assert [values(one) for one in spec.space.values()] == [[1, "x"], [1, 2, 3], [0, 0.5, 1.0], None]


SPACE = {
    "rate": {"low": 1e-4, "high": 1e-1, "log": True},
    "dim": [32, 64, None, {"kind": "x"}, [1], True],
    "share": {"low": 0, "high": 0.65, "step": 0.1},
    "layers": {"low": 1, "high": 8, "step": 3},
}


class TestSampling:
    def drawn(self, count: int, **more) -> list[dict]:
        pytest.importorskip("optuna")
        spec = TuneSpec(space=SPACE, **more)
        found: list[Trial] = []
        for number in range(1, count + 1):
            guess = sampling.guess(spec, found, seed=3, number=number, monitor="auc", larger_is_better=True)
            found.append(Trial(number, guess.settings, "complete", float(guess.settings["share"])))
        return [dict(one.settings) for one in found]

    @pytest.mark.parametrize("sampler", ["tpe", "random"])
    def test_values_are_possible_and_short(self, sampler) -> None:
        for one in self.drawn(25, sampler=sampler):
            assert 1e-4 <= one["rate"] <= 1e-1
            assert len(f"{one['rate']:g}") <= 11
            assert one["rate"] == float(f"{one['rate']:.6g}")
            assert one["dim"] in SPACE["dim"]
            assert one["share"] in [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
            assert one["layers"] in (1, 4, 7)
            assert isinstance(one["layers"], int)

    def test_tpe_goes_where_trials_are_good(self) -> None:
        share = [one["share"] for one in self.drawn(40)]
        assert sum(share[20:]) / 20 > sum(share[:10]) / 10 + 0.1

    def test_a_trial_is_given_up_below_the_median(self) -> None:
        pytest.importorskip("optuna")
        spec = TuneSpec(space={"rate": {"low": 0.0, "high": 1.0}}, pruner={"kind": "median", "startup": 2, "warmup": 2})
        epochs = [{"epoch": n, "train_loss": 1.0, "valid": {"auc": 0.6 + n / 100}} for n in (1, 2, 3)]
        done = [Trial(n, {"rate": n / 10}, "complete", 0.63, 3, epochs) for n in (1, 2, 3)]
        guess = sampling.guess(spec, done, seed=1, number=4, monitor="auc", larger_is_better=True)
        assert [guess.hopeless(epoch, 0.5) for epoch in (1, 2)] == [False, True]
        good = sampling.guess(spec, done, seed=1, number=4, monitor="auc", larger_is_better=True)
        assert not any(good.hopeless(epoch, 0.9) for epoch in (1, 2, 3))
