"""TensorBoard's event files: the checksums and messages as TensorBoard reads them, and what a training writes."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from core.files import EVENTS, hash_tree
from pipeline.hashes import HashCache
from tests.train.synthetic import Planted
from train import trainer
from train.batch import Features
from train.models.rank.logistic import LogisticSpec
from train.optim.mover import Mover
from train.ranker import _train
from train.spec import OptimizerSpec, RankerSpec
from train.track import records
from train.track.events import Events

CPU = torch.device("cpu")
SPEC = RankerSpec(
    model=LogisticSpec(), epochs=2, batch_size=128, optimizer=OptimizerSpec(rate=0.1, warmup_steps=4, schedule="linear")
)
STEPS = 19


def _fit(planted: Planted, out: Path, spec: RankerSpec = SPEC) -> None:
    _train(planted.dataset, Features.of(planted.dataset.schema()), spec, out, seed=1, device=CPU)


@pytest.mark.parametrize(
    ("data", "value"),
    [  # RFC 3720, appendix B.4
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(range(31, -1, -1)), 0x113FDB5C),
    ],
)
def test_checksums_are_those_of_the_standard(data: bytes, value: int) -> None:
    assert records.crc32c(data) == value


def _messages(file: Path) -> list[Any]:
    """What TensorBoard itself reads; it checks every checksum."""
    from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
    from tensorboard.compat.proto.event_pb2 import Event

    return [Event.FromString(raw) for raw in RawEventFileLoader(str(file)).Load()]


@given(
    step=st.integers(0, 2**62),
    values=st.dictionaries(st.text(max_size=200), st.floats(width=32, allow_nan=False), max_size=4),
)
def test_tensorboard_reads_what_was_written(
    step: int, values: dict[str, float], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("events")
    with Events(folder, step=step) as events:
        events.write(step, values)
    (file,) = folder.iterdir()
    first, begun, event = _messages(file)
    assert first.file_version == records.VERSION
    assert (begun.session_log.status, begun.step) == (1, step + 1)
    assert event.step == step
    assert [(one.tag, one.simple_value) for one in event.summary.value] == list(values.items())
    assert 0 <= event.wall_time - begun.wall_time < 10


def test_a_record_that_was_changed_is_noticed(tmp_path: Path) -> None:
    with Events(tmp_path, step=0) as events:
        events.write(1, {"a": 1.0})
    (file,) = tmp_path.iterdir()
    data = bytearray(file.read_bytes())
    data[-6] ^= 1
    file.write_bytes(data)
    assert len(_messages(file)) == 2


def _scalars(directory: Path) -> dict[str, list[tuple[int, float]]]:
    """What TensorBoard shows of a directory: several files together, without what a restart made void."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    shown = EventAccumulator(str(directory), purge_orphaned_data=True)
    shown.Reload()
    tags = shown.Tags()["tensors"] + shown.Tags()["scalars"]
    return {tag: [(one.step, _value(one)) for one in _series(shown, tag)] for tag in tags}


def _series(shown: Any, tag: str) -> Any:
    return shown.Scalars(tag) if tag in shown.Tags()["scalars"] else shown.Tensors(tag)


def _value(one: Any) -> float:
    return one.value if hasattr(one, "value") else struct.unpack("<f", one.tensor_proto.tensor_content)[0]


def test_a_training_writes_losses_rates_and_figures(planted: Planted, tmp_path: Path) -> None:
    _fit(planted, tmp_path)
    found = _scalars(tmp_path)
    assert set(found) == {"train/loss", "rate/dense", "rate/embedding", "valid/auc", "valid/logloss"}
    assert [step for step, _ in found["train/loss"]] == list(range(1, 2 * STEPS + 1))
    assert [step for step, _ in found["valid/auc"]] == [STEPS, 2 * STEPS]
    assert [rate for _, rate in found["rate/dense"]][:4] == pytest.approx([0.025, 0.05, 0.075, 0.1])
    losses = [loss for _, loss in found["train/loss"]]
    assert losses[0] == pytest.approx(0.69, abs=0.05)
    assert sum(losses[-STEPS:]) < sum(losses[:STEPS])


def test_long_epochs_are_thinned(planted: Planted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _fit(planted, tmp_path / "all")
    monkeypatch.setattr(trainer, "POINTS", 4)
    _fit(planted, tmp_path / "some")
    some, every = (_scalars(tmp_path / name)["train/loss"] for name in ("some", "all"))
    assert [step for step, _ in some] == [5, 10, 15, 24, 29, 34]
    assert some[0][1] == pytest.approx(sum(loss for _, loss in every[:5]) / 5, rel=1e-5)


def test_after_a_kill_tensorboard_shows_one_curve(
    planted: Planted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _fit(planted, tmp_path / "whole")
    with monkeypatch.context() as patch:
        step, calls = Mover.step, iter(range(1, 10**6))

        def dying(self: Mover, number: int) -> None:
            if next(calls) == STEPS + 8:
                raise KeyboardInterrupt
            step(self, number)

        patch.setattr(trainer.Mover, "step", dying)
        with pytest.raises(KeyboardInterrupt):
            _fit(planted, tmp_path / "out")
    _fit(planted, tmp_path / "out")
    assert len(list((tmp_path / "out").glob(f"{EVENTS}*"))) == 2
    assert _scalars(tmp_path / "out") == _scalars(tmp_path / "whole")


def test_training_anew_removes_old_files(planted: Planted, tmp_path: Path) -> None:
    for epochs in (1, 2):
        _fit(planted, tmp_path, SPEC.model_copy(update={"epochs": epochs}))
    assert len(list(tmp_path.glob(f"{EVENTS}*"))) == 1


def test_no_hash_counts_them(planted: Planted, tmp_path: Path) -> None:
    out, cache = tmp_path / "out", HashCache(tmp_path / "hashes.json")
    _fit(planted, out)
    assert sorted(hash_tree(out)) == sorted(cache.tree(out)) == ["history.json", "model.json", "model.safetensors"]
    before = cache.tree(out)
    (file,) = out.glob(f"{EVENTS}*")
    file.unlink()
    assert cache.tree(out) == before
