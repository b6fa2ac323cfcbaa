"""What goes into a bundle: the data set, its fitted workflow and the trained models."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from core.dataset import Dataset
from core.errors import UserError
from core.spec import Spec
from serve.bundle import RANKER, RETRIEVER
from train.batch import Batch, Features

if TYPE_CHECKING:
    from torch import Tensor, nn

    from etl.fitted import Fitted
    from train.models.retrieve.base import Reads, RetrieverModel


LARGEST = 2 * 2**30
"""Bytes of a whole matrix of items by items: 23,000 items."""


class TrainedRanker(Protocol):
    """What the export needs of `train.ranker.Ranker`."""

    @property
    def module(self) -> nn.Module:
        """Batch -> logit_B, in evaluation mode."""
        ...

    @property
    def features(self) -> Features:
        """What it reads."""
        ...

    @property
    def spec(self) -> Spec:
        """Its settings."""
        ...


class TrainedRetriever(Protocol):
    """What the export needs of `train.retriever.Retriever`."""

    @property
    def query_module(self) -> nn.Module:
        """Batch of users -> vector_BD, or `Scores`: score_BI of every item; in evaluation mode."""
        ...

    @property
    def user_features(self) -> Features:
        """What the query side reads."""
        ...

    @property
    def item_features(self) -> Features:
        """What the item side reads."""
        ...

    @property
    def spec(self) -> Spec:
        """Its settings."""
        ...

    @property
    def reads(self) -> frozenset[Reads]:
        """What the query side reads of a user."""
        ...

    def user_vectors(self, users: Batch) -> Tensor:
        """Query vectors, float32 [users, D]."""
        ...

    def item_vectors(self, items: Batch) -> Tensor:
        """Item vectors, float32 [items, D]."""
        ...


@dataclass(frozen=True)
class Parts:
    """Everything that a bundle is made of; at least one of the models is there.

    Attributes:
        dataset: What the ETL wrote.
        fitted: The workflow as it is served, one row at a time.
        ranker: The trained ranker.
        retriever: The trained retriever.
        given: Inputs of the workflow that are made of earlier rows, so that whoever asks has to give them.
    """

    dataset: Dataset
    fitted: Fitted
    ranker: TrainedRanker | None
    retriever: TrainedRetriever | None
    given: tuple[str, ...] = ()


def require_served(model: RetrieverModel, module: nn.Module) -> None:
    """Check that a bundle can hold a candidate generator.

    Raises:
        UserError: It has a matrix of items by items that is too large to be served.
    """
    from train.models.retrieve.item_item import DenseItems

    if isinstance(module, DenseItems) and module.weight_II.nbytes > LARGEST:
        size = module.weight_II.nbytes / 2**30
        raise UserError(
            f"the matrix of {model.kind} has {module.items} times {module.items} numbers, {size:.1f} GiB; "
            f"a bundle holds up to {LARGEST / 2**30:.0f} GiB of it",
            where="train.retriever.model",
            cure="set `neighbours: 1000` for a model that keeps the largest of each column, or leave out the export "
            "(`--until evaluate`)",
        )


def load_parts(dataset: Dataset, train_dir: Path) -> Parts:
    """Read the workflow and what was trained: `train_dir` holds `ranker/`, `retriever/` or both.

    Raises:
        UserError: Neither is there, or an operator can't be served.
    """
    from etl.fitted import Fitted
    from etl.serving import for_serving, given_columns
    from train.ranker import load_ranker
    from train.retriever import load_retriever

    found = {name: train_dir / name for name in (RANKER, RETRIEVER) if (train_dir / name / "model.json").exists()}
    if not found:
        raise UserError("there is no trained model here", where=str(train_dir), cure="run the train stage first")
    ranker = load_ranker(found[RANKER]) if RANKER in found else None
    retriever = load_retriever(found[RETRIEVER]) if RETRIEVER in found else None
    if retriever is not None:
        require_served(retriever.spec.model, retriever.module)
    fitted = Fitted.load(dataset.workflow_dir)
    return Parts(dataset, for_serving(fitted), ranker, retriever, tuple(given_columns(fitted)))
