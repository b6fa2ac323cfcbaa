"""Honest evaluation: both splits, baselines beside the models, and a verdict that says who loses."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch

from core.dataset import Dataset
from core.errors import UserError
from train.evaluation.ranker import evaluate_ranker
from train.evaluation.retriever import evaluate_retriever
from train.evaluation.spec import EvaluateSpec
from train.ranker import load_ranker
from train.retriever import load_retriever


def evaluate(dataset: Dataset, train_dir: Path, spec: EvaluateSpec, *, device: torch.device) -> dict[str, Any]:
    """Evaluate what was trained on the validation and on the test split, beside its baselines.

    Args:
        dataset: The data set that the models were trained on.
        train_dir: Holds `ranker/`, `retriever/` or both.
        spec: The settings.
        device: Where to compute; figures on a GPU differ from those of the CPU in the last digits only.

    Returns:
        Plain JSON values: `ranker` and `retriever`, each with `model`, `valid`, `test` and `baselines` (name ->
        split -> figures), `verdicts`, `protocol` and `curves`. A figure that the data cannot tell is None. The
        same models and data give the same values, and no value depends on `spec.batch_size` but for the last
        digits of the ranker's scores.

    Raises:
        UserError: There is no model; a file is broken; a model gives no numbers.
    """
    held = {name: train_dir / name for name in ("ranker", "retriever") if (train_dir / name / "model.json").exists()}
    if not held:
        raise UserError("there is no trained model here", where=str(train_dir), cure="run the train stage first")
    result: dict[str, Any] = {"verdicts": [], "protocol": {}, "curves": {}}
    if "ranker" in held:
        baseline = held["ranker"] / "baseline"
        rivals = {"logistic": load_ranker(baseline)} if (baseline / "model.json").exists() else {}
        _merge(result, "ranker", evaluate_ranker(dataset, load_ranker(held["ranker"]), rivals, spec, device))
    if "retriever" in held:
        _merge(result, "retriever", evaluate_retriever(dataset, load_retriever(held["retriever"]), spec, device))
    plain: dict[str, Any] = _without_nan(result)
    return plain


def _merge(result: dict[str, Any], side: str, found: dict[str, Any]) -> None:
    """Move what is common to both sides to the top."""
    result["verdicts"] += found.pop("verdicts")
    result["protocol"][side] = found.pop("protocol")
    if "curves" in found:
        result["curves"][side] = found.pop("curves")
    result[side] = found


def _without_nan(value: Any) -> Any:
    """JSON has no NaN: what the data cannot tell is None."""
    if isinstance(value, dict):
        return {key: _without_nan(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_without_nan(one) for one in value]
    return None if isinstance(value, float) and math.isnan(value) else value
