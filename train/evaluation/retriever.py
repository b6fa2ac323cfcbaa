"""Figures of a candidate generator and of its baselines."""

from __future__ import annotations

from train.evaluation.catalogue import Catalogue, asked_of
from train.evaluation.found import Found
from train.pairs import read_tables
from train.retriever import Retriever


def evaluate_retriever(catalogue: Catalogue, retriever: Retriever) -> Found:
    """Evaluate a candidate generator beside the baselines: what `evaluate` gives under `retriever`."""
    device = catalogue.interactions.item_P.device
    tables = read_tables(catalogue.dataset, retriever.user_features, retriever.item_features).to(device)
    asked = asked_of(retriever.to(device), tables, catalogue.histories)
    return catalogue.judge("retriever", retriever.spec.model.kind, asked)
