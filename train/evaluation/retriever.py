"""Figures of a candidate generator and of popularity, by exact ranking of the whole catalogue.

Shapes: Q users who are asked for.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from core.dataset import Dataset
from train.evaluation.found import Found, Judged, Question
from train.evaluation.holdout import Holdout, Lists
from train.evaluation.intervals import interval_words
from train.evaluation.sample import Part
from train.evaluation.segments import HEAD, Segment, segments
from train.evaluation.spec import EvaluateSpec
from train.evaluation.verdicts import HELD_OUT
from train.histories import Histories
from train.models.retrieve.base import Facts
from train.pairs import Interactions, read_interactions, read_tables, take
from train.retriever import Retriever, popularity, queries_at


def evaluate_retriever(
    dataset: Dataset,
    retriever: Retriever,
    spec: EvaluateSpec,
    device: torch.device,
    *,
    splits: Sequence[str] = HELD_OUT,
) -> Found:
    """Evaluate a candidate generator and popularity: what `evaluate` gives under `retriever`."""
    interactions = read_interactions(dataset)
    parts = segments(dataset, interactions, spec.segments)
    interactions = interactions.to(device)
    tables = read_tables(dataset, retriever.user_features, retriever.item_features).to(device)
    name = retriever.spec.model.kind
    models = {name: retriever.to(device)}
    histories = Histories.of(interactions)
    facts = Facts(interactions.pairs("train"), histories.until("valid"), tables)
    models.setdefault("popularity", popularity(facts, retriever.sizes))
    judged: dict[str, dict[str, Judged]] = {}
    for split in splits:
        holdout = Holdout.of(interactions, split, mask_seen=spec.mask_seen)
        if not holdout.counts["users"]:
            continue
        queries = take(queries_at(tables.user, histories, split), holdout.user_Q)
        for key, one in models.items():
            lists = holdout.lists(one.scorer(queries, tables.item), ks=sorted(set(spec.k)))
            judged.setdefault(split, {})[key] = _judged(lists, holdout, parts)
    decisive = {f"{metric}@{k}": 1 for metric in ("recall", "ndcg") for k in spec.k}
    question = Question("retriever", name, decisive, spec.confidence, _protocol(spec, interactions))
    return question.answer(judged)


def _judged(lists: Lists, holdout: Holdout, parts: Sequence[Segment]) -> Judged:
    whole = Part({**lists.whole(), **holdout.counts}, lists.sample())
    found = {}
    for part in parts:
        each = lists.of_users(part.there) if part.side == "user" else lists.of_items(part.there)
        if each is not None:
            found[part.by, part.name] = each
    return Judged(whole, found)


def _protocol(spec: EvaluateSpec, interactions: Interactions) -> list[str]:
    """What the figures of a candidate generator mean: without it they mean nothing."""
    seen = "Items that the user met in an earlier split, liked or not, are left out of lists and are not to be found."
    if not spec.mask_seen:
        seen = "Items that the user met in an earlier split stay in the list (mask_seen: false)."
    lengths = ", ".join(str(k) for k in sorted(set(spec.k)))
    return [
        f"The whole catalogue of {interactions.items} items is ranked for each user; no negatives are sampled.",
        f"k: {lengths}. What is to be found: the user's interactions of the split whose target is above 0.5.",
        seen,
        "Equal scores go to the item that comes first in the catalogue (by raw id).",
        "Items that nobody liked in training stay in the catalogue and can be found; they are counted as cold.",
        "Users without a positive in training are asked for too, counted as cold, and shown beside the others as new.",
        "Users with nothing to be found in the split are left out and counted.",
        f"Head items: the most liked ones that hold {HEAD:.0%} of the positive training interactions; tail: others.",
        "Figures of head and tail ask the same lists for such items alone, of the users who want any.",
        interval_words(spec.confidence),
    ]
