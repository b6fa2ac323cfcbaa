"""The flat form of a workflow: steps that read and add columns of one wide frame.

In the wide frame a column lies under its plain name and where it came from, `NAME@PLACE`: `age@raw` as the data
have it, `age@in` as operators see it, `age@3` as step 3 left it, `age@keep` when it only passes by. The place
holds no `@`, so two columns never share a reference, whatever their names are.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import polars as pl

from core.dataset import ROW
from core.schema import Column
from etl.engines.base import Engine
from etl.ops.base import Operator, Rows, State, Wiring
from etl.types import canonical_dtype

RAW, CANONICAL, KEEP = "raw", "in", "keep"
ROW_REFERENCE, TRAINING_REFERENCE = f"{ROW}@row", f"{ROW}@training"
"""Where the number of a row lies, and where it lies for the rows of the fit alone; see `Wiring`."""


def reference(name: str, place: str | int) -> str:
    """Name of a column in the wide frame.

    Example:
        >>> reference("age", 3)
        'age@3'
    """
    return f"{name}@{place}"


def split_reference(text: str) -> tuple[str, str]:
    """Plain name and place of a reference.

    Example:
        >>> split_reference("a@b@3")
        ('a@b', '3')
    """
    name, _, place = text.rpartition("@")
    return name, place


@dataclass(frozen=True)
class PlannedStep:
    """One operator before it is fitted.

    Attributes:
        number: From 1, in an order in which the steps can run.
        operator: What it does.
        inputs: Plain name -> reference, of the columns that it is applied to.
        further: The same of what it reads beside them.
        fit_further: The same of what only its fit reads.
    """

    number: int
    operator: Operator[Any]
    inputs: Mapping[str, str]
    further: Mapping[str, str] = field(default_factory=dict)
    fit_further: Mapping[str, str] = field(default_factory=dict)

    @property
    def reads(self) -> dict[str, str]:
        """Plain name -> reference of everything that its transform reads."""
        return {**self.further, **self.inputs}

    @property
    def fit_reads(self) -> dict[str, str]:
        """Plain name -> reference of everything that its fit reads."""
        return {**self.fit_further, **self.reads}

    def reference(self, name: str) -> str:
        """Where the output `name` lies."""
        return reference(name, self.number)

    def fitted(self, known: Mapping[str, Column], state: State) -> Step:
        """The same step with its state; `known` has the columns of all references so far."""
        reads = {name: known[port].renamed(name) for name, port in self.fit_reads.items()}
        return Step(self, reads, state)

    def columns(self, known: Mapping[str, Column]) -> tuple[Column, ...]:
        """The columns that it is applied to, under their plain names."""
        return tuple(known[port].renamed(name) for name, port in self.inputs.items())


@dataclass(frozen=True)
class Step:
    """One fitted operator.

    Attributes:
        planned: What it is and what it reads.
        reads: Everything that it reads, by plain name, with types and sizes.
        state: What it learned.
        outputs: The columns that it adds, under their plain names.
    """

    planned: PlannedStep
    reads: Mapping[str, Column]
    state: State
    outputs: tuple[Column, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "outputs", tuple(self.operator.outputs(self.columns, self.state)))

    @property
    def number(self) -> int:
        """See `PlannedStep`."""
        return self.planned.number

    @property
    def operator(self) -> Operator[Any]:
        """See `PlannedStep`."""
        return self.planned.operator

    @property
    def inputs(self) -> Mapping[str, str]:
        """See `PlannedStep`."""
        return self.planned.inputs

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns that it is applied to, under their plain names."""
        return tuple(self.reads[name] for name in self.inputs)

    @property
    def references(self) -> dict[str, str]:
        """Plain name of each output -> reference."""
        return {column.name: reference(column.name, self.number) for column in self.outputs}

    @property
    def known(self) -> dict[str, Column]:
        """Reference of each output -> column."""
        return {reference(column.name, self.number): column for column in self.outputs}

    @property
    def dropped(self) -> frozenset[str]:
        """References that it declared before the fit, and that the fit left out."""
        if not self.operator.drops_columns:
            return frozenset()
        return frozenset(map(self.planned.reference, self.inputs)).difference(self.known)

    def narrowed(self, wanted: Collection[str]) -> Step:
        """The same step for those of its columns alone that these references are made of."""
        if not self.operator.columnwise:
            return self
        kept = {column.name: self.inputs[column.name] for column in self.columns if self._makes(column, wanted)}
        return Step(replace(self.planned, inputs=kept), self.reads, self.state)

    def _makes(self, column: Column, wanted: Collection[str]) -> bool:
        made = self.operator.outputs((column,), self.state)
        return any(reference(output.name, self.number) in wanted for output in made)

    def apply(
        self, frame: pl.LazyFrame, engine: Engine, *, ordered: bool, narrow: pl.LazyFrame | None = None
    ) -> pl.LazyFrame:
        """Add the outputs to a wide frame that the engine will run; `narrow` holds only what a window reads."""
        wiring = replace(self.wiring(engine, ordered=ordered), narrow=narrow)
        return self.operator.transform(frame, self.columns, wiring, self.state)

    def wiring(self, engine: Engine, *, ordered: bool) -> Wiring:
        """Where its columns lie."""
        return wiring(self.planned.reads, self.reads, self.references, engine, ordered=ordered)


def wiring(
    reads: Mapping[str, str],
    columns: Mapping[str, Column],
    outputs: Mapping[str, str],
    engine: Engine,
    *,
    ordered: bool,
) -> Wiring:
    """What an operator is told of the frame."""
    collect = None if engine.ticks else engine.collect
    return Wiring(reads, outputs, ordered, collect, columns, ROW_REFERENCE, TRAINING_REFERENCE, spill=engine.spill)


@dataclass(frozen=True)
class Plan:
    """A workflow for data with certain columns, not fitted yet.

    Attributes:
        inputs: The raw columns that its transform reads.
        fit_inputs: Those that only its fit reads.
        steps: In an order in which they can run.
        outputs: Plain name -> reference.
    """

    inputs: tuple[Column, ...]
    fit_inputs: tuple[Column, ...]
    steps: tuple[PlannedStep, ...]
    outputs: Mapping[str, str]

    @property
    def raw_names(self) -> list[str]:
        """Names of the raw columns that a fit reads."""
        return [column.name for column in (*self.inputs, *self.fit_inputs)]


def needs_row(operators: Iterable[Operator[Any]], columns: Iterable[Column], engine: Engine) -> bool:
    """Whether the numbers of rows have to be there: some operators read them, and a GPU plan works on lists by them."""
    by_row = any(column.is_list for column in columns) and not engine.ticks
    return by_row or any(operator.numbered for operator in operators)


def raw_columns(columns: Iterable[Column]) -> dict[str, Column]:
    """Reference -> column of raw columns, as the data have them and as operators see them."""
    known: dict[str, Column] = {}
    for column in columns:
        known[reference(column.name, RAW)] = column
        known[reference(column.name, CANONICAL)] = column.with_dtype(canonical_dtype(column.dtype))
    return known


def needed(references: Iterable[str], steps: Sequence[Step]) -> tuple[list[Step], set[str]]:
    """The steps, narrowed and in order, and the references of every kind that these references are made of."""
    wanted = set(references)
    chosen: list[Step] = []
    for step in reversed(steps):
        if wanted.intersection(step.references.values()):
            narrow = step.narrowed(wanted)
            chosen.append(narrow)
            wanted.update(narrow.planned.reads.values())
    return chosen[::-1], wanted


def scopes_of(steps: Iterable[PlannedStep]) -> dict[int, tuple[int, ...]]:
    """Number of each step -> the numbers of those that changed the rows it works on, itself among them.

    Example:
        >>> scopes_of([])
        {}
    """
    scopes: dict[int, tuple[int, ...]] = {}
    for step in steps:
        before = {number for port in step.fit_reads.values() for number in scope_of(port, scopes)}
        own = set() if step.operator.rows is Rows.KEPT else {step.number}
        scopes[step.number] = tuple(sorted(before | own))
    return scopes


def scope_of(port: str, scopes: Mapping[int, tuple[int, ...]]) -> tuple[int, ...]:
    """The same for a reference: raw columns have no such steps."""
    place = split_reference(port)[1]
    return scopes[int(place)] if place.isdigit() else ()
