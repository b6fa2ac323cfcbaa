"""What a candidate generator is asked in one split, and the figures of its answers.

Shapes: Q users who are asked for, U users, K list length.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from train.evaluation.scorer import Scorer
from train.item_sets import ItemSets
from train.metrics.ranking import coverage, per_user
from train.metrics.sums import mean
from train.pairs import Interactions


@dataclass(frozen=True)
class Holdout:
    """The users of a split, what they are to be given and what they must not be given.

    Attributes:
        user_Q: Users with something to be found, rising.
        wanted: What each user is to be given.
        masked: What each user has already seen; None: nothing is masked.
        warm_U: Whether the user has a positive in training.
        counts: How many users, positives and items there are, and what was left out.
    """

    user_Q: Tensor
    wanted: ItemSets
    masked: ItemSets | None
    warm_U: Tensor
    counts: dict[str, int]

    @classmethod
    def of(cls, interactions: Interactions, split: str, *, mask_seen: bool = True) -> Holdout:
        """Ask for the positives of a split.

        Args:
            interactions: All of them.
            split: valid or test.
            mask_seen: Leave out what the user has met in an earlier split; such an item is then nothing to be
                found either.
        """
        positives = interactions.wanted(split)
        masked = interactions.before(split) if mask_seen else None
        wanted = positives if masked is None else positives.minus(masked)
        train_user_P, train_item_P = interactions.positives("train")
        warm_U, warm_I = _occurs(train_user_P, interactions.users), _occurs(train_item_P, interactions.items)
        user_Q = (wanted.sizes > 0).nonzero().squeeze(1)
        counts = {
            "users": len(user_Q),
            "users_without_positives": interactions.users - len(user_Q),
            "users_cold": int((~warm_U[user_Q]).sum()),
            "positives": len(wanted.item_P),
            "positives_cold": int((~warm_I[wanted.item_P]).sum()),
            "positives_seen_before": len(positives.item_P) - len(wanted.item_P),
            "items": interactions.items,
        }
        return cls(user_Q, wanted, masked, warm_U, counts)

    def figures(self, scorer: Scorer, *, ks: Sequence[int]) -> dict[str, dict[str, float]]:
        """Rank the catalogue for each user and average the metrics, over all users and over warm and cold ones.

        Args:
            scorer: Its queries are those of `user_Q`.
            ks: List lengths.

        Returns:
            `all`, `warm` and `cold`, each with the metrics at each k and `users`; empty groups are left out.
        """
        item_QK = scorer.best(max(ks), self.user_Q, self.masked)
        hit_QK = self.wanted.contain(self.user_Q, item_QK).cpu()
        size_Q, warm_Q = self.wanted.sizes[self.user_Q].cpu(), self.warm_U[self.user_Q].cpu()
        values = {name: value for k in ks for name, value in per_user(hit_QK, size_Q, k=k).items()}
        everyone = torch.ones_like(warm_Q)
        found: dict[str, dict[str, float]] = {}
        for group, chosen_Q in (("all", everyone), ("warm", warm_Q), ("cold", ~warm_Q)):
            if bool(chosen_Q.any()):
                found[group] = {name: mean(value[chosen_Q]) for name, value in values.items()}
                found[group]["users"] = int(chosen_Q.sum())
                shown_QK = item_QK.cpu()[chosen_Q]
                found[group] |= {f"coverage@{k}": coverage(shown_QK, k=k, items=scorer.items) for k in ks}
        return found


def _occurs(index_P: Tensor, size: int) -> Tensor:
    """Which of `size` indices occur."""
    return torch.bincount(index_P, minlength=size) > 0
