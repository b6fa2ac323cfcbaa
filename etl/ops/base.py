"""What an operator is: frozen settings with four faces (fit, transform, onnx, nvtabular) and a frozen state.

Names. An operator speaks of its columns by their plain names (`age`). In the frame a column can lie under
another name, since one frame carries every intermediate column of a workflow; `Wiring` says where.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Self, TypeVar

import polars as pl
from pydantic import TypeAdapter

from core.errors import UserError
from core.schema import Column
from core.spec import Spec
from etl.onnx import GraphBuilder, Value
from etl.values.counting import Counting

if TYPE_CHECKING:
    from etl.graph import Node
    from etl.spill import Spill

Collect = Callable[[Sequence[pl.LazyFrame]], list[pl.DataFrame]]
"""What computes frames: an engine's `collect`."""


class Rows(Enum):
    """What an operator does to the rows of the frame."""

    KEPT = "kept"
    """Each row stays."""
    DROPPED = "dropped"
    """Some rows go, and with them go the values of every other column of the workflow."""
    REGROUPED = "regrouped"
    """Other rows come out (one a group); only the operator's outputs are there from then on."""


class Serving(Enum):
    """What becomes of an operator where one row is asked for, without the others."""

    GRAPH = "graph"
    """Written into the serving graph (`Operator.onnx`)."""
    CALLER = "caller"
    """Made of other rows, so the caller gives its outputs as inputs of the graph."""
    NEVER = "never"
    """Can't be served; export says so by name."""


@dataclass(frozen=True)
class State:
    """What an operator learned. Stateless operators use this class itself.

    A state is saved as JSON (`to_json`) and Parquet (`tables`), read back by `load`.
    """

    def to_json(self) -> dict[str, Any]:
        """The small part, as plain JSON values."""
        return {}

    def tables(self) -> dict[str, pl.DataFrame]:
        """The large part, one Parquet file a table."""
        return {}

    @classmethod
    def load(cls, value: Mapping[str, Any], tables: Mapping[str, pl.DataFrame]) -> Self:
        """Read what `to_json` and `tables` gave; a value of the wrong type raises a ValueError."""
        return TypeAdapter(cls).validate_python(dict(value))


S = TypeVar("S", bound=State)


@dataclass(frozen=True)
class Wiring:
    """Where an operator's columns lie in the frame: plain name -> name in the frame.

    Attributes:
        inputs: The columns to read, `Operator.dependencies` and, in a fit, `Operator.fit_dependencies` among them.
        outputs: The columns to add.
        ordered: Joins must keep the order of rows (engines that restore it later say no).
        collect: Set when the plan can't hold Python (on a GPU): computes the few values that an operator has
            to work on by host code before it joins them.
        columns: Types of all `inputs`, by plain name.
        row: Where the number of each row lies (unsigned); set for operators that are `numbered`.
        training: Where the number lies of each row that the workflow is fitted on, null in all other rows; set
            for operators that are `numbered`.
        narrow: For operators that are `windowed`: the rows with nothing but what they read, and the numbers of the
            rows. A window works on these and joins its outputs to the frame.
        spill: Set when what windows make is to be laid on disk; else they hold their rows in memory.
    """

    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    ordered: bool = True
    collect: Collect | None = None
    columns: Mapping[str, Column] = field(default_factory=dict)
    row: str = ""
    training: str = ""
    narrow: pl.LazyFrame | None = None
    spill: Spill | None = None


@dataclass(frozen=True)
class Statistics:
    """What a fit needs from the data: all scalars of a level are fused into one select, beside the tables."""

    scalars: Mapping[str, pl.Expr] = field(default_factory=dict)
    tables: Mapping[str, pl.LazyFrame | Counting] = field(default_factory=dict)


@dataclass(frozen=True)
class Collected:
    """What the engine computed of `Statistics`, under the same names."""

    scalars: Mapping[str, Any]
    tables: Mapping[str, pl.DataFrame]


class Operator(Spec, Generic[S]):
    """Settings of one operator, and its faces.

    `columns` are the inputs as the schema knows them at this point of the workflow.
    """

    kind: ClassVar[str]
    """Its name in YAML."""
    state_type: ClassVar[type[State]] = State
    """Type of what it learns; `State` itself: nothing."""
    columnwise: ClassVar[bool] = True
    """Each output is made of one input, so that some of the columns can be had without the others."""
    takes_lists: ClassVar[bool] = False
    """It can be applied to columns of lists (`Column.is_list`)."""
    drops_columns: ClassVar[bool] = False
    """Outputs that it declares before the fit may be missing after it."""
    rows: ClassVar[Rows] = Rows.KEPT
    """What it does to the rows."""
    windowed: ClassVar[bool] = False
    """A row's values depend on other rows of the frame (earlier events of a user)."""
    numbered: ClassVar[bool] = False
    """It reads `Wiring.row` or `Wiring.training`."""
    serving: ClassVar[Serving] = Serving.GRAPH
    """What becomes of it where one row is asked for."""

    def __init__(self, *values: Any, **settings: Any) -> None:
        """Take settings by name or, in the order of the fields, by position: `HashBucket(10)`."""
        fields = list(type(self).model_fields)
        if len(values) > len(fields):
            raise TypeError(f"{type(self).__name__} takes {len(fields)} settings, got {len(values)}")
        super().__init__(**dict(zip(fields, values, strict=False)), **settings)

    def __rrshift__(self, columns: str | Sequence[str]) -> Node:
        """`["age"] >> LogOp()`: apply to raw columns."""
        from etl.graph import select

        return select(columns) >> self

    @property
    def dependencies(self) -> tuple[str, ...]:
        """Columns that it reads beside those it is applied to: outputs of the node before it, else raw ones."""
        return ()

    @property
    def fit_dependencies(self) -> tuple[str, ...]:
        """Columns that only its fit reads, so that they need not be there later (the target)."""
        return ()

    def own(self, columns: Collection[str]) -> frozenset[str]:
        """Of what it reads, applied to these columns: what it sees in the row itself.

        All of it, but for operators that see some of it in strictly earlier rows alone: that may be the target.
        """
        return frozenset({*columns, *self.dependencies})

    def grouped(self, groups: tuple[tuple[str, ...], ...]) -> Operator[S]:
        """The same operator for columns written in groups: `[["a", "b"], "c"] >> op` has the group (a, b).

        Raises:
            UserError: The operator takes no groups.
        """
        raise UserError(
            f"{self.kind} takes no groups of columns",
            where=f"columns {', '.join(groups[0])}",
            cure="write the columns in one flat list",
        )

    def served(self) -> Operator[S]:
        """The same operator where one row is asked for, if it is another one there."""
        return self

    @abstractmethod
    def outputs(self, columns: Sequence[Column], state: S | None = None) -> tuple[Column, ...]:
        """Declare the output columns; sizes that only a fit can tell are filled when `state` is given."""

    def statistics(self, frame: pl.LazyFrame, columns: Sequence[Column], wiring: Wiring) -> Statistics:
        """Fit, first half: the aggregations over the training rows."""
        return Statistics()

    def learn(self, collected: Collected, columns: Sequence[Column]) -> S:
        """Fit, second half: their small result becomes state."""
        return self.state_type()  # type: ignore[return-value]  # a ClassVar can't be of type S

    def merge(self, old: S, new: S, columns: Sequence[Column]) -> S:
        """Update: what was learned from earlier rows and from new ones, as if from all of them at once."""
        assert self.state_type is State, f"{self.kind} learns, so it needs a merge of its own"
        return new

    def settle(self, state: S) -> S:
        """After a fit or an update: leave out of the state what only a merge needed."""
        return state

    @abstractmethod
    def transform(self, frame: pl.LazyFrame, columns: Sequence[Column], wiring: Wiring, state: S) -> pl.LazyFrame:
        """Add the output columns to the frame; every column that was there stays as it is (but see `rows`)."""

    def onnx(
        self, graph: GraphBuilder, inputs: Mapping[str, Value], columns: Sequence[Column], state: S
    ) -> dict[str, Value]:
        """The same arithmetic in the serving graph: output name -> value.

        Raises:
            UserError: It has none (see `serving`).
        """
        names = ", ".join(column.name for column in columns)
        cure = "leave it out of a workflow that is exported"
        raise UserError(f"{self.kind} can't be served row by row", where=f"column {names}", cure=cure)

    def nvtabular(self, columns: Sequence[Column]) -> Any:
        """The same operator as an object of the `nvtabular` package.

        Raises:
            UserError: NVTabular has no such operator.
        """
        told, cure = f"NVTabular has no operator {self.kind}", "leave it out, or set `etl.engine: cpu`"
        raise UserError(told, where=f"column {', '.join(column.name for column in columns)}", cure=cure)
