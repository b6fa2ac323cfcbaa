"""Figures under a sampled protocol: each item to be found is ranked among items drawn for it alone.

Shapes: C cases (a user with one item to be found), N negatives of a case, Q users who are asked for, K list length.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from train.evaluation.drawn import draw
from train.evaluation.holdout import Holdout
from train.evaluation.ranking import keys
from train.evaluation.sample import Part, Sample
from train.evaluation.scorer import Scorer
from train.evaluation.spec import SampledSpec
from train.item_sets import ItemSets
from train.metrics.ranking import per_user
from train.metrics.sums import mean
from train.pairs import Interactions

SAMPLED = "sampled_"
"""Begins the name of every figure of a sampled protocol, so that nobody takes it for one of the whole catalogue."""
METRICS = ("hr", "ndcg", "mrr")
"""With one item to be found a case, recall is the hit rate and MAP is MRR."""
BLOCK = 1 << 14
"""Cases at a time."""


@dataclass(frozen=True)
class SampledLists:
    """At which place of its list each item to be found came, on the CPU.

    Attributes:
        user_C: Whose item it is, rising.
        item_C: The item.
        place_C: Its place, from 1.
        ks: List lengths.
    """

    user_C: Tensor
    item_C: Tensor
    place_C: Tensor
    ks: tuple[int, ...]

    def whole(self) -> dict[str, float]:
        """Figures of all users."""
        return self._of(torch.ones_like(self.user_C, dtype=torch.bool)).figures

    def sample(self) -> Sample:
        """Every metric of every user: the mean over the user's cases."""
        return self._sample(torch.ones_like(self.user_C, dtype=torch.bool))

    def of_users(self, there_U: Tensor) -> Part | None:
        """Figures of some users; None where none of them is asked for."""
        chosen_C = there_U[self.user_C]
        return self._of(chosen_C) if bool(chosen_C.any()) else None

    def of_items(self, there_I: Tensor) -> Part | None:
        """How well some items are found, by the users who want any of them; None without such."""
        chosen_C = there_I[self.item_C]
        if not bool(chosen_C.any()):
            return None
        part = self._of(chosen_C)
        return Part({**part.figures, "positives": int(chosen_C.sum())}, part.sample)

    def _of(self, chosen_C: Tensor) -> Part:
        sample = self._sample(chosen_C)
        figures: dict[str, float] = {name: mean(value) for name, value in sample.value.items()}
        return Part({**figures, "users": len(sample.user_Q)}, sample)

    def _sample(self, chosen_C: Tensor) -> Sample:
        user_Q, owner_C = torch.unique(self.user_C[chosen_C], return_inverse=True)
        count_Q = torch.bincount(owner_C, minlength=len(user_Q))
        hit_CK = self.place_C[chosen_C].unsqueeze(1) == torch.arange(1, max(self.ks) + 1)
        values = {}
        for k in self.ks:
            found = per_user(hit_CK, torch.ones(len(hit_CK), dtype=torch.int64), k=k)
            for name in (f"{metric}@{k}" for metric in METRICS):
                total_Q = torch.bincount(owner_C, weights=found[name], minlength=len(user_Q))
                values[SAMPLED + name] = total_Q / count_Q
        return Sample(user_Q, values)


def sampled_lists(
    holdout: Holdout, scorer: Scorer, interactions: Interactions, spec: SampledSpec, *, ks: Sequence[int]
) -> SampledLists:
    """Rank each item to be found among those drawn for it.

    Args:
        holdout: Who is to be given what.
        scorer: Its queries are those of `holdout.user_Q`.
        interactions: All of them: nobody is compared with what the user met, in whatever split.
        spec: The protocol.
        ks: List lengths.

    Raises:
        UserError: There are too few items to draw.
    """
    row_C, item_C = holdout.wanted.pairs(holdout.user_Q)
    user_C = holdout.user_Q[row_C]
    every = interactions
    met = ItemSets.of(every.user_P, every.item_P, users=every.users, items=every.items)
    weight_I = None
    if spec.by == "popularity":
        weight_I = torch.bincount(every.positives("train")[1], minlength=every.items)
    places = []
    for start in range(0, len(user_C), BLOCK):
        own_B, user_B = item_C[start : start + BLOCK], user_C[start : start + BLOCK]
        other_BN = draw(user_B, own_B, met=met, weight_I=weight_I, spec=spec).to(own_B.device)
        item_BM = torch.cat([own_B.unsqueeze(1), other_BN], dim=1)
        with torch.inference_mode():
            key_BM = keys(scorer.scores(row_C[start : start + BLOCK], item_BM), item_BM)
            places.append(1 + (key_BM[:, 1:] > key_BM[:, :1]).sum(dim=1).cpu())
    return SampledLists(user_C.cpu(), item_C.cpu(), torch.cat(places), tuple(ks))


def sampled_words(spec: SampledSpec) -> list[str]:
    """What the figures mean."""
    alike = "drawn uniformly" if spec.by == "uniform" else "drawn by their number of positive training interactions"
    return [
        f"SAMPLED: each item to be found is ranked among {spec.negatives} other items alone, {alike}.",
        f"None of them did its user meet in any split; they are frozen by the seed {spec.seed}, the user and the item.",
        "Such figures are far above those of the whole catalogue, and may order models otherwise.",
        "A user's figure is the mean over the user's items to be found.",
        "The epoch of a generator was chosen by ranking all items, that of a ranker by its own rows.",
    ]
