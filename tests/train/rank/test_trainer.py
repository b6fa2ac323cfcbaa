"""The training loop: early stopping, the best weights, resumption to the bit, and losses that are no numbers."""

from __future__ import annotations

import json
import math
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

import core.files
from core.errors import UserError
from tests.train.synthetic import Planted
from train.batch import Batch, Features
from train.checkpoint import Position, best_file, load_checkpoint, save_checkpoint
from train.determinism import seeded
from train.loader import Loader
from train.losses.pointwise import binary_cross_entropy
from train.models.rank.mlp import MlpSpec
from train.optim.mover import Mover
from train.spec import OptimizerSpec
from train.trainer import Outcome, Plan, Task, _Run, fit

CPU = torch.device("cpu")
PLAN = Plan(
    name="test",
    where="train.ranker",
    run="one",
    epochs=3,
    optimizer=OptimizerSpec(clip_norm=1.0, warmup_steps=5, schedule="cosine"),
    monitor="figure",
    larger_is_better=True,
    patience=3,
    checkpoint_seconds=0.0,
)


class Killed(BaseException):
    """Stands for SIGKILL: nothing of ours catches it."""


def _train(planted: Planted, out: Path, plan: Plan = PLAN, figures: Callable[[], float] | None = None) -> Outcome:
    """Train a small model with dropout, whose random state a resume must bring back."""
    features = Features.of(planted.dataset.schema())
    loader = Loader(planted.dataset.files("train"), features, 256, shuffle=True, seed=1, block_rows=1000)
    with seeded(1, CPU):
        module = MlpSpec(embedding_dim=4, hidden=(16,), dropout=0.3).build(features)

        def loss(batch: Batch) -> torch.Tensor:
            return binary_cross_entropy(module(batch), batch.target_B)

        def validate() -> dict[str, float]:
            if figures is not None:
                return {"figure": figures()}
            return {"figure": float(sum(weight.sum() for weight in module.parameters()))}

        outcome = fit(Task(module, loss, loader, validate), plan, out, device=CPU)
    _last[out] = module
    return outcome


_last: dict[Path, nn.Module] = {}


def _bytes(out: Path, outcome: Outcome) -> tuple[list[bytes], str]:
    weights = [weight.detach().numpy().tobytes() for weight in _last[out].state_dict().values()]
    return weights, json.dumps(outcome.history, sort_keys=True)


@pytest.fixture(scope="module")
def undisturbed(planted: Planted, tmp_path_factory: pytest.TempPathFactory) -> tuple[list[bytes], str]:
    out = tmp_path_factory.mktemp("undisturbed")
    return _bytes(out, _train(planted, out, replace(PLAN, checkpoint_seconds=1e9)))


def _kill_at(monkeypatch: pytest.MonkeyPatch, owner: object, name: str, call: int) -> None:
    original, calls = getattr(owner, name), iter(range(1, 10**9))

    def fatal(*args: object, **kwargs: object) -> object:
        if next(calls) == call:
            raise Killed
        return original(*args, **kwargs)

    monkeypatch.setattr(owner, name, fatal)


def _kill_and_resume(planted: Planted, out: Path, owner: object, name: str, call: int) -> Outcome:
    with pytest.MonkeyPatch.context() as patch:
        _kill_at(patch, owner, name, call)
        with pytest.raises(Killed):
            _train(planted, out)
    return _train(planted, out)


@pytest.mark.parametrize("call", random.Random(0).sample(range(1, 30), 5))
def test_killed_between_steps_it_ends_the_same(
    planted: Planted, tmp_path: Path, undisturbed: tuple[list[bytes], str], call: int
) -> None:
    outcome = _kill_and_resume(planted, tmp_path, Mover, "step", call)
    assert _bytes(tmp_path, outcome) == undisturbed


@pytest.mark.parametrize("call", random.Random(1).sample(range(1, 90), 6))
def test_killed_between_renames_it_ends_the_same(
    planted: Planted, tmp_path: Path, undisturbed: tuple[list[bytes], str], call: int
) -> None:
    outcome = _kill_and_resume(planted, tmp_path, core.files.os, "replace", call)
    assert _bytes(tmp_path, outcome) == undisturbed


@pytest.mark.parametrize("epoch", [1, 2, 3])
def test_killed_while_it_validates_it_ends_the_same(
    planted: Planted, tmp_path: Path, undisturbed: tuple[list[bytes], str], epoch: int
) -> None:
    outcome = _kill_and_resume(planted, tmp_path, _Run, "_close", epoch)
    assert _bytes(tmp_path, outcome) == undisturbed


def test_killed_three_times_it_ends_the_same(
    planted: Planted, tmp_path: Path, undisturbed: tuple[list[bytes], str]
) -> None:
    for call in (4, 7, 12):
        with pytest.MonkeyPatch.context() as patch:
            _kill_at(patch, Mover, "step", call)
            with pytest.raises(Killed):
                _train(planted, tmp_path)
    assert _bytes(tmp_path, _train(planted, tmp_path)) == undisturbed


def test_resuming_does_not_start_over(planted: Planted, tmp_path: Path) -> None:
    outcome = _kill_and_resume(planted, tmp_path, Mover, "step", 15)
    assert outcome.rows < 3 * Loader(planted.dataset.files("train"), Features((), (), ()), 1).rows / 2 + 256


def test_a_checkpoint_of_another_run_is_left_alone(planted: Planted, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        _kill_at(patch, Mover, "step", 15)
        with pytest.raises(Killed):
            _train(planted, tmp_path)
    outcome = _train(planted, tmp_path, replace(PLAN, run="two"))
    assert outcome.rows == 3 * Loader(planted.dataset.files("train"), Features((), (), ()), 1).rows


def test_the_number_of_threads_changes_no_bit(
    planted: Planted, tmp_path: Path, undisturbed: tuple[list[bytes], str]
) -> None:
    torch.set_num_threads(2)
    found = _bytes(tmp_path, _train(planted, tmp_path))
    torch.set_num_threads(1)
    assert found == undisturbed


def test_it_stops_when_nothing_gets_better_and_keeps_the_best(planted: Planted, tmp_path: Path) -> None:
    figures = iter([0.5, 0.9, 0.8, 0.7, 1.0])
    outcome = _train(planted, tmp_path, replace(PLAN, epochs=5, patience=2), lambda: next(figures))
    assert (len(outcome.history), outcome.best_epoch) == (4, 2)
    assert [entry["valid"]["figure"] for entry in outcome.history] == [0.5, 0.9, 0.8, 0.7]
    assert best_file(tmp_path, 2).exists()
    assert len(list(tmp_path.glob("best-*"))) == 1


def test_the_module_ends_with_the_weights_of_the_best_epoch(planted: Planted, tmp_path: Path) -> None:
    plan = replace(PLAN, optimizer=OptimizerSpec())
    figures = iter([0.9, 0.8, 0.7])
    _train(planted, tmp_path / "three", plan, lambda: next(figures))
    _train(planted, tmp_path / "one", replace(plan, epochs=1), lambda: 0.0)
    three, one = (_last[tmp_path / name].state_dict() for name in ("three", "one"))
    assert all(torch.equal(three[name], value) for name, value in one.items())


def test_smaller_can_be_better(planted: Planted, tmp_path: Path) -> None:
    figures = iter([0.9, 0.3, 0.5])
    outcome = _train(planted, tmp_path, replace(PLAN, larger_is_better=False), lambda: next(figures))
    assert outcome.best_epoch == 2


def test_history_tells_losses_and_rates(planted: Planted, tmp_path: Path) -> None:
    history = _train(planted, tmp_path).history
    assert [entry["epoch"] for entry in history] == [1, 2, 3]
    assert all(0.4 < entry["train_loss"] < 0.8 for entry in history)
    assert history[0]["rate"] > history[1]["rate"] > history[2]["rate"] >= 0.0


def test_a_loss_that_is_no_number_stops_with_a_cure(planted: Planted, tmp_path: Path) -> None:
    plan = replace(PLAN, optimizer=OptimizerSpec(rate=1e30, embedding="sgd", embedding_rate=1e30))
    with pytest.raises(UserError, match=r"train.ranker: .*no longer a finite number at epoch 1, step \d+; lower"):
        _train(planted, tmp_path, plan)
    found = load_checkpoint(tmp_path, "one")
    assert found is None or all(value.isfinite().all() for value in found.part("weight").values())


def test_a_figure_that_is_no_number_stops(planted: Planted, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="figure of the validation split is not a number"):
        _train(planted, tmp_path, figures=lambda: math.nan)


def test_a_broken_checkpoint_is_named(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, Position(epoch=1), {"weight": {"w": torch.ones(3)}}, "one")
    file = tmp_path / "checkpoint" / "tensors.safetensors"
    file.write_bytes(file.read_bytes()[:20])
    with pytest.raises(UserError, match="the weights are broken"):
        load_checkpoint(tmp_path, "one")


def test_a_checkpoint_gives_back_what_it_was_given(tmp_path: Path) -> None:
    position = Position(epoch=2, step=7, loss=0.1 + 0.2, best_epoch=1, best=1 / 3, history=({"epoch": 1},))
    save_checkpoint(
        tmp_path, position, {"weight": {"a.b": torch.rand(3)}, "random": {"cpu": torch.get_rng_state()}}, "x"
    )
    found = load_checkpoint(tmp_path, "x")
    assert found.position == position
    assert torch.equal(found.part("random")["cpu"], torch.get_rng_state())
    assert set(found.part("weight")) == {"a.b"}


STEPS = 19
SCRIPT = """
import sys
import time
from pathlib import Path
import torch
torch.set_num_threads(1)
from core.dataset import Dataset
from train.ranker import train_ranker
from train.spec import RankerSpec

spec = RankerSpec.model_validate({
    "model": {"kind": "mlp", "embedding_dim": 4, "hidden": [16], "dropout": 0.2},
    "epochs": 3, "batch_size": 128, "checkpoint_seconds": 0.05,
})
train_ranker(Dataset(Path(sys.argv[1])), spec, Path(sys.argv[2]), seed=1, device=torch.device("cpu"))
"""


@pytest.mark.slow
def test_sigkill_leaves_no_trace(planted: Planted, tmp_path: Path) -> None:
    command = [sys.executable, "-c", SCRIPT, str(planted.dataset.path)]
    root = Path(__file__).parents[3]
    subprocess.run([*command, str(tmp_path / "whole")], check=True, cwd=root, capture_output=True)
    killed = tmp_path / "killed"
    process = subprocess.Popen([*command, str(killed)], cwd=root, stderr=subprocess.DEVNULL)
    _wait_for_step(process, killed / "checkpoint" / "state.json", 15)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    subprocess.run([*command, str(killed)], check=True, cwd=root, capture_output=True)
    assert core.files.hash_tree(killed) == core.files.hash_tree(tmp_path / "whole")


def _wait_for_step(process: subprocess.Popen[bytes], file: Path, step: int) -> None:
    """Wait until a checkpoint has passed a step of the whole training, or the process has ended."""
    while process.poll() is None:
        try:
            position = json.loads(file.read_text())["position"]
        except (FileNotFoundError, NotADirectoryError):
            time.sleep(0.005)
            continue
        if position["epoch"] * STEPS + position["step"] >= step:
            return
