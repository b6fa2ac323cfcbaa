"""Honest evaluation: both splits, baselines beside the models, and a verdict that says who loses."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from core.dataset import SPLITS, Dataset
from core.errors import UserError
from train.evaluate_ranker import figures_of, score, train_rate
from train.holdout import Holdout
from train.pairs import Interactions, Tables, read_interactions, read_tables, take
from train.ranker import Ranker, load_ranker
from train.retriever import Retriever, load_retriever, popularity
from train.spec import EvaluateSpec

HELD_OUT = SPLITS[1:]
RANKER_PROTOCOL = (
    "Every row of the split is scored by itself; the best epoch was chosen on the validation split, so only the test "
    "split is untouched.",
    "AUC is exact, ties count half. Grouped AUC: AUC of each user, weighted by rows; users with one class are left out "
    "and counted.",
    "Normalised entropy: logloss over the entropy of the split's own positive rate. Calibration: mean prediction over "
    "mean target. Calibration error (ece): 15 bins of equal width.",
    "Baselines: logistic regression on the same features; a constant, the positive rate of the training split.",
)


def evaluate(
    dataset: Dataset, train_dir: Path, spec: EvaluateSpec, *, device: torch.device
) -> dict[str, Any]:
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
        _merge(result, "ranker", _evaluate_ranker(dataset, held["ranker"], spec, device))
    if "retriever" in held:
        _merge(result, "retriever", _evaluate_retriever(dataset, load_retriever(held["retriever"]), spec, device))
    plain: dict[str, Any] = _without_nan(result)
    return plain


def _merge(result: dict[str, Any], side: str, found: dict[str, Any]) -> None:
    result["verdicts"] += found.pop("verdicts")
    result["protocol"][side] = found.pop("protocol")
    result["curves"] |= {side: found.pop("curves")} if "curves" in found else {}
    result[side] = found


def _evaluate_ranker(dataset: Dataset, place: Path, spec: EvaluateSpec, device: torch.device) -> dict[str, Any]:
    ranker, splits = load_ranker(place), [split for split in HELD_OUT if dataset.files(split)]
    models: dict[str, Ranker] = {ranker.spec.model.kind: ranker}
    if (place / "baseline" / "model.json").exists():
        models.setdefault("logistic", load_ranker(place / "baseline"))
    scored = {
        name: {
            split: score(dataset, split, one.module, one.features, batch_size=spec.batch_size, device=device)
            for split in splits
        }
        for name, one in models.items()
    }
    rate = min(max(train_rate(dataset), 1e-12), 1.0 - 1e-12)
    own = scored[ranker.spec.model.kind]
    scored["constant"] = {split: one.constant(math.log(rate / (1.0 - rate))) for split, one in own.items()}
    figures = {name: figures_of(one) for name, one in scored.items()}
    name = ranker.spec.model.kind
    rivals = {rival: figures[rival] for rival in figures if rival != name}
    return {
        "model": name,
        **figures[name],
        "baselines": rivals,
        "verdicts": verdicts(f"ranker {name}", figures[name], rivals, {"auc": 1, "logloss": -1}),
        "protocol": list(RANKER_PROTOCOL),
        "curves": {rival: scored[rival][splits[-1]].curves() for rival in scored if splits and rival != "constant"},
    }


def _evaluate_retriever(
    dataset: Dataset, retriever: Retriever, spec: EvaluateSpec, device: torch.device
) -> dict[str, Any]:
    interactions = read_interactions(dataset).to(device)
    tables = read_tables(dataset, retriever.user_features, retriever.item_features).to(device)
    name = retriever.spec.model.kind
    models = {name: retriever.to(device)}
    pairs = interactions.pairs("train")
    models.setdefault("popularity", popularity(pairs, retriever.user_features, retriever.item_features))
    figures = {key: _retriever_figures(one, interactions, tables, spec) for key, one in models.items()}
    rivals = {rival: figures[rival] for rival in figures if rival != name}
    decisive = {f"{metric}@{k}": 1 for metric in ("recall", "ndcg") for k in spec.k}
    return {
        "model": name,
        **figures[name],
        "baselines": rivals,
        "verdicts": verdicts(f"retriever {name}", figures[name], rivals, decisive),
        "protocol": retriever_protocol(spec, interactions),
    }


def _retriever_figures(
    retriever: Retriever, interactions: Interactions, tables: Tables, spec: EvaluateSpec
) -> dict[str, dict[str, Any]]:
    """Figures of each split that holds something to be found, below them those of cold and warm users where there are both."""
    found: dict[str, dict[str, Any]] = {}
    item_IV = retriever.item_vectors(tables.item)
    for split in HELD_OUT:
        holdout = Holdout.of(interactions, split, mask_seen=spec.mask_seen)
        if not holdout.counts["users"]:
            continue
        query_QV = retriever.user_vectors(take(tables.user, holdout.user_Q))
        groups = holdout.figures(query_QV, item_IV, ks=sorted(set(spec.k)))
        found[split] = {**groups.pop("all"), **holdout.counts}
        if len(groups) > 1:
            found[split]["groups"] = groups
    return found


def retriever_protocol(spec: EvaluateSpec, interactions: Interactions) -> list[str]:
    """What the figures of a candidate generator mean: without it they mean nothing."""
    seen = (
        "Items that the user met in an earlier split, liked or not, are left out of the list and of what is to be found."
        if spec.mask_seen
        else "Items that the user met in an earlier split stay in the list (mask_seen: false)."
    )
    return [
        f"The whole catalogue of {interactions.items} items is ranked for each user; no negatives are sampled.",
        f"k: {', '.join(str(k) for k in sorted(set(spec.k)))}. Lists are compared with the user's interactions of the "
        "split whose target is above 0.5.",
        seen,
        "Equal scores go to the item that comes first in the catalogue (by raw id).",
        "Items nobody liked in training stay in the catalogue and can be found; users without a positive in training "
        "are asked for too and shown as cold.",
        "Users with nothing to be found in the split are left out and counted.",
    ]


def verdicts(
    who: str,
    figures: Mapping[str, Mapping[str, Any]],
    rivals: Mapping[str, Mapping[str, Mapping[str, Any]]],
    metrics: Mapping[str, int],
) -> list[str]:
    """One sentence a rival and metric on the last split that both have: beats, LOSES to, or ties with.

    Args:
        who: The model.
        figures: Its figures by split.
        rivals: Those of its rivals.
        metrics: Names of metrics, 1 where more is better and -1 where less is.

    Example:
        >>> verdicts("ranker mlp", {"test": {"auc": 0.7}}, {"logistic": {"test": {"auc": 0.75}}}, {"auc": 1})
        ['ranker mlp LOSES to logistic on test: auc 0.7000 against 0.7500 (-0.0500)']
    """
    told = []
    for rival, theirs in rivals.items():
        split = next((one for one in reversed(HELD_OUT) if one in figures and one in theirs), None)
        for metric, sign in metrics.items() if split else ():
            ours, other = float(figures[split][metric]), float(theirs[split][metric])
            told.append(f"{who} {_word(sign * (ours - other))} {rival} on {split}: {_compare(metric, ours, other)}")
    return told


def _word(gain: float) -> str:
    if math.isnan(gain):
        return "cannot be compared with"
    return "beats" if gain > 0 else "LOSES to" if gain < 0 else "ties with"


def _compare(metric: str, ours: float, other: float) -> str:
    return f"{metric} {ours:.4f} against {other:.4f} ({ours - other:+.4f})"


def _without_nan(value: Any) -> Any:
    """JSON has no NaN: what the data cannot tell is None."""
    if isinstance(value, dict):
        return {key: _without_nan(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_without_nan(one) for one in value]
    return None if isinstance(value, float) and math.isnan(value) else value
