"""Figures of a ranker and of its baselines, on the rows of a split.

Shapes: N rows.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import polars as pl
import torch
from torch import Tensor

from core.dataset import GOAL, ITEM_INDEX, USER_INDEX, Dataset
from core.errors import UserError
from train.batch import Batch, Target
from train.evaluation.found import Found, Judged, Question
from train.evaluation.goals import side_of, with_further
from train.evaluation.intervals import interval_words
from train.evaluation.sample import Part, Sample
from train.evaluation.segments import Segment, segments
from train.evaluation.spec import EvaluateSpec
from train.evaluation.verdicts import HELD_OUT
from train.labels import MAIN
from train.metrics import classification as metric
from train.metrics.sums import mean
from train.pairs import read_interactions
from train.predict import predict
from train.ranker import Ranker
from train.ranker_batches import RankerRows

BINS = 20
POINTS = 200
TINY = 1e-12
PROTOCOL = (
    "Every row of the split is scored by itself. The best epoch was chosen on valid, so only test is untouched.",
    "AUC is exact, ties count half.",
    "Grouped AUC (gauc): AUC of each user, weighted by rows; users with one class are left out and counted.",
    "Normalised entropy: logloss over the entropy of the split's own positive rate.",
    "Calibration: mean prediction over mean target. Calibration error (ece): 15 bins of equal width.",
    "Segments are judged by their own rows alone: those of new users, of tail items, of a value of a column.",
    "Baselines: logistic regression on the same features; a constant, the positive rate of the training split.",
)
TARGETS = "Each target is judged by itself, over the rows that tell it and beside baselines that learned it alone."
NEGATIVES = (
    "All rows of the data are positive: every figure is against {0.count} uniform negatives a row, drawn evenly from "
    "the items that the user is not known to like by the end of the split (seed {0.seed}; the same for every model)."
)
HISTORY = (
    "A row's history is what its user met strictly before the row's moment; earlier rows of valid and test count as "
    "known by then. The logistic baseline reads no history."
)


@dataclass(frozen=True)
class Scored:
    """Rows of a split with their logits.

    Attributes:
        logit_N: float32.
        target_N: 0 or 1.
        user_N: Number of the row's user; None where the data know no users.
        item_N: Number of the row's item; None where the data know no items.
    """

    logit_N: Tensor
    target_N: Tensor
    user_N: Tensor | None
    item_N: Tensor | None = None

    def figures(self) -> dict[str, float]:
        """Every metric of the split, with its counts."""
        probability_N = torch.sigmoid(self.logit_N.to(torch.float64))
        found: dict[str, float] = {
            "rows": len(self.logit_N),
            "positive_rate": mean(self.target_N),
            "auc": metric.auc(self.logit_N, self.target_N),
            "logloss": metric.logloss(self.logit_N, self.target_N),
            "normalised_entropy": metric.normalised_entropy(self.logit_N, self.target_N),
            "calibration": metric.calibration(probability_N, self.target_N),
            "ece": metric.expected_calibration_error(probability_N, self.target_N),
            "accuracy": metric.accuracy(probability_N, self.target_N),
        }
        if self.user_N is not None:
            grouped = metric.grouped_auc(self.logit_N, self.target_N, self.user_N)
            found["gauc"] = grouped.value
            found["users"] = grouped.groups
            found["users_with_one_class"] = grouped.left_out
            found["gauc_rows"] = grouped.rows
        return found

    def curves(self) -> dict[str, Any]:
        """What a report draws: calibration, scores of each class, ROC."""
        probability_N = torch.sigmoid(self.logit_N.to(torch.float64))
        bins = metric.calibration_bins(probability_N, self.target_N, bins=BINS, by="mass")
        edges = torch.linspace(0.0, 1.0, 2 * BINS + 1, dtype=torch.float64)
        classes = {"negative": self.target_N <= 0.5, "positive": self.target_N > 0.5}
        return {
            "calibration": [[one.mean_prediction, one.mean_target, one.rows] for one in bins],
            "scores": {
                "edges": edges.tolist(),
                **{name: _histogram(probability_N[rows], edges) for name, rows in classes.items()},
            },
            "roc": [list(point) for point in metric.roc_points(self.logit_N, self.target_N, points=POINTS)],
        }

    def constant(self, logit: float) -> Scored:
        """The same rows, each with one logit."""
        return replace(self, logit_N=torch.full_like(self.logit_N, logit))

    def where(self, there_N: Tensor) -> Scored:
        """Some of the rows."""
        user_N, item_N = (None if one is None else one[there_N] for one in (self.user_N, self.item_N))
        return Scored(self.logit_N[there_N], self.target_N[there_N], user_N, item_N)

    def sample(self) -> Sample | None:
        """What each user adds: mean logloss and AUC of the own rows, and the part in the AUC of all rows.

        That part is the AUC plus the user's share of its error (`auc_influence`), so its mean over users is the AUC
        and its spread tells the AUC's interval, rows of one user counting together.
        """
        if self.user_N is None:
            return None
        alone = metric.auc_of_groups(self.logit_N, self.target_N, self.user_N)
        owner_N, users = torch.searchsorted(alone.group_U, self.user_N), len(alone.group_U)

        def by_user(value_N: Tensor) -> Tensor:
            return torch.bincount(owner_N, weights=value_N, minlength=users)

        influence_U = by_user(metric.auc_influence(self.logit_N, self.target_N))
        whole = metric.auc(self.logit_N, self.target_N)
        loss_U = by_user(metric.losses(self.logit_N, self.target_N)) / alone.rows_U
        values = {"auc": whole + users * influence_U, "gauc": alone.value_U, "logloss": loss_U}
        return Sample(alone.group_U, values, alone.rows_U)

    def part(self, segment: Segment) -> Part | None:
        """Figures of the rows whose user or item is in a segment; None without such rows."""
        row_N = self.user_N if segment.side == "user" else self.item_N
        if row_N is None or not bool((there_N := segment.there[row_N]).any()):
            return None
        chosen = self.where(there_N)
        return Part(chosen.figures(), chosen.sample())


def _histogram(value_N: Tensor, edges: Tensor) -> list[int]:
    """Rows in each bin: the first takes its left edge too."""
    place_N = torch.bucketize(value_N, edges[1:-1])
    return [int(count) for count in torch.bincount(place_N, minlength=len(edges) - 1)]


def evaluate_ranker(
    dataset: Dataset,
    ranker: Ranker,
    rivals: Mapping[str, Ranker],
    spec: EvaluateSpec,
    device: torch.device,
    *,
    splits: Sequence[str] = HELD_OUT,
    further: Mapping[str, Mapping[str, Ranker]] | None = None,
) -> Found:
    """Evaluate a ranker, its rivals and a constant: what `evaluate` gives under `ranker`.

    Args:
        dataset: The data set.
        ranker: The ranker.
        rivals: Other rankers of its first target, by name.
        spec: The settings.
        device: Where to compute.
        splits: Those to judge.
        further: Rivals for its further targets, by the name of a target.
    """
    splits, parts = [split for split in splits if dataset.files(split)], _segments(dataset, spec, ranker)
    run = functools.partial(scores, dataset, batch_size=spec.batch_size, device=device)
    own = {split: run(split, ranker) for split in splits}
    found = {}
    for target in ranker.features.targets:
        theirs = rivals if target == ranker.features.targets[0] else (further or {}).get(target.name, {})
        scored = {
            split: {
                ranker.spec.model.kind: own[split][target.name],
                **{name: run(split, one)[target.name] for name, one in theirs.items()},
            }
            for split in splits
            if len(own[split][target.name].target_N)
        }
        one = _of_target(dataset, ranker, target, scored, parts=parts, spec=spec)
        untold = [
            f"ranker {ranker.spec.model.kind} ({target.name}) can't be judged on {split}: no row tells the target"
            for split in splits
            if split not in scored
        ]
        found[target.name] = replace(one, verdicts=[*one.verdicts, *untold])
    return with_further(found)


def _of_target(
    dataset: Dataset,
    ranker: Ranker,
    target: Target,
    scored: Mapping[str, dict[str, Scored]],
    *,
    parts: Sequence[Segment],
    spec: EvaluateSpec,
) -> Found:
    """What is found of one target: beside the rivals stands a constant."""
    name, negatives = ranker.spec.model.kind, ranker.spec.negatives
    rate = train_rate(dataset, target) if negatives is None else 1.0 / (1 + negatives.count)
    constant = math.log(max(rate, TINY) / max(1.0 - rate, TINY))
    judged: dict[str, dict[str, Judged]] = {}
    curves = {}
    for split, models in scored.items():
        curves = {key: one.curves() for key, one in models.items()}
        beside = {**models, "constant": models[name].constant(constant)}
        judged[split] = {key: _judged(one, parts) for key, one in beside.items()}
    told = [] if negatives is None else [NEGATIVES.format(negatives)]
    told += [] if ranker.spec.history is None else [HISTORY]
    side, who = "ranker", f"ranker {name}"
    if target.name != GOAL:
        told, who = [*told, TARGETS], f"{who} ({target.name})"
        side = side if target == ranker.features.targets[0] else side_of(target.name)
    protocol = [*PROTOCOL, *told, interval_words(spec.confidence)]
    question = Question(side, name, {"auc": 1, "logloss": -1}, spec.confidence, protocol, who)
    found = question.answer(judged, curves)
    return found if target.name == GOAL else replace(found, metrics={"target": target.name, **found.metrics})


def _segments(dataset: Dataset, spec: EvaluateSpec, ranker: Ranker) -> list[Segment]:
    if dataset.has_entities:
        interactions = read_interactions(dataset)
        return segments(dataset, interactions.joined() if ranker.spec.refit else interactions, spec.segments)
    if spec.segments:
        cure = "name them in data.roles (user: ..., item: ...), or leave the segments out"
        told = "segments need users and items, and this data set has none"
        raise UserError(told, where="evaluate.segments", cure=cure)
    return []


def _judged(scored: Scored, parts: Sequence[Segment]) -> Judged:
    found = {(part.by, part.name): each for part in parts if (each := scored.part(part)) is not None}
    return Judged(Part(scored.figures(), scored.sample()), found)


def score(dataset: Dataset, split: str, ranker: Ranker, *, batch_size: int, device: torch.device) -> Scored:
    """Score a split for the first target of a ranker; as `scores`."""
    return next(iter(scores(dataset, split, ranker, batch_size=batch_size, device=device).values()))


def scores(dataset: Dataset, split: str, ranker: Ranker, *, batch_size: int, device: torch.device) -> dict[str, Scored]:
    """Score a split for each target of a ranker, over the rows that tell it; the results lie on the CPU.

    Raises:
        UserError: A file is broken, or the ranker gives NaN or infinity.
    """
    files = dataset.files(split)
    rows = RankerRows(dataset, ranker.features, ranker.spec, device).in_order(split, batch_size)
    whose: dict[str, list[Tensor]] = {USER_INDEX: [], ITEM_INDEX: []}
    logits, labels = (one.cpu() for one in predict(ranker.module.to(device), _noting(rows.epoch(0), whose)))
    if not bool(logits.isfinite().all()):
        raise UserError(
            f"the ranker gives {int((~logits.isfinite()).sum())} scores of the {split} split that are no numbers",
            where=str(dataset.path / split),
            cure="normalize or clip numbers with large values, or lower train.ranker.optimizer.rate",
        )
    noted = {name: torch.cat(parts).to("cpu", torch.int64) for name, parts in whose.items() if parts}
    user_N, item_N = (noted[name] if name in noted else _index(files, name) for name in whose)
    found = {}
    for place, target in enumerate(ranker.features.targets):
        logit_N, label_N = (one if one.ndim == 1 else one[:, place] for one in (logits, labels))
        whole = Scored(logit_N, label_N, user_N, item_N)
        found[target.name] = whole if target.known else whole.where(~label_N.isnan())
    return found


def _noting(batches: Iterator[Batch], whose: Mapping[str, list[Tensor]]) -> Iterator[Batch]:
    """The batches; where they hold drawn items, the files don't tell whose rows they are, so it is noted."""
    for batch in batches:
        if batch.extra.keys() >= whose.keys():
            for name, parts in whose.items():
                parts.append(batch.extra[name])
        yield batch


def train_rate(dataset: Dataset, target: Target = MAIN) -> float:
    """Share of positives among the training rows that tell a target: what the constant baseline predicts."""
    column = pl.col(target.column)
    rows, positives = (
        pl.scan_parquet(dataset.files("train"))
        .select(column.count().alias("rows"), (column > 0.5).sum().alias("positives"))
        .collect()
        .row(0)
    )
    return float(positives) / float(rows)


def _index(files: list[Path], name: str) -> Tensor | None:
    scan = pl.scan_parquet(files)
    if name not in scan.collect_schema():
        return None
    return torch.from_numpy(scan.select(name).collect()[name].to_numpy().copy()).to(torch.int64)
