"""Multi-gate mixture of experts (Ma et al., 2018).

Shapes: B rows, I inputs, X experts, O outputs of an expert, T targets.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field
from torch import Tensor, nn

from train.batch import Batch, Features
from train.layers.experts import Experts, Gates
from train.layers.fields import Numbers
from train.layers.flat import FlatInput
from train.models.rank.base import RankerModel
from train.models.sizes import Dropout, Hidden, Width
from train.models.tasks.towers import Towers


class MmoeSpec(RankerModel):
    """Experts that all targets share; each target has a gate that says how much of which expert it takes.

    Sizes as in the paper's section 4.2: 8 experts of one layer of 16 units, towers of 8.

    Attributes:
        embedding_dim: Width of the embeddings.
        experts: Number of experts.
        expert_hidden: Widths of the layers of an expert.
        tower_hidden: Widths of the layers of a target's tower.
        dropout: Share of units that training switches off.
        numbers: `raw`: continuous features go in as they are, `embedded`: as vectors.
    """

    several: ClassVar[bool] = True

    kind: Literal["mmoe"] = "mmoe"
    embedding_dim: Width = 16
    experts: Annotated[int, Field(gt=0)] = 8
    expert_hidden: Annotated[Hidden, Field(min_length=1)] = (16,)
    tower_hidden: Hidden = (8,)
    dropout: Dropout = 0.0
    numbers: Numbers = "raw"

    def build(self, features: Features) -> nn.Module:
        """Make the module; works with any features but none, and with one target too."""
        flat = FlatInput(features, width=self.embedding_dim, numbers=self.numbers)
        targets = len(features.targets)
        experts = Experts(flat.outputs, self.expert_hidden, count=self.experts, dropout=self.dropout)
        gates = Gates(flat.outputs, experts=self.experts, mixtures=targets)
        return Mmoe(flat, experts, gates, Towers(experts.outputs, self.tower_hidden, count=targets))


class Mmoe(nn.Module):
    """`f_t(x) = h_t(sum_i g_ti(x) E_i(x))` (equations 6 and 7): a tower on a mixture of experts, for each target."""

    def __init__(self, flat: FlatInput, experts: Experts, gates: Gates, towers: Towers) -> None:
        super().__init__()
        self.flat, self.experts, self.gates, self.towers = flat, experts, gates, towers

    def forward(self, batch: Batch) -> Tensor:
        """Batch -> logit_BT, or logit_B of a single target."""
        x_BI = self.flat(batch)
        logits: Tensor = self.towers(self.gates(x_BI, self.experts(x_BI)))
        return logits
