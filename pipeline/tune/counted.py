"""The validation figures of a candidate generator that is counted: it has no epochs that would tell them."""

from __future__ import annotations

from pathlib import Path

import torch

from core.dataset import Dataset
from core.errors import UserError
from train.evaluation.holdout import Holdout
from train.histories import Histories
from train.pairs import read_interactions, read_tables, take
from train.retriever import load_retriever, queries_at


@torch.inference_mode()
def valid_figures(dataset: Dataset, directory: Path, monitor: str, device: torch.device) -> float:
    """A figure such as `recall@20` of a trained candidate generator on the validation split.

    Raises:
        UserError: The validation split holds nothing to be found.
    """
    retriever = load_retriever(directory).to(device)
    interactions = read_interactions(dataset).to(device)
    holdout = Holdout.of(interactions, "valid")
    if not len(holdout.user_Q):
        raise UserError(
            "the validation split holds no positive that its user has not met before, so there is nothing to tune by",
            where=str(dataset.interactions_file),
            cure="give it rows: etl.split.valid, or etl.split.valid_share where the split is published",
        )
    tables = read_tables(dataset, retriever.user_features, retriever.item_features).to(device)
    queries = take(queries_at(tables.user, Histories.of(interactions), "valid"), holdout.user_Q)
    k = int(monitor.partition("@")[2])
    return float(holdout.figures(retriever.scorer(queries, tables.item), ks=[k])["all"][monitor])
