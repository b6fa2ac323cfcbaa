"""What a candidate generator is asked in one split, and the figures of its answers.

Shapes: Q users who are asked for, U users, K list length.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from train.determinism import epoch_random
from train.evaluation.sample import Part, Sample
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

    def some(self, users: int) -> Holdout:
        """Ask so many of the users alone, drawn evenly; always the same ones, so that trainings can be compared."""
        drawn = torch.randperm(len(self.user_Q), generator=epoch_random(0, users))[:users]
        return replace(self, user_Q=self.user_Q[drawn.sort().values.to(self.user_Q.device)])

    def figures(self, scorer: Scorer, *, ks: Sequence[int]) -> dict[str, dict[str, float]]:
        """Rank the catalogue for each user and average the metrics, over all users and over warm and cold ones.

        Args:
            scorer: Its queries are those of `user_Q`.
            ks: List lengths.

        Returns:
            `all`, `warm` and `cold`, each with the metrics at each k and `users`; empty groups are left out.
        """
        lists = self.lists(scorer, ks=ks)
        found = {"all": lists.whole()}
        for group, there_U in (("warm", self.warm_U), ("cold", ~self.warm_U)):
            part = lists.of_users(there_U.cpu())
            if part is not None:
                found[group] = part.figures
        return found

    def lists(self, scorer: Scorer, *, ks: Sequence[int]) -> Lists:
        """Rank the catalogue for each user; arguments as `figures`."""
        item_QK = scorer.best(max(ks), self.user_Q, self.masked)
        user_Q, wanted = self.user_Q.cpu(), self.wanted.to(torch.device("cpu"))
        return Lists(user_Q, item_QK.cpu(), wanted, tuple(ks), scorer.items)


@dataclass(frozen=True)
class Lists:
    """Ranked lists and what was to be found, on the CPU.

    Attributes:
        user_Q: Whose list each is.
        item_QK: The lists, best first.
        wanted: What each user is to be given.
        ks: List lengths.
        items: Size of the catalogue.
    """

    user_Q: Tensor
    item_QK: Tensor
    wanted: ItemSets
    ks: tuple[int, ...]
    items: int

    def whole(self) -> dict[str, float]:
        """Figures of all users."""
        return self._figures(self.sample(), self.item_QK)

    def sample(self) -> Sample:
        """Every metric of every user."""
        return self._sample(torch.ones(len(self.user_Q), dtype=torch.bool), self.wanted)

    def of_users(self, there_U: Tensor) -> Part | None:
        """Figures of some users; None where none of them is asked for."""
        chosen_Q = there_U[self.user_Q]
        sample = self._sample(chosen_Q, self.wanted)
        return Part(self._figures(sample, self.item_QK[chosen_Q]), sample) if len(sample.user_Q) else None

    def of_items(self, there_I: Tensor) -> Part | None:
        """How well some items are found in the same lists, by the users who want any of them; None without such."""
        wanted = self.wanted.only(there_I)
        sample = self._sample(wanted.sizes[self.user_Q] > 0, wanted)
        if not len(sample.user_Q):
            return None
        found = {name: mean(value) for name, value in sample.value.items()}
        return Part({**found, "users": len(sample.user_Q), "positives": int(wanted.sizes.sum())}, sample)

    def _sample(self, chosen_Q: Tensor, wanted: ItemSets) -> Sample:
        user_C = self.user_Q[chosen_Q]
        hit_CK, size_C = wanted.contain(user_C, self.item_QK[chosen_Q]), wanted.sizes[user_C]
        values = {name: value for k in self.ks for name, value in per_user(hit_CK, size_C, k=k).items()}
        return Sample(user_C, values)

    def _figures(self, sample: Sample, shown_CK: Tensor) -> dict[str, float]:
        found = {name: mean(value) for name, value in sample.value.items()}
        found["users"] = len(sample.user_Q)
        return found | {f"coverage@{k}": coverage(shown_CK, k=k, items=self.items) for k in self.ks}


def _occurs(index_P: Tensor, size: int) -> Tensor:
    """Which of `size` indices occur."""
    return torch.bincount(index_P, minlength=size) > 0
