"""MLflow: what is written down of a run, that nothing of the run depends on it, and what happens where it is away."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.errors import MissingExtra, UserError
from core.files import read_json
from pipeline.commands.run import Request, run
from pipeline.commands.tune import tune
from tests.pipeline.tune import ground
from train.track.epochs import Epoch, listening

SMALL = ("train.retriever.epochs=2",)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that MLflow writes into."""
    pytest.importorskip("mlflow.tracking")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    return tmp_path / "store"


def go(folder: Path, runs: str, *changes: str, end: str = "evaluate") -> Path:
    run(Request(ground.write(folder), (*SMALL, *changes), end=end, device="cpu", runs_dir=folder / runs))
    return folder / runs / "clubs"


def to(store: Path) -> str:
    return f"track={{mlflow: 'file://{store}', experiment: tests}}"


def written(store: Path) -> list[Any]:
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=f"file://{store}")
    experiment = client.get_experiment_by_name("tests")
    return list(client.search_runs([experiment.experiment_id]))


def raising(error: BaseException | type[BaseException]) -> Callable[[Epoch], None]:
    """A listener that ends the training after the second epoch."""

    def heard(epoch: Epoch) -> None:
        if epoch.number == 2:
            raise error

    return heard


def history(store: Path, run_id: str, name: str) -> list[tuple[int, float]]:
    from mlflow.tracking import MlflowClient

    found = MlflowClient(tracking_uri=f"file://{store}").get_metric_history(run_id, name)
    return [(one.step, one.value) for one in found]


def test_a_run_is_written_down_and_depends_on_nothing_of_it(store: Path, tmp_path: Path) -> None:
    tracked, plain = go(tmp_path, "tracked", to(store)), go(tmp_path, "plain")
    (tracked / "report.html").write_text("the report")
    go(tmp_path, "tracked", to(store))
    (one,) = written(store)
    assert (one.info.run_name, one.info.status) == ("clubs", "FINISHED")
    assert one.data.params["train.retriever.model.kind"] == "mf"
    assert one.data.params["train.retriever.epochs"] == "2"
    assert not any(name.startswith(("tune", "track")) for name in one.data.params)
    metrics, curves = read_json(tracked / "metrics.json"), read_json(tracked / "train/retriever/history.json")
    assert one.data.metrics["retriever/test/recall_at_10"] == metrics["retriever"]["test"]["recall@10"]
    popular = metrics["retriever"]["baselines"]["popularity"]["test"]["ndcg@10"]
    assert one.data.metrics["retriever/popularity/test/ndcg_at_10"] == popular
    epochs = [(each["epoch"], each["valid"]["recall@5"]) for each in curves["epochs"]]
    assert history(store, one.info.run_id, "retriever/valid/recall_at_5") == epochs
    stages = {name: read_json(place / "manifest.json")["stages"] for name, place in (("a", tracked), ("b", plain))}
    assert one.data.tags["gyrfalcon.data_hash"] == stages["a"]["etl"]["inputs"]["data"]
    assert len(one.data.tags["gyrfalcon.config_hash"]) == 64
    artifacts = Path(one.info.artifact_uri.removeprefix("file://"))
    assert (artifacts / "report.html").read_bytes() == (tracked / "report.html").read_bytes()
    for name in ("etl", "retriever", "evaluate"):
        assert stages["a"][name]["key"] == stages["b"][name]["key"]
    assert (tracked / "config.yaml").read_bytes() == (plain / "config.yaml").read_bytes()
    assert (tracked / "metrics.json").read_bytes() == (plain / "metrics.json").read_bytes()


def test_a_run_that_goes_on_is_one_run_and_each_epoch_is_sent_once(store: Path, tmp_path: Path) -> None:
    with listening(raising(KeyboardInterrupt)), pytest.raises(KeyboardInterrupt):
        go(tmp_path, "runs", to(store))
    assert [one.info.status for one in written(store)] == ["KILLED"]
    go(tmp_path, "runs", to(store))
    go(tmp_path, "runs", to(store))  # nothing runs, nothing is sent again
    (one,) = written(store)
    assert one.info.status == "FINISHED"
    assert [step for step, _ in history(store, one.info.run_id, "retriever/train_loss")] == [1, 2]
    assert len(history(store, one.info.run_id, "retriever/test/recall_at_10")) == 1
    go(tmp_path, "runs", to(store), "train.retriever.epochs=1")
    assert len(written(store)) == 2  # other settings are another run


def test_a_server_that_is_away_costs_a_warning_and_is_made_up_for(store, tmp_path, caplog, monkeypatch) -> None:
    monkeypatch.setattr("core.log.configure", lambda **_: None)
    away = go(tmp_path, "runs", "track={mlflow: 'http://127.0.0.1:9', experiment: tests}")
    assert (away / "metrics.json").exists()
    warned = [one for one in caplog.records if one.name == "gyrfalcon.track"]
    assert len(warned) == 1
    assert "http://127.0.0.1:9" in warned[0].getMessage()
    assert not (away / ".mlflow.json").exists()
    go(tmp_path, "runs", to(store))  # now it is there; no stage runs
    (one,) = written(store)
    assert len(history(store, one.info.run_id, "retriever/train_loss")) == 2
    assert "retriever/test/recall_at_10" in one.data.metrics


def test_each_trial_of_a_search_is_a_run(store: Path, tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    config, changes = ground.write(tmp_path), ("tune.trials=2", "train.retriever.epochs=2", to(store))
    tune(config, changes=changes, device="cpu", runs_dir=tmp_path / "runs", dry=False, verbose=False)
    found = read_json(tmp_path / "runs/clubs-tune/tune.json")["trials"]
    told = {one.info.run_name: one for one in written(store)}
    assert sorted(told) == ["clubs-1", "clubs-2"]
    for trial in found:
        one = told[f"clubs-{trial['number']}"]
        assert one.data.tags["gyrfalcon.state"] == "complete"
        assert one.data.params["train.retriever.model.embedding_dim"] == str(
            trial["settings"]["train.retriever.model.embedding_dim"]
        )
        epochs = [(each["epoch"], each["valid"]["recall@5"]) for each in trial["epochs"]]
        assert history(store, one.info.run_id, "retriever/valid/recall_at_5") == epochs


def test_a_run_that_was_removed_there_is_begun_anew(store: Path, tmp_path: Path) -> None:
    from mlflow.tracking import MlflowClient

    go(tmp_path, "runs", to(store))
    (first,) = written(store)
    MlflowClient(tracking_uri=f"file://{store}").delete_run(first.info.run_id)
    go(tmp_path, "runs", to(store))
    (second,) = written(store)
    assert second.info.run_id != first.info.run_id
    assert len(history(store, second.info.run_id, "retriever/train_loss")) == 2


def test_a_run_that_fails_is_called_failed(store: Path, tmp_path: Path) -> None:
    with listening(raising(UserError("the disk is full"))), pytest.raises(UserError, match="disk"):
        go(tmp_path, "runs", to(store))
    assert [one.info.status for one in written(store)] == ["FAILED"]


def test_without_mlflow_the_cure_is_told_before_any_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def blocked(name: str, *rest: Any, **more: Any) -> Any:
        if name.partition(".")[0] == "mlflow":
            raise ImportError("No module named 'mlflow'")
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", blocked)
    with pytest.raises(MissingExtra, match="pip install .* mlflow-skinny"):
        go(tmp_path, "runs", "track={mlflow: 'http://127.0.0.1:9'}")
    assert not (tmp_path / "runs").exists()
    assert (go(tmp_path, "plain", end="etl") / "etl").exists()  # what is not asked for is not imported


def test_a_password_stands_in_no_config(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="MLFLOW_TRACKING_PASSWORD"):
        go(tmp_path, "runs", "track={mlflow: 'http://me:secret@127.0.0.1:9'}")
