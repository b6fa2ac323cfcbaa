"""Rankers of several targets in a bundle: one score that ranks, and the probability of each target beside it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from core.errors import UserError
from core.files import read_json
from serve.app import make_app
from serve.bundle import Bundle
from serve.columns import encode_frame
from serve.export import write_bundle
from serve.parts import Parts
from serve.protocol import HEAD_LENGTH
from serve.recommend import Recommender
from serve.spec import ExportSpec
from serve.targets import answers_of
from serve.verify import _difference, verify
from tests.serve import planted
from tests.serve.asgi import Answer, ask
from tests.serve.test_protocol import INFER, good
from train.batch import Features, Target
from train.models.tasks import TASKS

TARGETS = (Target("click"), Target("sale", "__target_sale__"))
NAMES = ["score", "score_click", "score_sale"]


def export(path: Path, kind: str = "mmoe", **spec: Any) -> Path:
    """A bundle with a ranker of two targets with fresh weights."""
    dataset, fitted = planted.dataset(path / "data")
    features = replace(Features.of(fitted.schema), targets=TARGETS)
    torch.manual_seed(3)
    module = TASKS[kind].model_validate({"kind": kind}).build(features).eval()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    made = Parts(dataset, fitted, planted.Ranker(module, features), None)
    write_bundle(made, ExportSpec(golden_rows=50, candidates=10, **spec), path / "bundle", metrics={}, config={})
    return path / "bundle"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(tmp_path_factory.mktemp("two"))


def answers(path: Path) -> dict[str, np.ndarray]:
    """What the model gives for the golden rows."""
    opened = Bundle.open(path)
    model = opened.model("ranker")
    return model.answers(encode_frame(opened.table("golden.parquet"), model.signature.inputs), NAMES)


@pytest.mark.parametrize(("kind", "rank_by"), [("mmoe", {"click": 1.0, "sale": 0.5}), ("ple", {})])
def test_every_output_is_the_trained_models(kind: str, rank_by: dict[str, float], tmp_path: Path) -> None:
    path = export(tmp_path, kind, rank_by=rank_by)
    found = verify(path)
    assert found.ok
    assert found.largest_difference < 2e-6
    assert Bundle.open(path).signatures["ranker"].outputs == tuple(NAMES)
    given = answers(path)
    wanted = given["score_click"] * given["score_sale"] ** 0.5 if rank_by else given["score_click"]
    np.testing.assert_allclose(given["score"], wanted, rtol=1e-5)
    assert not np.allclose(given["score_click"], given["score_sale"])


def test_verify_compares_every_output(bundle: Path, tmp_path: Path) -> None:
    golden = pl.read_parquet(bundle / "golden.parquet")
    assert {"__score__", "__score_click__", "__score_sale__"} <= set(golden.columns)
    opened = Bundle.open(bundle)
    wrong = golden.with_columns(pl.col("__score_sale__") + 0.25)
    assert _difference(opened, "ranker", golden) < 1e-6
    assert _difference(opened, "ranker", wrong) == pytest.approx(0.25, abs=1e-5)
    with pytest.raises(UserError, match="no column __score_sale__"):
        _difference(opened, "ranker", golden.drop("__score_sale__"))


def infer(path: Path, **request: Any) -> Answer:
    app = make_app(Bundle.open(path), max_body=20_000, workers=1)
    return ask(app, "POST", INFER, json.dumps({**good(), **request}).encode())


def test_the_server_tells_and_gives_all_of_them(bundle: Path) -> None:
    app = make_app(Bundle.open(bundle), max_body=20_000, workers=1)
    described = json.loads(ask(app, "GET", "/v2/models/ranker").body)
    assert [one["name"] for one in described["outputs"]] == NAMES
    outputs = json.loads(infer(bundle).body)["outputs"]
    assert [(one["name"], one["shape"]) for one in outputs] == [(name, [3]) for name in NAMES]
    assert outputs[0]["data"] == outputs[1]["data"] != outputs[2]["data"]


def test_a_request_may_ask_for_some(bundle: Path) -> None:
    whole = {one["name"]: one["data"] for one in json.loads(infer(bundle).body)["outputs"]}
    wanted = [{"name": "score_sale", "parameters": {"binary_data": True}}, {"name": "score"}]
    answer = infer(bundle, outputs=wanted)
    size = int(answer.headers[HEAD_LENGTH])
    head = json.loads(answer.body[:size])
    assert [one["name"] for one in head["outputs"]] == ["score_sale", "score"]
    assert head["outputs"][1]["data"] == whole["score"]
    np.testing.assert_allclose(np.frombuffer(answer.body[size:], "<f4"), whole["score_sale"], rtol=1e-6)
    refused = infer(bundle, outputs=[{"name": "score_buy"}])
    assert refused.status == 400
    assert "score, score_click, score_sale" in json.loads(refused.body)["error"]


def test_the_product_ranks_recommendations(tmp_path: Path) -> None:
    one, two = (
        Recommender(Bundle.open(export(tmp_path / name, rank_by=by))).recommend(105, k=5).items
        for name, by in (("click", {}), ("sale", {"sale": 1.0}))
    )
    assert [item.score for item in one] != [item.score for item in two]


def test_one_target_gives_one_output(tmp_path: Path) -> None:
    path = planted.bundle(tmp_path)
    assert "further" not in read_json(path / "schema.json")["models"]["ranker"]
    assert Bundle.open(path).signatures["ranker"].outputs == ("score",)


@pytest.mark.parametrize(
    ("targets", "rank_by", "told"),
    [
        (TARGETS, {"sales": 1.0}, "knows no target sales.*did you mean sale"),
        (TARGETS[:1], {"click": 1.0}, "knows one target, which ranks"),
    ],
)
def test_what_ranks_is_known(targets: tuple[Target, ...], rank_by: dict[str, float], told: str) -> None:
    with pytest.raises(UserError, match=told):
        answers_of(torch.nn.Identity(), Features((), (), (), targets=targets), rank_by)


def test_powers_of_zero_alone_are_refused() -> None:
    with pytest.raises(ValueError, match="nothing would rank"):
        ExportSpec(rank_by={"click": 0.0})
