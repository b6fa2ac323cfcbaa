"""The hidden truth behind the generated clicks: how a row is drawn and how likely its click is.

Every column is drawn from one uniform number by a bounded Pareto law with the density x^-a on [1, n+1), whose
floor has zipf frequencies. With a = 1 - 1/power and a whole power its inverse distribution function

    x = (1 + u ((n + 1)^(1/power) - 1))^power

needs multiplications only: no table that grows with n, no search, and the same numbers on every machine.
The share of u below the null rate is spent on nulls.

The logit is linear and quadratic in the logarithms of the counts, linear in the ids, and has the pairwise term
of a factorisation machine over the ids (Rendle 2010, equation 1), for which 2 sum_{i<j} <v_i, v_j> =
|sum v|^2 - sum |v|^2. Ids share their hidden weights modulo `SLOTS`, so memory does not grow with cardinality
(no model can tell).

Shapes: B rows of a block, K hidden factors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

BLOCK = 131_072
"""Rows of a block: the unit of seeding and of a Parquet row group."""
COUNT_CEILINGS = (5_000, 250_000, 60_000, 900, 2_000_000, 400_000, 50_000, 6_000, 30_000, 12, 250, 4_000, 7_000)
COUNT_POWERS = (-4, -8, -4, -8, -16, -8, -4, -8, -8, -2, -4, -2, -4)
COUNT_NULLS = (0.45, 0.0, 0.21, 0.22, 0.03, 0.22, 0.04, 0.0, 0.04, 0.45, 0.04, 0.76, 0.22)
CARDINALITIES = (
    1_460, 583, 300_000, 300_000, 305, 24, 12_517, 633, 3, 93_145, 5_683, 300_000, 3_194,
    27, 14_992, 300_000, 10, 5_652, 2_173, 4, 300_000, 18, 15, 286_181, 105, 142_572,
)  # fmt: skip
ID_POWERS = (
    -8, -16, -8, -8, -4, -8, -16, -4, 2, -16, -16, -8, -16,
    -8, -16, -8, 4, -16, -16, 2, -8, -8, -8, -16, -8, -16,
)  # fmt: skip
ID_NULLS = (0.0, 0.0, 0.03, 0.03, 0.0, 0.12) + (0.0,) * 12 + (0.44, 0.44, 0.03, 0.76, 0.0, 0.03, 0.44, 0.44)
LEARNABLE = 20_000
"""Cardinality up to which ids take part in the pairwise term: one pass over a few million rows can learn it."""
SLOTS = 4_096
FACTORS = 4
POSITIVES = 0.256
"""Share of clicks, Criteo's."""
_TRUTH, _PILOT, _ROWS = range(3)

Floats: TypeAlias = NDArray[np.float32]
Ids: TypeAlias = NDArray[np.int64]
Mask: TypeAlias = NDArray[np.bool_]


@dataclass(frozen=True)
class Block:
    """Rows as drawn: values with a mask of nulls for each column, and the true logits."""

    label_B: NDArray[np.int8]
    counts: tuple[tuple[NDArray[np.int32], Mask], ...]
    ids: tuple[tuple[Ids, Mask], ...]
    logit_B: Floats


@dataclass(frozen=True)
class ClickModel:
    """The truth of one seed and scale.

    Attributes:
        seed: What every row comes from.
        cardinalities: Number of ids of each C column.
        count_weights: [13, 2] linear and quadratic weight of each I column.
        id_weights: For each C column [SLOTS + 1, 1 + K]: linear weight less half the squared factors, factors; the
            last row is zero and stands for null.
        intercept: Gives the wanted share of clicks.

    Example:
        >>> model = ClickModel.of(seed=1, scale=0.01)
        >>> block = model.block(0)
        >>> bool((block.label_B == model.block(0).label_B).all()), len(block.ids)
        (True, 26)
    """

    seed: int
    cardinalities: tuple[int, ...]
    count_weights: Floats
    id_weights: tuple[Floats, ...]
    intercept: float

    @classmethod
    def of(cls, *, seed: int, scale: float) -> ClickModel:
        """Draw the truth; `scale` multiplies every cardinality, of which none falls below 3."""
        rng = _stream(seed, _TRUTH)
        cardinalities = tuple(max(3, round(each * scale)) for each in CARDINALITIES)
        count_weights = rng.normal(0.0, (0.28, 0.12), (len(COUNT_CEILINGS), 2)).astype(np.float32)
        id_weights = tuple(_weights(rng, learnable=each <= LEARNABLE) for each in CARDINALITIES)
        bare = cls(seed, cardinalities, count_weights, id_weights, 0.0)
        return cls(seed, cardinalities, count_weights, id_weights, _intercept(bare._draw(_stream(seed, _PILOT))))

    def block(self, number: int) -> Block:
        """Draw the rows `number * BLOCK` to `(number + 1) * BLOCK`."""
        return self._draw(_stream(self.seed, _ROWS, number))

    def _draw(self, rng: np.random.Generator) -> Block:
        factors_BK = np.zeros((BLOCK, 1 + FACTORS), np.float32)
        factors_BK[:, 0] = self.intercept
        counts = []
        for ceiling, power, rate, (linear, square) in zip(
            COUNT_CEILINGS, COUNT_POWERS, COUNT_NULLS, self.count_weights, strict=True
        ):
            value_B, null_B = _pareto(rng, ceiling=ceiling, power=power, null_rate=rate)
            value_B -= 1
            third = np.float32(np.log(ceiling) / 3)
            log_B = np.log1p(value_B.astype(np.float32)) / third - 1
            log_B[null_B] = 0
            factors_BK[:, 0] += log_B * (linear + square * log_B)
            counts.append((value_B.astype(np.int32), null_B))
        ids = []
        for j, (n, power, rate) in enumerate(zip(self.cardinalities, ID_POWERS, ID_NULLS, strict=True)):
            rank_B, null_B = _pareto(rng, ceiling=n, power=power, null_rate=rate)
            slot_B = np.where(null_B, SLOTS, rank_B % SLOTS)
            width = self.id_weights[j].shape[1]
            factors_BK[:, :width] += self.id_weights[j].take(slot_B, axis=0)
            ids.append((_scramble(rank_B * 32 + j), null_B))
        pairs_BK = factors_BK[:, 1:]
        logit_B = factors_BK[:, 0] + np.float32(0.5) * np.einsum("bk,bk->b", pairs_BK, pairs_BK)
        label_B = (rng.random(BLOCK, dtype=np.float32) < 1 / (1 + np.exp(-logit_B))).astype(np.int8)
        return Block(label_B, tuple(counts), tuple(ids), logit_B)


def _stream(seed: int, *place: int) -> np.random.Generator:
    return np.random.Generator(np.random.SFC64(np.random.SeedSequence([seed, *place])))


def _weights(rng: np.random.Generator, *, learnable: bool) -> Floats:
    linear = rng.normal(0.0, 0.25 if learnable else 0.10, (SLOTS, 1))
    factors = rng.normal(0.0, 0.19, (SLOTS, FACTORS if learnable else 0))
    linear -= 0.5 * np.square(factors).sum(axis=1, keepdims=True)
    table = np.concatenate([linear, factors], axis=1)
    return np.concatenate([table, np.zeros((1, table.shape[1]))]).astype(np.float32)


def _pareto(rng: np.random.Generator, *, ceiling: int, power: int, null_rate: float) -> tuple[Ids, Mask]:
    """Whole numbers from 1 to `ceiling` with zipf frequencies, and which of them are null."""
    u_B = rng.random(BLOCK)
    null_B = u_B < null_rate
    if null_rate:
        u_B -= null_rate
        u_B *= 1 / (1 - null_rate)
        np.maximum(u_B, 0.0, out=u_B)
    u_B *= (ceiling + 1.0) ** (1 / power) - 1
    u_B += 1
    for _ in range(abs(power).bit_length() - 1):
        np.multiply(u_B, u_B, out=u_B)
    if power < 0:
        np.reciprocal(u_B, out=u_B)
    return np.minimum(u_B.astype(np.int64), ceiling), null_B


def _scramble(value_B: Ids) -> Ids:
    """Ids that look hashed: the finaliser of MurmurHash3, a bijection of 32 bits (Appleby, public domain)."""
    x_B = value_B.astype(np.uint32)
    x_B ^= x_B >> 16
    x_B *= np.uint32(0x85EBCA6B)
    x_B ^= x_B >> 13
    x_B *= np.uint32(0xC2B2AE35)
    x_B ^= x_B >> 16
    return x_B.astype(np.int64)


def _intercept(pilot: Block) -> float:
    """The constant that makes the mean probability `POSITIVES`, by bisection on rows of their own."""
    low, high = -30.0, 30.0
    logit_B = pilot.logit_B.astype(np.float64)
    for _ in range(50):
        middle = (low + high) / 2
        if (1 / (1 + np.exp(-(logit_B + middle)))).mean() < POSITIVES:
            low = middle
        else:
            high = middle
    return float(np.float32((low + high) / 2))
