"""A workflow before it is fitted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import reduce
from operator import add, rshift

import polars as pl

from core.errors import UserError
from core.schema import DType, Tag
from etl.engines.base import Engine
from etl.engines.cpu import CpuEngine
from etl.features import FeatureSpec
from etl.fitted import Fitted
from etl.fitting import fit
from etl.graph import Node, compile_plan, select
from etl.steps import Plan
from etl.types import columns_of, dtype_of

Tags = Mapping[str, Iterable[Tag]]


class Workflow:
    """Feature engineering over raw columns, not fitted yet.

    Args:
        nodes: The graph; several nodes stand side by side.
        tags: What the raw columns mean; outputs inherit it (a user column stays one).

    Example:
        >>> from etl.ops import FillMissing, Normalize
        >>> workflow = Workflow(["age"] >> FillMissing(0) >> Normalize(), tags={"age": {Tag.USER}})
        >>> fitted = workflow.fit(pl.DataFrame({"age": [1.0, 2.0, 3.0]}))
        >>> fitted.transform(pl.DataFrame({"age": [4.0]})).collect()["age"].item()
        2.0
        >>> sorted(fitted.schema["age"].tags)
        [<Tag.CONTINUOUS: 'continuous'>, <Tag.USER: 'user'>]
    """

    def __init__(self, *nodes: Node | str | Sequence[str], tags: Tags | None = None) -> None:
        if not nodes:
            raise UserError("a workflow needs at least one feature")
        self._node = reduce(add, (select(node) for node in nodes))
        self._tags = {name: frozenset(given) for name, given in (tags or {}).items()}

    @property
    def inputs(self) -> tuple[str, ...]:
        """The raw columns that it reads."""
        return self._node.inputs

    def plan(self, schema: pl.Schema) -> Plan:
        """The steps for data of these types.

        Raises:
            UserError: A column is missing or of a type that an operator, or any, can't take.
        """
        for name in self.inputs:
            if name in schema:
                dtype_of(schema[name], name)
        return compile_plan(self._node, columns_of(schema, self._tags))

    def fit(self, frame: pl.LazyFrame | pl.DataFrame, engine: Engine | None = None) -> Fitted:
        """Learn from training rows; one pass over them for each level of operators that learn.

        Args:
            frame: The training rows and no others.
            engine: What runs the passes, the CPU by default.

        Raises:
            UserError: A column is missing, has the wrong type, or holds nothing to learn from.
        """
        lazy = frame.lazy()
        return fit(self.plan(lazy.collect_schema()), lazy, engine or CpuEngine())


def from_spec(features: Sequence[FeatureSpec], tags: Tags | None = None) -> Workflow:
    """The workflow of a config's `features`: each stands beside the others, its operators one after another."""
    return Workflow(*(reduce(rshift, feature.ops, select(feature.columns)) for feature in features), tags=tags)


def require_model_inputs(fitted: Fitted) -> None:
    """Check that a model can read every output: an id or a number.

    Raises:
        UserError: An output is neither; names it and the cure.
    """
    for column in fitted.schema:
        if not column.tags.intersection({Tag.CATEGORICAL, Tag.CONTINUOUS}):
            ids = column.dtype in {DType.STRING, DType.INT64}
            cure = "end with categorify or hash_bucket" if ids else "end with an operator that gives numbers"
            raise UserError(f"a model can't read {column.dtype.value}", where=f"feature {column.name}", cure=cure)
