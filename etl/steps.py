"""The flat form of a workflow: steps that read and add columns of one wide frame.

In the wide frame a column lies under its plain name and where it came from, `NAME@PLACE`: `age@raw` as the data
have it, `age@in` as operators see it, `age@3` as step 3 left it, `age@keep` when it only passes by. The place
holds no `@`, so two columns never share a reference, whatever their names are.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from core.schema import Column
from etl.engines.base import Engine
from etl.ops.base import Operator, State, Wiring
from etl.types import canonical_dtype

RAW, CANONICAL, KEEP = "raw", "in", "keep"


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
        inputs: Plain name -> reference.
    """

    number: int
    operator: Operator[Any]
    inputs: Mapping[str, str]

    def reference(self, name: str) -> str:
        """Where the output `name` lies."""
        return reference(name, self.number)

    def fitted(self, known: Mapping[str, Column], state: State) -> Step:
        """The same step with its state; `known` has the columns of all references so far."""
        return Step(self.number, self.operator, self.inputs, self.columns(known), state)

    def columns(self, known: Mapping[str, Column]) -> tuple[Column, ...]:
        """Its inputs under their plain names."""
        return tuple(known[port].renamed(name) for name, port in self.inputs.items())


@dataclass(frozen=True)
class Step:
    """One fitted operator.

    Attributes:
        number: From 1, in an order in which the steps can run.
        operator: What it does.
        inputs: Plain name -> reference.
        columns: The inputs under their plain names, with types and sizes.
        state: What it learned.
        outputs: The columns that it adds, under their plain names.
    """

    number: int
    operator: Operator[Any]
    inputs: Mapping[str, str]
    columns: tuple[Column, ...]
    state: State
    outputs: tuple[Column, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "outputs", tuple(self.operator.outputs(self.columns, self.state)))

    @property
    def references(self) -> dict[str, str]:
        """Plain name of each output -> reference."""
        return {column.name: reference(column.name, self.number) for column in self.outputs}

    @property
    def known(self) -> dict[str, Column]:
        """Reference of each output -> column."""
        return {reference(column.name, self.number): column for column in self.outputs}

    def narrowed(self, wanted: Collection[str]) -> Step:
        """The same step for those of its columns alone that these references are made of."""
        if not self.operator.columnwise:
            return self
        kept = tuple(column for column in self.columns if self._makes(column, wanted))
        inputs = {column.name: self.inputs[column.name] for column in kept}
        return Step(self.number, self.operator, inputs, kept, self.state)

    def _makes(self, column: Column, wanted: Collection[str]) -> bool:
        made = self.operator.outputs((column,), self.state)
        return any(reference(output.name, self.number) in wanted for output in made)

    def apply(self, frame: pl.LazyFrame, engine: Engine, *, ordered: bool) -> pl.LazyFrame:
        """Add the outputs to a wide frame that the engine will run."""
        collect = None if engine.ticks else engine.collect
        wiring = Wiring(self.inputs, self.references, ordered, collect)
        return self.operator.transform(frame, self.columns, wiring, self.state)


@dataclass(frozen=True)
class Plan:
    """A workflow for data with certain columns, not fitted yet.

    Attributes:
        inputs: The raw columns that it reads.
        steps: In an order in which they can run.
        outputs: Plain name -> reference.
    """

    inputs: tuple[Column, ...]
    steps: tuple[PlannedStep, ...]
    outputs: Mapping[str, str]


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
            wanted.update(narrow.inputs.values())
    return chosen[::-1], wanted
