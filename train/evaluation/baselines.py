"""Candidate generators that are counted beside the one that is judged."""

from __future__ import annotations

import time
from collections.abc import MutableMapping, Sequence

from core import log
from train.determinism import seeded
from train.models.retrieve.base import CountedModel, Facts, RetrieverModel, Sizes
from train.retriever import Retriever
from train.spec import RetrieverSpec


def count_baselines(
    models: Sequence[RetrieverModel], facts: Facts, sizes: Sizes, *, seconds: MutableMapping[str, float] | None = None
) -> dict[str, Retriever]:
    """Count candidate generators from the training split.

    Args:
        models: Their settings.
        facts: The training split.
        sizes: What they are built for.
        seconds: Is told how long each took.

    Returns:
        By kind.
    """
    found = {}
    for model in models:
        if not isinstance(model, CountedModel):
            raise TypeError(f"{model.kind} is no baseline: it is not counted in one go")
        start, device = time.perf_counter(), facts.pairs.item_P.device
        with seeded(0, device):
            module = model.build(sizes).to(device)
            model.fill(module, facts)
        found[model.kind] = Retriever(module.eval(), sizes, RetrieverSpec(model=model))
        took = time.perf_counter() - start
        log.get("evaluate").info("baseline %s: counted in %.1f s", model.kind, took)
        if seconds is not None:
            seconds[model.kind] = round(took, 3)
    return found
