"""Confidence intervals over users, by the bootstrap.

Shapes: Q users, M figures, R replicates, B users of a block.

Each replicate counts every user a random number of times, drawn from Poisson(1): what drawing Q users with
replacement comes to for all but a handful of users (Chamandy et al. 2012, Estimating Uncertainty for Massive Data
Streams). All replicates of all figures are two matrix products. Figures of the same users share the draws, so that
the replicates of a difference are the differences of replicates: the interval is a paired one.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from train.evaluation.sample import Sample

K = TypeVar("K", bound=Hashable)
REPLICATES = 1000
SEED = 20_210
BLOCK = 4096
"""Users whose draws are held at a time."""
DIGITS = 7
"""Digits kept after the point: products differ in their last bits from one number of threads to another."""


@dataclass(frozen=True)
class Replicates:
    """Each figure in each replicate.

    Attributes:
        names: The figures.
        value_RM: float64; NaN where a replicate counted no user.
    """

    names: Sequence[str]
    value_RM: Tensor

    def interval(self, name: str, confidence: float) -> list[float]:
        """The two ends between which the middle `confidence` of the replicates lie; NaN where there are none."""
        return _ends(self.value_RM[:, self.names.index(name)], confidence)

    def intervals(self, confidence: float) -> dict[str, list[float]]:
        """The interval of every figure."""
        return {name: self.interval(name, confidence) for name in self.names}

    def against(self, other: Replicates, confidence: float) -> dict[str, list[float]]:
        """Intervals of the difference to other figures of the same users, for each name that both have."""
        common = [name for name in self.names if name in other.names]
        mine, theirs = ([one.names.index(name) for name in common] for one in (self, other))
        apart_RM = self.value_RM[:, mine] - other.value_RM[:, theirs]
        return {name: _ends(apart_RM[:, at], confidence) for at, name in enumerate(common)}


def replicate(samples: Mapping[K, Sample], *, count: int = REPLICATES) -> dict[K, Replicates]:
    """Replicates of some samples that all speak of the same users.

    Args:
        samples: By any name; all with the same `user_Q` (`Sample.over` brings that about).
        count: Number of replicates.

    Example:
        >>> sample = Sample(torch.arange(400), {"hr@1": torch.arange(400.0) % 2})
        >>> replicate({"model": sample})["model"].interval("hr@1", 0.95)
        [0.4553402, 0.5489691]
    """
    keys = [(key, name) for key, sample in samples.items() for name in sample.value]
    if not keys:
        return {}
    weight_QM = torch.stack([samples[key].weight(name) for key, name in keys], dim=1)
    part_QM = torch.stack([samples[key].value[name].nan_to_num(0.0) for key, name in keys], dim=1) * weight_QM
    both_QM = torch.cat([part_QM, weight_QM], dim=1)
    total_RM = torch.zeros(count, both_QM.shape[1], dtype=torch.float64)
    generator = np.random.Generator(np.random.PCG64(SEED))
    for start in range(0, len(both_QM), BLOCK):
        block_BM = both_QM[start : start + BLOCK]
        total_RM += _counts(generator, len(block_BM), count).T @ block_BM
    value_RM = total_RM[:, : len(keys)] / total_RM[:, len(keys) :]  # 0 / 0 is NaN
    places = {key: [at for at, (owner, _) in enumerate(keys) if owner == key] for key in samples}
    return {key: Replicates(list(samples[key].value), value_RM[:, at]) for key, at in places.items()}


def interval_words(confidence: float) -> str:
    """What an interval means, for a protocol."""
    return (
        f"Intervals ({100 * confidence:g} %): bootstrap over users, {REPLICATES} replicates, fixed draws; those of "
        "differences are paired. They tell what other users would change, not what another seed of the training would."
    )


def _counts(generator: np.random.Generator, users: int, count: int) -> Tensor:
    """How often each user counts in each replicate, float64 [users, count]: Poisson(1) to 16 bits."""
    draw = generator.integers(0, 1 << 16, size=(users, count), dtype=np.uint16)
    return torch.from_numpy(_TABLE[draw])


def _table() -> np.ndarray:
    """The Poisson(1) number for each of 65536 equal shares of chance."""
    chance = np.exp(-1.0) / np.cumprod([1.0, *range(1, 20)])
    return np.searchsorted(np.cumsum(chance), (np.arange(1 << 16) + 0.5) / (1 << 16)).astype(np.float64)


_TABLE = _table()


def _ends(value_R: Tensor, confidence: float) -> list[float]:
    known = value_R[~value_R.isnan()].numpy()
    if not len(known):
        return [float("nan")] * 2
    return [round(float(end), DIGITS) for end in np.quantile(known, [(1 - confidence) / 2, (1 + confidence) / 2])]
