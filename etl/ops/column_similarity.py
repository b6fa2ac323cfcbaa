"""How alike two ids of a row are, by the features of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import polars as pl
from pydantic import model_validator

from core.errors import UserError
from core.schema import Column
from etl.onnx import GraphBuilder, Value, is_null, where
from etl.ops.base import Collected, Operator, Wiring
from etl.ops.declare import continuous
from etl.ops.foreign import DEVICE, refuse
from etl.ops.given import Given, GivenTable
from etl.ops.keyed import Groups, Key
from etl.ops.nvt import nvtabular_ops
from etl.ops.similarities import Features, features, product_node, products, require_same_ids, require_servable

_PAIR = 2


class ColumnSimilarity(Operator[Features]):
    """The inner product of the features of two ids, for each pair of columns: `a_b_sim`.

    `[["a", "b"]] >> ColumnSimilarity(features)`. Features are a table of id, feature and (optionally) weight, in
    that order, or a sparse matrix of SciPy, whose row number is the id. They become part of the saved workflow. An
    id without features is like no other: 0; a null id gives null.

    Args:
        left_features: Of the ids of the first column: a frame, a matrix, or files (Parquet, CSV).
        right_features: Of those of the second; by default the same.
        metric: `inner`: the plain product. `cosine`: of weights of length 1. `tfidf`: the same, each weight first
            multiplied by ln(number of ids / number of ids that have the feature).
        groups: The pairs.

    Example:
        >>> from etl import Workflow
        >>> topics = pl.DataFrame({"id": [1, 1, 2, 3], "topic": ["news", "sport", "sport", "art"]})
        >>> frame = pl.DataFrame({"page": [1, 1, 9], "link": [2, 3, 1]})
        >>> node = [["page", "link"]] >> ColumnSimilarity(topics, metric="cosine")
        >>> [round(x, 4) for x in Workflow(node).fit(frame).transform(frame).collect()["page_link_sim"]]
        [0.7071, 0.0, 0.0]
    """

    kind = "column_similarity"
    state_type = Features
    columnwise = False

    left_features: GivenTable
    right_features: GivenTable | None = None
    metric: Literal["tfidf", "cosine", "inner"] = "tfidf"
    groups: Groups = ()

    @model_validator(mode="before")
    @classmethod
    def _known(cls, value: Any) -> Any:
        return refuse(value, DEVICE)

    def grouped(self, groups: Groups) -> ColumnSimilarity:
        """Take pairs of columns."""
        return self.model_copy(update={"groups": groups})

    def outputs(self, columns: Sequence[Column], state: Features | None = None) -> tuple[Column, ...]:
        """Declare a number for each pair."""
        pairs = self._pairs(columns)
        if state is None:
            for pair in pairs:
                for column, given in zip(pair.columns, (self.left_features, self._right), strict=True):
                    require_same_ids(column, given.table, given.name)
        return tuple(continuous(pair.belongs, nullable=True).renamed(_name(pair)) for pair in pairs)

    def learn(self, collected: Collected, columns: Sequence[Column]) -> Features:
        """Nothing is learned from the rows; `settle` brings the features."""
        return Features(pl.DataFrame(), pl.DataFrame())

    def merge(self, old: Features, new: Features, columns: Sequence[Column]) -> Features:
        """Features that are given anew take the place of the old ones; a loaded workflow opens no file."""
        given = [self.left_features, self._right]
        return self.settle(new) if all(one.opened for one in given) else old

    def settle(self, state: Features) -> Features:
        """Take the features in, once."""
        if state.left.width:
            return state
        right = None if self.right_features is None else self.right_features.table
        return features(self.left_features.table, right, self.metric, (self.left_features.name, self._right.name))

    def transform(
        self, frame: pl.LazyFrame, columns: Sequence[Column], wiring: Wiring, state: Features
    ) -> pl.LazyFrame:
        """Products of the distinct pairs, joined to the rows."""
        for pair in self._pairs(columns):
            output = wiring.outputs[_name(pair)]
            keys = [f"{output}!{place}" for place in pair.places]
            named = zip(pair.expressions(wiring), keys, strict=True)
            frame = frame.with_columns([x.alias(key) for x, key in named])
            made = products(frame.select(keys).unique(maintain_order=False), state, keys[0], keys[1], output)
            frame = frame.join(made, on=keys, how="left", maintain_order="left" if wiring.ordered else "none")
            known = pl.all_horizontal(pl.col(key).is_not_null() for key in keys)
            frame = frame.with_columns(pl.when(known).then(pl.col(output).fill_null(0.0)).alias(output)).drop(keys)
        return frame

    def onnx(
        self, graph: GraphBuilder, inputs: Mapping[str, Value], columns: Sequence[Column], state: Features
    ) -> dict[str, Value]:
        """Every feature of one id against every one of the other."""
        made, null = {}, graph.constant(float("nan"), "float64")
        for pair in self._pairs(columns):
            left, right = (inputs[name] for name in pair.names)
            require_servable(state, _name(pair))
            value = product_node(graph, left, right, state)
            for x in (left, right):
                value = where(graph, is_null(graph, x), null, value)
            made[_name(pair)] = value
        return made

    def nvtabular(self, columns: Sequence[Column]) -> Any:
        """`nvtabular.ops.ColumnSimilarity`; its features are matrices by row number, so the ids must be that."""
        left, right = self.left_features.matrix(), self._right.matrix()
        return nvtabular_ops().ColumnSimilarity(left, right, metric=self.metric, on_device=False)

    @property
    def _right(self) -> Given:
        return self.left_features if self.right_features is None else self.right_features

    def _pairs(self, columns: Sequence[Column]) -> list[Key]:
        known = {column.name: column for column in columns}
        groups = self.groups or (tuple(known),)
        for group in (*groups, *((name,) for name in known if not any(name in one for one in groups))):
            if len(group) != _PAIR:
                raise UserError(
                    f"{self.kind} takes pairs of columns, got {len(group)}",
                    where=f"column {', '.join(group)}",
                    cure="write each pair in a list of its own: [[a, b], [c, d]]",
                )
        return [Key(tuple(known[name] for name in group)) for group in groups]


def _name(pair: Key) -> str:
    return f"{pair.label()}_sim"
