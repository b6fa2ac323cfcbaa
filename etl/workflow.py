"""A workflow before it is fitted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import reduce
from operator import add, rshift

import polars as pl

from core.errors import UserError
from core.schema import DType, Tag
from etl.compiling import compile_plan
from etl.engines.base import Engine
from etl.engines.cpu import CpuEngine
from etl.features import FeatureSpec
from etl.fitted import Fitted
from etl.fitting import fit
from etl.graph import Names, Node, select
from etl.steps import Plan
from etl.types import columns_of, dtype_of
from etl.updates import continued

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

    def __init__(self, *nodes: Node | Names, tags: Tags | None = None) -> None:
        if not nodes:
            raise UserError("a workflow needs at least one feature")
        self._node = reduce(add, (select(node) for node in nodes))
        self._tags = {name: frozenset(given) for name, given in (tags or {}).items()}

    @property
    def inputs(self) -> tuple[str, ...]:
        """The raw columns that it is made of."""
        return self._node.inputs

    @property
    def dependencies(self) -> tuple[str, ...]:
        """The columns that its operators read beside those: raw ones, or outputs of an operator before them."""
        return tuple(name for name in self._node.dependencies if name not in self.inputs)

    @property
    def fit_dependencies(self) -> tuple[str, ...]:
        """The columns that only its fit reads (the target)."""
        known = {*self.inputs, *self.dependencies}
        return tuple(name for name in self._node.fit_dependencies if name not in known)

    @property
    def windowed(self) -> bool:
        """Some of its operators look at other rows of the frame."""
        return any(operator.windowed for operator in self._node.operators)

    def plan(self, schema: pl.Schema) -> Plan:
        """The steps for data of these types.

        Raises:
            UserError: A column is missing or of a type that an operator, or any, can't take.
        """
        for name in (*self.inputs, *self.dependencies, *self.fit_dependencies):
            if name in schema:
                dtype_of(schema[name], name)
        return compile_plan(self._node, columns_of(schema, self._tags))

    def fit(
        self,
        frame: pl.LazyFrame | pl.DataFrame,
        engine: Engine | None = None,
        *,
        only: pl.Expr | None = None,
        label: str = "",
    ) -> Fitted:
        """Learn from training rows; one pass over them for each level of operators that learn.

        Args:
            frame: The training rows (and others, if `only` is given).
            engine: What runs the passes, the CPU by default.
            only: Which rows are the training rows; the others stand in the windows of operators that look at
                earlier rows, and nothing is learned from them.
            label: What to call these rows in `Fitted.seen`.

        Raises:
            UserError: A column is missing, has the wrong type, or holds nothing to learn from.
        """
        lazy = frame.lazy()
        return fit(self.plan(lazy.collect_schema()), lazy, engine or CpuEngine(), only=only, label=label)

    def update(
        self,
        earlier: Fitted,
        frame: pl.LazyFrame | pl.DataFrame,
        engine: Engine | None = None,
        *,
        only: pl.Expr | None = None,
        label: str = "",
    ) -> Fitted:
        """Go on from what an earlier fit of the same features learned; see `Fitted.update`.

        Raises:
            UserError: The earlier features were others (names the first difference), or the rows don't fit.
        """
        lazy = frame.lazy()
        schema = lazy.collect_schema()
        plan = continued(earlier.plan, schema, self.plan(schema))
        return fit(plan, lazy, engine or CpuEngine(), only=only, before=earlier, label=label)

    def fit_transform(
        self, frame: pl.LazyFrame | pl.DataFrame, engine: Engine | None = None
    ) -> tuple[Fitted, pl.LazyFrame]:
        """Learn from training rows, and give them transformed: out of fold where an operator reads the target."""
        fitted = self.fit(frame, engine)
        return fitted, fitted.transform(frame, engine=engine, training=pl.lit(value=True))


def from_spec(features: Sequence[FeatureSpec], tags: Tags | None = None) -> Workflow:
    """The workflow of a config's `features`: each stands beside the others, its operators one after another."""
    return Workflow(*(reduce(rshift, feature.ops, select(feature.columns)) for feature in features), tags=tags)


def require_model_inputs(fitted: Fitted) -> None:
    """Check that every output is what models are made of: an id, a number, or a list of those.

    Raises:
        UserError: An output is neither; names it and the cure.
    """
    for column in fitted.schema:
        if not column.tags.intersection({Tag.CATEGORICAL, Tag.CONTINUOUS}):
            ids = column.dtype in {DType.STRING, DType.INT64}
            cure = "end with categorify or hash_bucket" if ids else "end with an operator that gives numbers"
            held = f"lists of {column.dtype.value}" if column.is_list else column.dtype.value
            raise UserError(f"a model can't read {held}", where=f"feature {column.name}", cure=cure)
