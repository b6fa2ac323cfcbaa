"""Figures of a candidate generator and of popularity, by exact ranking of the whole catalogue.

Shapes: Q users who are asked for.
"""

from __future__ import annotations

from typing import Any

import torch

from core.dataset import Dataset
from train.evaluation.holdout import Holdout
from train.evaluation.spec import EvaluateSpec
from train.evaluation.verdicts import HELD_OUT, verdicts
from train.histories import Histories
from train.models.retrieve.base import Facts
from train.pairs import Interactions, Tables, read_interactions, read_tables, take
from train.retriever import Retriever, popularity, queries_at


def evaluate_retriever(
    dataset: Dataset, retriever: Retriever, spec: EvaluateSpec, device: torch.device
) -> dict[str, Any]:
    """Evaluate a candidate generator and popularity: what `evaluate` gives under `retriever`, verdicts and protocol."""
    interactions = read_interactions(dataset).to(device)
    tables = read_tables(dataset, retriever.user_features, retriever.item_features).to(device)
    name = retriever.spec.model.kind
    models = {name: retriever.to(device)}
    histories = Histories.of(interactions)
    facts = Facts(interactions.pairs("train"), histories.until("valid"), tables)
    models.setdefault("popularity", popularity(facts, retriever.sizes))
    figures = {key: _figures(one, interactions, histories, tables, spec) for key, one in models.items()}
    rivals = {rival: figures[rival] for rival in figures if rival != name}
    decisive = {f"{metric}@{k}": 1 for metric in ("recall", "ndcg") for k in spec.k}
    return {
        "model": name,
        **figures[name],
        "baselines": rivals,
        "verdicts": verdicts(f"retriever {name}", figures[name], rivals, decisive),
        "protocol": _protocol(spec, interactions),
    }


def _figures(
    retriever: Retriever, interactions: Interactions, histories: Histories, tables: Tables, spec: EvaluateSpec
) -> dict[str, dict[str, Any]]:
    """Figures of each split that holds something to be found; of cold and warm users too where there are both."""
    found: dict[str, dict[str, Any]] = {}
    for split in HELD_OUT:
        holdout = Holdout.of(interactions, split, mask_seen=spec.mask_seen)
        if not holdout.counts["users"]:
            continue
        queries = take(queries_at(tables.user, histories, split), holdout.user_Q)
        groups = holdout.figures(retriever.scorer(queries, tables.item), ks=sorted(set(spec.k)))
        found[split] = {**groups.pop("all"), **holdout.counts}
        if len(groups) > 1:
            found[split]["groups"] = groups
    return found


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
        "Users without a positive in training are asked for too, counted as cold, and shown beside the others.",
        "Users with nothing to be found in the split are left out and counted.",
    ]
