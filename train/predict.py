"""Scores of a ranker for whole splits.

Shapes: B rows of a batch, N rows in all, T targets.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from train.batch import Batch


@torch.inference_mode()
def predict(module: nn.Module, batches: Iterable[Batch]) -> tuple[Tensor, Tensor]:
    """The logits of a ranker and the targets, in the order of the rows, on the module's device.

    The module must be in eval mode. Targets are zero where the batches carry none, and NaN where one isn't known.

    Returns:
        logit_N and target_N, float32; of several targets logit_NT and target_NT.
    """
    logits, targets = [], []
    for batch in batches:
        logits.append(module(batch).float())
        target = batch.target_B if batch.targets_BT is None else batch.targets_BT
        targets.append(torch.zeros_like(logits[-1]) if target is None else target)
    return torch.cat(logits), torch.cat(targets)
