"""Learning rates over time, as a pure function of the step."""

from __future__ import annotations

import math


def factor(step: int, *, warmup: int, total: int, shape: str) -> float:
    """What the learning rates are multiplied by at a step.

    Args:
        step: Number of the step, from 0.
        warmup: Steps of a linear rise.
        total: Steps of the whole training.
        shape: `constant`; `linear`: a line from 1 down to 0; or `cosine`: half a cosine from 1 down to 0
            (Loshchilov & Hutter, 2017).

    Example:
        >>> [factor(step, warmup=2, total=6, shape="cosine") for step in (0, 1, 2, 4)]
        [0.5, 1.0, 1.0, 0.5]
        >>> [factor(step, warmup=2, total=6, shape="linear") for step in (1, 2, 3, 5)]
        [1.0, 1.0, 0.75, 0.25]
    """
    if step < warmup:
        return (step + 1) / warmup
    if shape == "constant":
        return 1.0
    done = min(1.0, (step - warmup) / max(1, total - warmup))
    if shape == "linear":
        return 1.0 - done
    return 0.5 * (1.0 + math.cos(math.pi * done))
