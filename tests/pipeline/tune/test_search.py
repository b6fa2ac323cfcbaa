"""A search: the same trials whatever is killed, judged without the test rows, and what it leaves behind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from core.config import load_text
from core.dataset import SPLIT, SPLITS, Dataset
from core.errors import UserError
from core.files import read_json
from pipeline import runner
from pipeline.commands.tune import tune
from pipeline.lock import locked
from pipeline.runner import Interrupted
from pipeline.spec import RunSpec
from pipeline.tune.results import best_config
from pipeline.tune.space import Config
from pipeline.tune.trainings import Training
from pipeline.tune.trials import Trial
from tests.pipeline.tune import ground
from train.track.epochs import Epoch, listening

pytest.importorskip("optuna")


def search(config: Path, runs: Path, *changes: str) -> dict[str, Any]:
    tune(config, changes=changes, device="cpu", runs_dir=runs, dry=False, verbose=False)
    found: dict[str, Any] = read_json(runs / "clubs-tune" / "tune.json")
    return found


def trials(found: dict[str, Any]) -> list[dict[str, Any]]:
    return [ground.settled(one) for one in found["trials"]]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("search")
    return folder, search(ground.write(folder), folder / "runs")


def interrupt(trial: int, epoch: int) -> Callable[[Epoch], None]:
    """A listener that interrupts, as Ctrl-C would, after an epoch of a trial."""

    def heard(told: Epoch) -> None:
        if told.directory.parent.name == str(trial) and told.number == epoch:
            raise KeyboardInterrupt

    return heard


def test_a_search_tries_judges_and_keeps_the_best(undisturbed) -> None:
    folder, found = undisturbed
    assert [one["state"] for one in found["trials"]] == ["complete"] * 4
    values = [max(each["valid"]["recall@5"] for each in one["epochs"]) for one in found["trials"]]
    assert [one["value"] for one in found["trials"]] == values
    assert found["best"] == 1 + values.index(max(values))
    root = folder / "runs" / "clubs-tune"
    kept = [path.parent.name for path in root.glob("trials/*/retriever")]
    assert kept == [str(found["best"])]
    assert (root / "trials" / kept[0] / "retriever" / "model.safetensors").exists()
    assert len(list((root / "data").iterdir())) == 1


@pytest.mark.parametrize("moment", [(1, 1), (2, 2), (3, 1), (4, 3)])
def test_interrupted_and_gone_on_with_it_is_the_same_search(undisturbed, tmp_path, moment) -> None:
    config = ground.write(tmp_path)
    with listening(interrupt(*moment)), pytest.raises(Interrupted, match=f"trial {moment[0]}.*go on"):
        search(config, tmp_path / "runs")
    trained: list[tuple[str, int]] = []
    with listening(lambda told: trained.append((told.directory.parent.name, told.number))):
        found = search(config, tmp_path / "runs")
    assert trials(found) == trials(undisturbed[1])
    assert found["best"] == undisturbed[1]["best"]
    assert {trial for trial, _ in trained} == {str(n) for n in range(moment[0], 5)}


def test_further_trials_are_those_of_a_longer_search(undisturbed, tmp_path) -> None:
    config = ground.write(tmp_path)
    search(config, tmp_path / "runs", "tune.trials=2")
    assert trials(search(config, tmp_path / "runs")) == trials(undisturbed[1])


def test_the_test_split_is_not_read(undisturbed, tmp_path, monkeypatch) -> None:
    """Its part files are gone and its interactions are other ones before the first trial begins."""

    def poisoned(context, *rest, **more):
        steps = runner.execute(context, *rest, **more)
        dataset = Dataset(context.run_dir / "etl")
        for file in dataset.files("test"):
            file.unlink()
        rows = pl.read_parquet(dataset.interactions_file)
        test = pl.col(SPLIT) == SPLITS.index("test")
        mixed = [
            pl.when(test).then(pl.col(name).reverse()).otherwise(pl.col(name)) for name in ("__item__", "__user__")
        ]
        changed = rows.with_columns(*mixed)
        assert not changed.equals(rows)
        changed.write_parquet(dataset.interactions_file)
        return steps

    monkeypatch.setattr("pipeline.tune.search.execute", poisoned)
    assert trials(search(ground.write(tmp_path), tmp_path / "runs")) == trials(undisturbed[1])


def test_the_best_config_runs_from_its_place(undisturbed, tmp_path) -> None:
    from tests.e2e.run import in_process

    folder, found = undisturbed
    best = folder / "runs" / "clubs-tune" / "best.yaml"
    assert f"# Trial {found['best']}, the best of 4" in best.read_text()
    outcome = in_process("evaluate", best, "--split", "valid", "--runs-dir", tmp_path)
    assert outcome.code == 0, outcome.err
    history = read_json(tmp_path / "clubs-best" / "train" / "retriever" / "history.json")
    trial = found["trials"][found["best"] - 1]
    assert [one["valid"] for one in history["epochs"]] == [one["valid"] for one in trial["epochs"]]


def test_a_trial_that_diverges_is_told_and_the_search_goes_on(tmp_path) -> None:
    space = "{train.retriever.optimizer.embedding_rate: [0.01, 1.0e+38, 3.0e+37]}"
    found = search(ground.write(tmp_path), tmp_path / "runs", f"tune.space={space}", "tune.trials=6")
    failed = [one for one in found["trials"] if one["state"] == "failed"]
    assert failed
    assert all("finite" in one["reason"] and one["value"] is None for one in failed)
    assert found["trials"][found["best"] - 1]["settings"] == {"train.retriever.optimizer.embedding_rate": 0.01}
    rates = {one["settings"]["train.retriever.optimizer.embedding_rate"] for one in found["trials"]}
    assert len(found["trials"]) == 6 or len(rates) == 3


def test_out_of_memory_is_a_failed_trial_and_a_broken_file_ends_the_search(tmp_path, monkeypatch) -> None:
    train = Training._train

    def short_of_memory(self: Training, out: Path) -> None:
        if out.parent.name == "2":
            raise RuntimeError("[enforce fail at alloc_cpu.cpp] . DefaultCPUAllocator: can't allocate memory")
        if out.parent.name == "3":
            raise UserError("this file is broken", where="x.parquet")
        train(self, out)

    monkeypatch.setattr(Training, "_train", short_of_memory)
    with pytest.raises(UserError, match="x.parquet: this file is broken"):
        search(ground.write(tmp_path), tmp_path / "runs")
    found = read_json(tmp_path / "runs" / "clubs-tune" / "tune.json")
    assert [one["state"] for one in found["trials"]] == ["complete", "failed"]
    assert found["trials"][1]["reason"] == "there was not enough memory"


def test_a_combination_that_is_impossible_is_a_failed_trial(tmp_path) -> None:
    model = "{kind: sasrec, embedding_dim: 4, blocks: 1, heads: 1, longest: 8}"
    space = "{train.retriever.model.embedding_dim: [4, 6], train.retriever.model.heads: [1, 2, 4]}"
    changes = (f"train.retriever.model={model}", f"tune.space={space}", "train.retriever.epochs=1")
    with pytest.raises(UserError, match="heads"):  # 4 heads can't be in 6 dimensions: told for the value alone
        search(ground.write(tmp_path), tmp_path / "runs", *changes, "train.retriever.model.embedding_dim=6")
    found = search(ground.write(tmp_path), tmp_path / "runs", *changes, "tune.trials=40")
    tried = {tuple(sorted(one["settings"].values())): one["state"] for one in found["trials"]}
    assert tried[4, 6] == "failed"
    assert len(tried) == 6
    assert len(found["trials"]) < 40


def test_bad_trials_are_given_up(tmp_path) -> None:
    changes = ("tune.pruner={kind: median, startup: 2}", "tune.trials=8", "train.retriever.epochs=6")
    found = search(ground.write(tmp_path), tmp_path / "runs", *changes)
    pruned = [one for one in found["trials"] if one["state"] == "pruned"]
    assert pruned
    assert all(len(one["epochs"]) < 6 for one in pruned)
    again = ground.write(tmp_path)
    with listening(interrupt(pruned[0]["number"], 1)), pytest.raises(Interrupted):
        search(again, tmp_path / "other", *changes)
    assert trials(search(again, tmp_path / "other", *changes)) == trials(found)


def test_settings_of_features_have_data_sets_of_their_own(tmp_path) -> None:
    space = "{etl.features.0.ops.0.categorify.freq_threshold: [0, 3], train.retriever.model.embedding_dim: [2]}"
    changes = (f"tune.space={space}",)
    found = search(ground.write(tmp_path), tmp_path / "runs", *changes)
    assert {one["settings"]["etl.features.0.ops.0.categorify.freq_threshold"] for one in found["trials"]} == {0, 3}
    assert len(list((tmp_path / "runs/clubs-tune/data").iterdir())) == 1  # the best one's


def test_features_that_drop_rows_are_not_searched(tmp_path) -> None:
    features = "etl.features=[{columns: [u, i], ops: [categorify]}, {columns: [t], ops: [normalize]}]"
    space = 'tune.space={etl.features.1.ops: [[normalize], [{filter: {f: "t != 7"}}, normalize]]}'
    with pytest.raises(UserError, match=r"judged by different rows: \d+ validation rows .* leave out of the space"):
        search(ground.write(tmp_path), tmp_path / "runs", features, space)


def test_what_is_counted_is_judged_without_epochs(tmp_path) -> None:
    changes = ("train.retriever.model=ease", "tune.space={train.retriever.model.l2: [0.1, 10000]}", "tune.keep=all")
    found = search(ground.write(tmp_path), tmp_path / "runs", *changes)
    values = {one["settings"]["train.retriever.model.l2"]: one["value"] for one in found["trials"]}
    assert values.keys() == {0.1, 10000}
    assert all(0.3 < value <= 1.0 for value in values.values())
    assert len(list((tmp_path / "runs/clubs-tune/trials").glob("*/retriever/model.safetensors"))) == 2


def test_other_data_or_another_space_is_another_search(undisturbed, tmp_path) -> None:
    folder, _ = undisturbed
    config = folder / "clubs.yaml"
    with pytest.raises(UserError, match=r"another search lies here \(other settings\)"):
        search(config, folder / "runs", "train.retriever.epochs=2")
    with pytest.raises(UserError, match=r"other seed\).*--set name"):
        search(config, folder / "runs", "tune.seed=7")
    with locked(folder / "runs" / "clubs-tune"), pytest.raises(UserError, match="another process"):
        search(config, folder / "runs")


def test_what_stopped_the_first_trial_can_be_mended_in_the_same_place(tmp_path) -> None:
    config = ground.write(tmp_path)
    with pytest.raises(UserError, match="split"):
        search(config, tmp_path / "runs", "etl.split.test=0.001", "tune.trials=1")
    assert len(search(config, tmp_path / "runs", "tune.trials=1")["trials"]) == 1


def test_the_best_config_finds_what_lay_beside_the_config(tmp_path) -> None:
    config = ground.write(tmp_path)
    (tmp_path / "monday").mkdir()
    loaded = Config.load(config, ("train.retriever.start_from=monday", "etl.start_from=tuesday"))
    trial = Trial(1, {"train.retriever.model.embedding_dim": 8}, "complete", 0.5)
    best = load_text(RunSpec, best_config(loaded, loaded.checked(), trial, 1), "best.yaml")
    assert best.data.interactions.path == (str(tmp_path / "rows.csv"),)
    assert best.train.retriever.start_from.run == str(tmp_path / "monday")
    assert best.etl.start_from == "tuesday"  # a run by its name
    assert (best.name, best.tune, best.train.retriever.model.embedding_dim) == ("clubs-best", None, 8)


def test_of_several_seeds_the_mean_counts(tmp_path) -> None:
    space = "{train.retriever.model.embedding_dim: [4, 8]}"
    found = search(
        ground.write(tmp_path),
        tmp_path / "runs",
        f"tune.space={space}",
        "train.retriever.seeds=[1, 2]",
        "tune.keep=all",
    )
    for one in found["trials"]:
        if one["same_as"] is None:
            reached = read_json(tmp_path / f"runs/clubs-tune/trials/{one['number']}/retriever/seeds.json")["seeds"]
            assert one["value"] == pytest.approx(sum(each["value"] for each in reached.values()) / 2, abs=1e-12)
