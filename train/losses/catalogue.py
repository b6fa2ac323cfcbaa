"""Losses of a user's vector over items of the catalogue, as settings: `loss: {kind: bpr}`.

Shapes: B pairs, N negatives of a pair or of the batch, V dimensions of a vector.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from core.spec import Spec
from train.losses.pairwise import bce, bpr, generalised_power, softmax
from train.negatives.base import Drawn, Sampler
from train.precision import in_float32


@dataclass(frozen=True)
class Scored:
    """Scores of a batch of pairs.

    Attributes:
        own_B: Of each pair's own item.
        other_BN: Of its negatives.
        drawn: How those came about.
        items: Size of the catalogue.
    """

    own_B: Tensor
    other_BN: Tensor
    drawn: Drawn
    items: int


class CatalogueLoss(Spec):
    """Settings of a loss over sampled negatives."""

    kind: str
    """Its name in YAML and in `CATALOGUE_LOSSES`."""

    def __call__(self, scored: Scored) -> Tensor:
        """Scores -> mean loss of the pairs."""
        raise NotImplementedError


class BprLoss(CatalogueLoss):
    """The own item beats each negative."""

    kind: Literal["bpr"] = "bpr"

    def __call__(self, scored: Scored) -> Tensor:
        """See `pairwise.bpr`."""
        return bpr(scored.own_B, scored.other_BN, scored.drawn.wrong_BN)


class SampledSoftmaxLoss(CatalogueLoss):
    """The own item among its negatives.

    Attributes:
        temperature: What scores are divided by; near 0.1 for vectors of length one.
        correction: Lower each score by the log of the item's chance to be drawn, so that the full softmax is the
            optimum.
    """

    kind: Literal["sampled_softmax"] = "sampled_softmax"
    temperature: Annotated[float, Field(gt=0.0)] = 1.0
    correction: bool = True

    def __call__(self, scored: Scored) -> Tensor:
        """See `pairwise.softmax`."""
        drawn, scale = scored.drawn, 1.0 / self.temperature
        if not self.correction:
            return softmax(scored.own_B * scale, scored.other_BN * scale, drawn.wrong_BN)
        # An item that is never drawn has no chance to correct for.
        own_B = torch.add(-drawn.own_log_chance_B.clamp(min=-100.0), scored.own_B, alpha=scale)
        return softmax(own_B, torch.add(-drawn.log_chance, scored.other_BN, alpha=scale), drawn.wrong_BN)


class BceLoss(CatalogueLoss):
    """Each item by itself: liked or not."""

    kind: Literal["bce"] = "bce"

    def __call__(self, scored: Scored) -> Tensor:
        """See `pairwise.bce`."""
        return bce(scored.own_B, scored.other_BN, scored.drawn.wrong_BN)


class GbceLoss(CatalogueLoss):
    """Binary cross-entropy that does not overrate what is liked (Petrov & Macdonald, 2023).

    Attributes:
        calibration: 0: the usual loss, 1: probabilities as if all items had been negatives.
    """

    kind: Literal["gbce"] = "gbce"
    calibration: Annotated[float, Field(ge=0.0, le=1.0)] = 0.75

    def __call__(self, scored: Scored) -> Tensor:
        """See `pairwise.bce` and `pairwise.generalised_power`."""
        negatives = scored.other_BN.shape[1]
        power = generalised_power(negatives=negatives, items=scored.items, calibration=self.calibration)
        return bce(scored.own_B, scored.other_BN, scored.drawn.wrong_BN, power=power)


CATALOGUE_LOSSES: dict[str, type[CatalogueLoss]] = {
    "bpr": BprLoss,
    "sampled_softmax": SampledSoftmaxLoss,
    "bce": BceLoss,
    "gbce": GbceLoss,
}


def catalogue_loss(
    loss: CatalogueLoss,
    sampler: Sampler,
    *,
    query_BV: Tensor,
    item_vectors: Callable[[Tensor], Tensor],
    items: int,
    user_B: Tensor,
    own_B: Tensor,
) -> Tensor:
    """Draw negatives and compute the mean loss of a batch of pairs.

    Args:
        loss: Which one.
        sampler: Where negatives come from.
        query_BV: A vector a pair.
        item_vectors: Rows of items -> their vectors, [N] -> [N, V].
        items: Size of the catalogue.
        user_B: Whose pair each is.
        own_B: The item that the user likes.
    """
    drawn = sampler(user_B, own_B)
    vector_V, query_BV = item_vectors(torch.cat([own_B, drawn.item.flatten()])).float(), query_BV.float()
    own_BV, other_V = vector_V[: len(own_B)], vector_V[len(own_B) :]
    with in_float32(own_B.device):
        score_B = (query_BV * own_BV).sum(dim=1)
        if drawn.item.dim() == 1:
            other_BN = query_BV @ other_V.T
        else:
            other_BNV = other_V.view(*drawn.item.shape, -1)
            other_BN = torch.bmm(other_BNV, query_BV.unsqueeze(2)).squeeze(2)
        return loss(Scored(score_B, other_BN, drawn, items))
