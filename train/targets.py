"""Which of a data set's targets a ranker learns, which of them decides, and how much each counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from torch import Tensor

from core import log
from core.errors import UserError
from core.suggest import did_you_mean
from train.batch import Features, Target
from train.metrics.classification import auc, logloss
from train.models.rank.base import RankerModel


def chosen(features: Features, model: RankerModel, target: str | None) -> Features:
    """The features with the targets that a model learns: the one that decides first, and no other if it learns one.

    Args:
        features: With all targets of the data.
        model: The ranker.
        target: Name of the target that decides; None: the first of the data.

    Raises:
        UserError: There is no such target.

    Example:
        >>> from train.models.rank import MlpSpec
        >>> features = Features((), (), ("age",), targets=(Target("click"), Target("sale", "__target_sale__")))
        >>> [one.name for one in chosen(features, MlpSpec(), "sale").targets]
        ['sale']
    """
    names = [one.name for one in features.targets]
    if target is not None and target not in names:
        told = f"the data have no target {target}"
        raise UserError(told, where="train.ranker.target", cure=did_you_mean(target, names))
    first = features.targets[0 if target is None else names.index(target)]
    others = tuple(one for one in features.targets if one != first)
    if others and not model.several:
        told = ", ".join(one.name for one in others)
        log.get("train").info("%s learns one target, %s, and nothing of %s", model.kind, first.name, told)
    return replace(features, targets=(first, *others) if model.several else (first,))


def weights_of(features: Features, model: RankerModel, weights: Mapping[str, float]) -> tuple[float, ...]:
    """How much each target counts in the loss, 1 where nothing is said.

    Raises:
        UserError: A weight is of a target that isn't learned, or the one that decides counts nothing.

    Example:
        >>> from train.models.tasks import MmoeSpec
        >>> features = Features((), (), ("age",), targets=(Target("click"), Target("sale", "__target_sale__")))
        >>> weights_of(features, MmoeSpec(), {"sale": 5.0})
        (1.0, 5.0)
    """
    where, names = "train.ranker.weights", [one.name for one in features.targets]
    if weights and not model.several:
        cure = "leave the weights out, or take a model of several targets (mmoe, ple)"
        raise UserError(f"{model.kind} learns one target, so there is nothing to weigh", where=where, cure=cure)
    for name in weights:
        if name not in names:
            raise UserError(f"the data have no target {name}", where=where, cure=did_you_mean(name, names))
    if weights.get(names[0]) == 0.0:
        told = f"{names[0]} decides which epoch is kept and counts nothing in the loss"
        raise UserError(told, where=where, cure="give it a weight, or let train.ranker.target name another")
    return tuple(weights.get(name, 1.0) for name in names)


def rows_that_tell(target: Target, place: int, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Logits and labels of one of the targets, of the rows whose label is known.

    Args:
        target: Which one.
        place: Its column.
        logits: [N, T], or [N] of a single target.
        labels: The same.

    Returns:
        logit_N, label_N of fewer rows.
    """
    logit_N, label_N = (one if one.ndim == 1 else one[:, place] for one in (logits, labels))
    if target.known:
        return logit_N, label_N
    known_N = ~label_N.isnan()
    return logit_N[known_N], label_N[known_N]


def figures_of(targets: Sequence[Target], logits: Tensor, labels: Tensor) -> dict[str, float]:
    """AUC and logloss of each target over the rows that tell it; those of the first without its name.

    Args:
        targets: In the order of the columns.
        logits: [N, T], or [N] of a single target.
        labels: The same, NaN where one isn't known.

    Example:
        >>> both = (Target("click"), Target("sale", "__target_sale__"))
        >>> import torch
        >>> logits, labels = torch.tensor([[0.0, 1.0], [1.0, 2.0], [2.0, 0.0]]), torch.tensor([0.0, 1.0, 1.0])
        >>> sales = torch.tensor([1.0, torch.nan, 0.0])
        >>> found = figures_of(both, logits, torch.stack([labels, sales], 1))
        >>> found["auc"], found["auc_sale"]
        (1.0, 1.0)
    """
    found: dict[str, float] = {}
    for place, target in enumerate(targets):
        logit_N, label_N = rows_that_tell(target, place, logits, labels)
        end = f"_{target.name}" if place else ""
        found |= {f"auc{end}": auc(logit_N, label_N), f"logloss{end}": logloss(logit_N, label_N)}
    return found


def deciding(logits: Tensor) -> Tensor:
    """The logits of the target that decides: logit_B of logit_BT or of logit_B."""
    return logits if logits.ndim == 1 else logits[:, 0]
