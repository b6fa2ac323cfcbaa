"""Figures of a ranker and of its baselines, on the rows of a split.

Shapes: N rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import torch
from torch import Tensor, nn

from core.dataset import TARGET, USER_INDEX, Dataset
from core.errors import UserError
from train.batch import Features
from train.loader import Loader
from train.metrics import classification as metric
from train.metrics.sums import mean
from train.predict import predict

BINS = 20
POINTS = 200


@dataclass(frozen=True)
class Scored:
    """Rows of a split with their logits.

    Attributes:
        logit_N: float32.
        target_N: 0 or 1.
        user_N: Number of the row's user; None where the data know no users.
    """

    logit_N: Tensor
    target_N: Tensor
    user_N: Tensor | None

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
        return Scored(torch.full_like(self.logit_N, logit), self.target_N, self.user_N)


def _histogram(value_N: Tensor, edges: Tensor) -> list[int]:
    """Rows in each bin: the first takes its left edge too."""
    place_N = torch.bucketize(value_N, edges[1:-1])
    return [int(count) for count in torch.bincount(place_N, minlength=len(edges) - 1)]


def score(
    dataset: Dataset, split: str, module: nn.Module, features: Features, *, batch_size: int, device: torch.device
) -> Scored:
    """Score a split with a module in eval mode; the result lies on the CPU.

    Raises:
        UserError: A file is broken, or the module gives NaN or infinity.
    """
    files = dataset.files(split)
    logit_N, target_N = predict(module.to(device), Loader(files, features, batch_size, device=device))
    if not bool(logit_N.isfinite().all()):
        raise UserError(
            f"the ranker gives {int((~logit_N.isfinite()).sum())} scores of the {split} split that are no numbers",
            where=str(dataset.path / split),
            cure="normalize or clip numbers with large values, or lower train.ranker.optimizer.rate",
        )
    return Scored(logit_N.cpu(), target_N.cpu(), _users(files))


def train_rate(dataset: Dataset) -> float:
    """Share of positives among the training rows: what the constant baseline predicts."""
    rows, positives = (
        pl.scan_parquet(dataset.files("train"))
        .select(pl.len().alias("rows"), (pl.col(TARGET) > 0.5).sum().alias("positives"))
        .collect()
        .row(0)
    )
    return float(positives) / float(rows)


def _users(files: Sequence[Path]) -> Tensor | None:
    scan = pl.scan_parquet(files)
    if USER_INDEX not in scan.collect_schema():
        return None
    return torch.from_numpy(scan.select(USER_INDEX).collect()[USER_INDEX].to_numpy().copy()).to(torch.int64)


def figures_of(scored: Mapping[str, Scored]) -> dict[str, dict[str, float]]:
    """Figures of each split."""
    return {split: one.figures() for split, one in scored.items()}
