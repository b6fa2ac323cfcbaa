"""Every config for data that people bring themselves, from its file to its figures, on rows of the same columns."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from core.config import load
from pipeline.spec import RunSpec
from tests.e2e.run import ROOT, in_process
from tests.pipeline.shaped import FILES

CONFIGS = sorted(file.stem for file in (ROOT / "configs").glob("*.yaml"))
SMALLER = {
    "ml20m": ["etl.split.valid=5", "etl.split.test=5"],
    "ml1m_neumf": ["evaluate.protocol.negatives=2"],
    "gowalla_bpr": ["etl.split.valid_share=0.1"],
    "gowalla_lightgcn": ["etl.split.valid_share=0.1"],
}
"""What doesn't fit a few hundred rows, by the beginning of the name."""
SAMPLED = {"ml1m_neumf"}


def brought() -> list[str]:
    """The configs that name a file."""
    specs = {name: load(RunSpec, ROOT / "configs" / f"{name}.yaml") for name in CONFIGS}
    return [name for name, spec in specs.items() if getattr(spec.data.interactions, "path", None)]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("name", brought())
def test_a_config_runs_on_rows_of_its_shape(name: str, tmp_path: Path) -> None:
    assert name.partition("_")[0] in FILES, "write rows of its shape in tests/pipeline/shaped.py"
    config = ROOT / "configs" / f"{name}.yaml"
    file, write = FILES[name.partition("_")[0]]
    write(tmp_path / file)
    spec = load(RunSpec, config)
    settings = [f"data.interactions.path={tmp_path / file}"]
    settings += [f"train.{side}.epochs=1" for side in ("retriever", "ranker") if getattr(spec.train, side)]
    settings += [one for start, more in SMALLER.items() if name.startswith(start) for one in more]
    words = [word for one in settings for word in ("--set", one)]
    outcome = in_process(
        "run", config, "--runs-dir", tmp_path / "runs", "--until", "evaluate", "--device", "cpu", *words
    )
    assert outcome.code == 0, outcome.err
    metrics = json.loads((tmp_path / "runs" / name / "metrics.json").read_text())
    side = "catalogue" if spec.evaluate.ranker_catalogue else "retriever" if spec.train.retriever else "ranker"
    figures = metrics[side]["test"]
    if side == "ranker":
        assert 0.0 < figures["auc"] < 1.0
        return
    for k in spec.evaluate.k:
        found = figures[f"sampled_hr@{k}" if name in SAMPLED else f"hr@{k}"]
        assert 0.0 <= found <= 1.0
    assert figures["users"] > 3
    assert set(metrics[side]["baselines"]) == {one.kind for one in spec.evaluate.baselines} - {metrics[side]["model"]}
    if name.startswith("ml20m"):
        assert figures["users_cold"] == figures["users"] == 5, "held out whole"


def test_a_catalogue_without_a_ranker_is_told_before_anything_runs(tmp_path: Path) -> None:
    words = ["--set", "evaluate.ranker_catalogue=true", "--runs-dir", str(tmp_path)]
    outcome = in_process("run", ROOT / "configs" / "ml1m_ease.yaml", *words)
    assert outcome.code == 2
    assert "evaluate.ranker_catalogue: needs a ranker, users and items" in outcome.err
    assert not list(tmp_path.iterdir())


def test_every_config_of_a_named_protocol_tells_it() -> None:
    """What a config's figures mean stands in docs/protocols.md under the name that its head gives."""
    page = (ROOT / "docs" / "protocols.md").read_text()
    for name in CONFIGS:
        if name.startswith(("ml1m", "ml20m", "booking")):
            head = (ROOT / "configs" / f"{name}.yaml").read_text()
            protocol = head.partition("Protocol `")[2].partition("`")[0]
            assert f"## {protocol}\n" in page, name
            assert name in page
