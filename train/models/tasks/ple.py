"""Progressive layered extraction (Tang et al., 2020).

Shapes: B rows, I inputs, X experts, O outputs of an expert, T targets.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from train.batch import Batch, Features
from train.layers.experts import Experts, Gates
from train.layers.fields import Numbers
from train.layers.flat import FlatInput
from train.models.rank.base import RankerModel
from train.models.sizes import Dropout, Hidden, Width
from train.models.tasks.towers import Towers

Count = Annotated[int, Field(gt=0)]


class PleSpec(RankerModel):
    """Levels of experts that targets share and of experts of their own, so that one target's noise stays its own.

    The defaults are two levels of one shared expert and one a target, and sizes of our own.

    Attributes:
        embedding_dim: Width of the embeddings.
        levels: Number of levels.
        shared: Shared experts of a level.
        own: Experts of each target in a level.
        expert_hidden: Widths of the layers of an expert.
        tower_hidden: Widths of the layers of a target's tower.
        dropout: Share of units that training switches off.
        numbers: `raw`: continuous features go in as they are, `embedded`: as vectors.
    """

    several: ClassVar[bool] = True

    kind: Literal["ple"] = "ple"
    embedding_dim: Width = 16
    levels: Count = 2
    shared: Count = 1
    own: Count = 1
    expert_hidden: Annotated[Hidden, Field(min_length=1)] = (64,)
    tower_hidden: Hidden = (32,)
    dropout: Dropout = 0.0
    numbers: Numbers = "raw"

    def build(self, features: Features) -> nn.Module:
        """Make the module; works with any features but none, and with one target too."""
        flat = FlatInput(features, width=self.embedding_dim, numbers=self.numbers)
        targets = len(features.targets)
        sizes = [flat.outputs, *[self.expert_hidden[-1]] * (self.levels - 1)]
        levels = [self._level(inputs, targets, last=place == self.levels) for place, inputs in enumerate(sizes, 1)]
        return Ple(flat, levels, Towers(self.expert_hidden[-1], self.tower_hidden, count=targets))

    def _level(self, inputs: int, targets: int, *, last: bool) -> Extraction:
        sides = [
            Experts(inputs, self.expert_hidden, count=count, dropout=self.dropout)
            for count in (*[self.own] * targets, self.shared)
        ]
        return Extraction(inputs, sides, last=last)


class Extraction(nn.Module):
    """One level (customized gate control, section 4.1): what each target, and what they share, goes on with.

    Args:
        inputs: I.
        sides: The experts of each target, then the shared ones.
        last: Nothing is shared after it.
    """

    def __init__(self, inputs: int, sides: list[Experts], *, last: bool) -> None:
        super().__init__()
        self.sides = nn.ModuleList(sides)
        shared = sides[-1].count
        gates = [Gates(inputs, experts=side.count + shared) for side in sides[:-1]]
        # The shared side sees the experts of every target (section 4.2).
        whole = [] if last else [Gates(inputs, experts=sum(side.count for side in sides))]
        self.gates = nn.ModuleList([*gates, *whole])

    def forward(self, side_BI: list[Tensor]) -> list[Tensor]:
        """The input of each side -> side_BO, of each target and, but for the last level, of what is shared."""
        experts = [side(x_BI) for side, x_BI in zip(self.sides, side_BI, strict=True)]
        seen = [torch.cat([own_BXO, experts[-1]], 1) for own_BXO in experts[:-1]]
        seen.append(torch.cat(experts, 1))
        return [gate(x_BI, heard).squeeze(1) for gate, x_BI, heard in zip(self.gates, side_BI, seen, strict=False)]


class Ple(nn.Module):
    """Levels of extraction, then a tower a target."""

    def __init__(self, flat: FlatInput, levels: list[Extraction], towers: Towers) -> None:
        super().__init__()
        self.flat, self.levels, self.towers = flat, nn.ModuleList(levels), towers

    def forward(self, batch: Batch) -> Tensor:
        """Batch -> logit_BT, or logit_B of a single target."""
        x_BI = self.flat(batch)
        side_BO = [x_BI] * (len(self.towers.each) + 1)
        for level in self.levels:
            side_BO = level(side_BO)
        logits: Tensor = self.towers(torch.stack(side_BO, 1))
        return logits
