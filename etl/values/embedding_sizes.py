"""Sizes of embedding tables, read off a schema."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from core.errors import UserError
from core.schema import Schema, Tag

if TYPE_CHECKING:
    from etl.fitted import Fitted


class EmbeddingSize(NamedTuple):
    """How large the embedding table of a column is.

    Attributes:
        cardinality: Number of rows: ids 0 .. cardinality-1.
        dimension: Suggested width.
    """

    cardinality: int
    dimension: int


def get_embedding_sizes(source: Fitted | Schema) -> dict[str, EmbeddingSize]:
    """Cardinality and width of each categorical column, in the order of the schema; lists are among them.

    (NVTabular gives a pair of such mappings where a column holds lists, and one mapping where none does.)

    Args:
        source: A fitted workflow, or a schema.

    Raises:
        UserError: A categorical column has no cardinality: the schema is not that of a fitted workflow.

    Example:
        >>> import polars as pl
        >>> from etl import Workflow
        >>> from etl.ops import Categorify
        >>> fitted = Workflow(["city"] >> Categorify()).fit(pl.DataFrame({"city": ["Oslo", "Rome"]}))
        >>> get_embedding_sizes(fitted)
        {'city': EmbeddingSize(cardinality=5, dimension=16)}
    """
    schema = source if isinstance(source, Schema) else source.schema
    sizes = {}
    for column in schema.select(Tag.CATEGORICAL):
        if column.cardinality is None or column.embedding_dim is None:
            raise UserError("the schema does not tell the cardinality", where=f"column {column.name}")
        sizes[column.name] = EmbeddingSize(column.cardinality, column.embedding_dim)
    return sizes
