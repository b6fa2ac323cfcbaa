"""A fitted workflow for a caller who waits: the query is built once, and its lookups with it."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import polars as pl
from polars.io.plugins import register_io_source

if TYPE_CHECKING:
    from etl.fitted import Fitted

MOST = 8
"""Queries kept: one for each set of types that callers send."""


class Online:
    """Applies a fitted workflow to frames in memory; gives what `Fitted.transform` gives, bit for bit.

    `Fitted.transform` writes a new query for each frame, which takes longer than running it on a few rows. Here a
    query is kept for each set of column types, with the hash tables of its vocabularies. Calls from several threads
    are safe; those with the same types wait for each other.

    Args:
        fitted: The workflow.
        columns: Some of its outputs, all by default.
        keep: Columns of the frames to pass on as they are.

    Example:
        >>> from etl import Workflow
        >>> from etl.ops import Categorify
        >>> fitted = Workflow(["city"] >> Categorify()).fit(pl.DataFrame({"city": ["Oslo", "Rome", "Oslo"]}))
        >>> online = Online(fitted)
        >>> online.apply(pl.DataFrame({"city": ["Rome"]}))["city"].to_list()
        [4]
    """

    def __init__(self, fitted: Fitted, columns: Sequence[str] | None = None, keep: Sequence[str] = ()) -> None:
        self._fitted, self._columns, self._keep = fitted, columns, tuple(keep)
        self._read = {*fitted.inputs_of(columns), *keep}
        self._queries: dict[tuple[tuple[str, pl.DataType], ...], _Query] = {}
        self._lock = threading.Lock()

    def apply(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Transform a frame; further columns of it are ignored.

        Raises:
            UserError: A column is missing or its type has changed since the fit.
        """
        read = frame.select(name for name in frame.columns if name in self._read)
        types = tuple(read.schema.items())
        with self._lock:
            query = self._queries.get(types) or self._built(read.schema)
        return query.run(read)

    def _built(self, schema: pl.Schema) -> _Query:
        query = _Query(schema)
        query.plan = self._fitted.transform(query.source(), self._columns, self._keep)
        if len(self._queries) >= MOST:
            self._queries.pop(next(iter(self._queries)))
        self._queries[tuple(schema.items())] = query
        return query


@dataclass
class _Query:
    """A query over whatever frame lies here when it runs."""

    schema: pl.Schema
    plan: pl.LazyFrame = field(default_factory=pl.LazyFrame)
    frame: pl.DataFrame = field(default_factory=pl.DataFrame)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def source(self) -> pl.LazyFrame:
        return register_io_source(self._give, schema=self.schema)

    def run(self, frame: pl.DataFrame) -> pl.DataFrame:
        with self.lock:
            self.frame = frame
            # A few rows take less time than looking for a better order of work.
            return self.plan.collect(optimizations=pl.QueryOptFlags.none())

    def _give(
        self, names: list[str] | None, predicate: pl.Expr | None, rows: int | None, _: int | None
    ) -> Iterator[pl.DataFrame]:
        frame = self.frame if names is None else self.frame.select(names)
        frame = frame if predicate is None else frame.filter(predicate)
        yield frame if rows is None else frame.head(rows)
