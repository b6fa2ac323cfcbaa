"""Honest evaluation: both splits, baselines beside the models, and a verdict that says who loses."""

from __future__ import annotations

import functools
import math
from collections.abc import Container, Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import Any

import torch

from core.dataset import GOAL, Dataset
from core.errors import UserError
from core.files import hash_file
from train.evaluation.catalogue import Catalogue, settled
from train.evaluation.found import Found
from train.evaluation.goals import every, side_of
from train.evaluation.identity import identity, labels
from train.evaluation.ranker import evaluate_ranker
from train.evaluation.ranker_catalogue import evaluate_ranker_catalogue
from train.evaluation.refitted import baseline_in, judged_apart
from train.evaluation.retriever import evaluate_retriever
from train.evaluation.sample import frame_of
from train.evaluation.seeds import figures_by_seed
from train.evaluation.spec import EvaluateSpec
from train.evaluation.verdicts import HELD_OUT
from train.ranker import Ranker, baselines_of, load_ranker
from train.retriever import load_retriever


def evaluate(
    dataset: Dataset,
    train_dir: Path,
    spec: EvaluateSpec,
    *,
    device: torch.device,
    splits: Sequence[str] = HELD_OUT,
    users_file: Path | None = None,
    seconds: MutableMapping[str, float] | None = None,
) -> dict[str, Any]:
    """Evaluate what was trained on the validation and on the test split, beside its baselines.

    Args:
        dataset: The data set that the models were trained on.
        train_dir: Holds `ranker/`, `retriever/` or both.
        spec: The settings.
        device: Where to compute; figures on a GPU differ from those of the CPU in the last digits only.
        splits: Those to judge; no other is looked at.
        users_file: Where to write what each user adds to the figures, as Parquet; see `sample.frame_of`.
        seconds: Is told how long each baseline took to count; the figures hold no times.

    Returns:
        Plain JSON values: `ranker`, `retriever` and `catalogue` (the ranker over the catalogue), each with `model`,
        `valid`, `test`, `baselines` (name -> split -> figures) and `differences` (the intervals of the differences to
        them), `verdicts`, `protocol`, `judged` (what runs must have in common to be compared) and `curves`. A figure
        that the data cannot tell is None. The same models and data give the same values, and no value depends on
        `spec.batch_size` but for the last digits of the ranker's scores.

    Raises:
        UserError: There is no model; a file is broken; a model gives no numbers.
    """
    held = {name: train_dir / name for name in ("ranker", "retriever") if (train_dir / name / "model.json").exists()}
    if not held:
        raise UserError("there is no trained model here", where=str(train_dir), cure="run the train stage first")
    judge = functools.partial(_found, dataset, spec=spec, device=device, seconds=seconds)
    found = judged_apart(held, splits, judge)
    result = _merged(found)
    for side in found:
        one = functools.partial(_of_seed, dataset, side=side, spec=spec, device=device, splits=splits)
        result[side] |= figures_by_seed(held["ranker" if side == "catalogue" else side], one)
    sides = every(found)
    result["judged"] = {**identity(dataset), "protocol": {one: _protocol(one, spec, held, dataset) for one in sides}}
    if users_file is not None:
        frame = frame_of({key: sample for one in sides.values() for key, sample in one.samples.items()})
        frame.write_parquet(users_file, compression="zstd")
        result["judged"]["users_file"] = hash_file(users_file)
    plain: dict[str, Any] = _without_nan(result)
    return plain


def _rivals(baseline: Path) -> dict[str, Ranker]:
    return {"logistic": load_ranker(baseline)} if (baseline / "model.json").exists() else {}


def _found(
    dataset: Dataset,
    held: Mapping[str, Path],
    splits: Sequence[str],
    joined: Container[str],
    *,
    spec: EvaluateSpec,
    device: torch.device,
    seconds: MutableMapping[str, float] | None = None,
    sides: Container[str] = ("ranker", "retriever", "catalogue"),
) -> dict[str, Found]:
    """Judge every side; `joined` names those that have learned from the validation split too."""
    found: dict[str, Found] = {}
    if "ranker" in held and "ranker" in sides:
        ranker = load_ranker(held["ranker"])
        main, *others = ranker.features.targets
        names = baselines_of(ranker.features)
        rivals = {one.name: _rivals(baseline_in(held["ranker"], name)) for one, name in names.items()}
        further = {one.name: rivals[one.name] for one in others}
        found["ranker"] = evaluate_ranker(
            dataset, ranker, rivals[main.name], spec, device, splits=splits, further=further
        )
    asked: dict[bool, Catalogue] = {}

    def catalogue(side: str) -> Catalogue:
        known = side in joined
        if known not in asked:
            asked[known] = Catalogue.of(dataset, spec, device, splits, joined=known)
        return asked[known]

    if "retriever" in held and "retriever" in sides:
        found["retriever"] = evaluate_retriever(catalogue("retriever"), load_retriever(held["retriever"]))
    if spec.ranker_catalogue and "catalogue" in sides:
        found["catalogue"] = evaluate_ranker_catalogue(catalogue("ranker"), _ranker_of(held))
    if seconds is not None:
        for each in asked.values():
            seconds.update(each.seconds)
    return found


def _ranker_of(held: Mapping[str, Path]) -> Ranker:
    if "ranker" not in held:
        told = "there is no ranker that could rank the catalogue"
        raise UserError(told, where="evaluate.ranker_catalogue", cure="train one (train.ranker), or set it to false")
    return load_ranker(held["ranker"])


def _of_seed(
    dataset: Dataset, directory: Path, *, side: str, spec: EvaluateSpec, device: torch.device, splits: Sequence[str]
) -> Mapping[str, Any]:
    """Figures of one of several trainings, without rivals."""
    alone = spec.model_copy(update={"baselines": ()})
    judge = functools.partial(_found, dataset, spec=alone, device=device, sides=(side,))
    return judged_apart({"retriever" if side == "retriever" else "ranker": directory}, splits, judge)[side].metrics


def _merged(found: Mapping[str, Found]) -> dict[str, Any]:
    """What is common to both sides at the top."""
    sides = every(found)
    return {
        "verdicts": [line for one in sides.values() for line in one.verdicts],
        "protocol": {side: one.protocol for side, one in found.items()},
        "curves": {side: one.curves for side, one in sides.items() if one.curves},
        **{side: one.metrics for side, one in found.items()},
    }


def _protocol(side: str, spec: EvaluateSpec, held: Mapping[str, Path], dataset: Dataset) -> dict[str, Any]:
    """The settings that decide what a figure means; k does not, since each figure tells its own."""
    if side in ("retriever", "catalogue"):
        return settled(spec)
    ranker = load_ranker(held["ranker"])
    negatives, (main, *others) = ranker.spec.negatives, ranker.features.targets
    drawn = {} if negatives is None else {"negatives": negatives.model_dump(mode="json")}
    target = next((one for one in others if side == side_of(one.name)), main)
    named = {} if target.name == GOAL else {"target": target.name, "labels": labels(dataset, target)}
    return {"rows": "each by itself", **drawn, **named}


def _without_nan(value: Any) -> Any:
    """JSON has no NaN: what the data cannot tell is None."""
    if isinstance(value, dict):
        return {key: _without_nan(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_without_nan(one) for one in value]
    return None if isinstance(value, float) and math.isnan(value) else value
