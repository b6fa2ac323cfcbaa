"""What a ranker of several targets gives: one number to rank by, and the probability of each target.

Shapes: B rows, T targets, S = 1 + T outputs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from core.errors import UserError
from core.suggest import did_you_mean
from train.batch import Batch, Features

WHERE = "export.rank_by"


class Answers(nn.Module):
    """A ranker of several targets as probabilities, and in front of them what ranks.

    Args:
        module: Batch -> logit_BT.
        powers: Of each target; None: the first one's probability ranks.

    Example:
        >>> answers = Answers(nn.Identity(), [1.0, 2.0])
        >>> answers(torch.tensor([[0.0, 0.0]])).tolist()
        [[0.125, 0.5, 0.5]]
    """

    powers: Tensor

    def __init__(self, module: nn.Module, powers: Sequence[float] | None) -> None:
        super().__init__()
        self.module, self.ranked = module, powers is not None
        self.register_buffer("powers", torch.tensor(powers or [], dtype=torch.float32))

    def forward(self, batch: Batch) -> Tensor:
        """Batch -> answer_BS."""
        logit_BT = self.module(batch)
        chance_BT = torch.sigmoid(logit_BT)
        if not self.ranked:
            return torch.cat([chance_BT[:, :1], chance_BT], 1)
        score_B1 = (functional.logsigmoid(logit_BT) * self.powers).sum(1, keepdim=True).exp()
        return torch.cat([score_B1, chance_BT], 1)


def answers_of(module: nn.Module, features: Features, rank_by: Mapping[str, float]) -> nn.Module:
    """What is exported of a ranker: itself where it knows one target.

    Args:
        module: Batch -> logit_B, or logit_BT of several targets.
        features: Its features and targets.
        rank_by: Target -> the power of its probability in the score; empty: the first target alone ranks.

    Raises:
        UserError: A target that the ranker doesn't know is named.
    """
    names = [one.name for one in features.targets]
    for name in rank_by:
        if len(names) == 1:
            cure = "leave it out, or train a model of several targets (mmoe, ple)"
            raise UserError("the ranker knows one target, which ranks", where=WHERE, cure=cure)
        if name not in names:
            raise UserError(f"the ranker knows no target {name}", where=WHERE, cure=did_you_mean(name, names))
    if len(names) == 1:
        return module
    return Answers(module, [rank_by.get(name, 0.0) for name in names] if rank_by else None).eval()


def further_outputs(features: Features) -> tuple[str, ...]:
    """The outputs beside `score`: the probability of each target, where there are several.

    Example:
        >>> from train.batch import Target
        >>> further_outputs(Features((), (), (), targets=(Target("click"), Target("sale", "__target_sale__"))))
        ('score_click', 'score_sale')
    """
    return tuple(f"score_{one.name}" for one in features.targets) if len(features.targets) > 1 else ()
