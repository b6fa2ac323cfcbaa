"""What a query says of somebody beside features: who it is, and what was met.

Legend of shapes: B rows of a request.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import polars as pl
from torch import Tensor, nn

from core.dataset import Dataset
from etl.onnx import GraphBuilder, Value
from serve.raw_ids import RawIds
from serve.signature import Input
from train.batch import Batch, Features, ListFeature
from train.histories import HISTORY
from train.models.retrieve.base import Reads, Scores
from train.pairs import ENTITY

if TYPE_CHECKING:
    from serve.parts import TrainedRetriever


@dataclass(frozen=True)
class Query:
    """The query side of a candidate generator, as it is served.

    Attributes:
        module: Batch of `features` -> vector_BV, or score_BI.
        features: What it reads: of the workflow, and more.
        ids: Feature that no workflow makes -> the ids whose rows it is.
    """

    module: nn.Module
    features: Features
    ids: Mapping[str, RawIds]

    @property
    def scores(self) -> bool:
        """Whether it scores every item, and has no vector."""
        return isinstance(self.module, Scores)

    @property
    def items(self) -> int:
        """Size of the catalogue, for a query that reads what was met."""
        return len(self.ids[HISTORY])

    @property
    def own(self) -> tuple[str, ...]:
        """The features that the workflow makes."""
        return tuple(name for name in self.features.names if name not in self.ids)

    @property
    def more(self) -> Mapping[str, Input]:
        """Feature that no workflow makes -> its raw input."""
        return {name: ids.input for name, ids in self.ids.items()}

    def made(self, graph: GraphBuilder, inputs: Mapping[str, Value]) -> dict[str, Value]:
        """The features that no workflow makes, in a serving graph.

        Args:
            graph: Takes the nodes.
            inputs: Raw column -> value.
        """
        return {name: ids.rows(graph, inputs[ids.input.name]) for name, ids in self.ids.items()}

    def columns(self, raw: pl.DataFrame) -> list[pl.Series]:
        """The same features of raw rows, by Polars."""
        return [ids.column(raw).alias(name) for name, ids in self.ids.items()]


def query_of(retriever: TrainedRetriever, dataset: Dataset) -> Query:
    """What a candidate generator's query reads.

    Raises:
        UserError: A raw column has the name of the history.
    """
    ids, reads = {}, retriever.reads
    features = retriever.user_features if Reads.FEATURES in reads else Features((), (), ())
    if Reads.USER in reads:
        ids[ENTITY] = RawIds.of_user(dataset)
        sizes = (*features.cardinalities, len(ids[ENTITY]) + 1)
        features = replace(features, categorical=(*features.categorical, ENTITY), cardinalities=sizes)
    if Reads.HISTORY in reads:
        ids[HISTORY] = RawIds.of_history(dataset)
        features = replace(features, lists=(*features.lists, ListFeature(HISTORY, len(ids[HISTORY]))))
    module = retriever.query_module
    return Query(_ByNumber(module) if Reads.USER in reads else module, features, ids)


class _ByNumber(nn.Module):
    """A query that reads the user's row, over batches that hold it as their last id."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, batch: Batch) -> Tensor:
        """Batch -> vector_BV."""
        ids_BF = batch.ids_BF
        vector_BV: Tensor = self.module(replace(batch, ids_BF=ids_BF[:, :-1], extra={ENTITY: ids_BF[:, -1]}))
        return vector_BV
