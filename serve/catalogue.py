"""The items of a bundle, ready to be shown and to be ranked."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import polars as pl

from serve.bundle import ITEMS, VECTOR, Bundle
from serve.columns import encode, features_of
from serve.signature import Array, Signature


class Catalogue:
    """Items by their row in items.parquet.

    Args:
        frame: Raw item columns, one row an item.
        inputs: The item columns of the models as vectors over all rows, by name.
        id_column: The raw item id.
        title_column: What to show, or None.
    """

    def __init__(self, frame: pl.DataFrame, inputs: dict[str, Array], id_column: str, title_column: str | None) -> None:
        self._frame, self._inputs = frame, inputs
        self._id, self._title = id_column, title_column

    @classmethod
    def read(cls, bundle: Bundle) -> Catalogue:
        """Read a bundle's items: the columns are encoded once, a request only gathers rows of them."""
        frame = bundle.table(ITEMS, [name for name in bundle.columns(ITEMS) if name != VECTOR])
        wanted = features_of(tuple(bundle.signatures.values()), "item")
        inputs = {item.name: encode(frame[item.name], item.dtype) for item in wanted.values() if item.name in frame}
        # What windows made of an item is an input, and no property of it to be shown.
        shown = frame.drop(bundle.manifest.get("given", []), strict=False)
        return cls(shown, inputs, str(bundle.roles.item), bundle.roles.title)

    def __len__(self) -> int:
        return len(self._frame)

    def show(self, row: int) -> tuple[int | str, str, dict[str, Any]]:
        """Raw id, title and the other raw columns of an item."""
        columns = self._frame.row(row, named=True)
        identity = columns.pop(self._id)
        title = columns.pop(self._title, None) if self._title else None
        return identity, str(identity if title is None else title), columns

    def rows_of(self, ids: Array) -> Array:
        """Rows of the items with these raw ids, each once and rising; ids that no item has are left out."""
        rows = {row for one in ids.tolist() if (row := self._rows.get(one)) is not None}
        return np.array(sorted(rows), dtype=np.int64)

    @cached_property
    def _rows(self) -> dict[int | str, int]:
        return {one: row for row, one in enumerate(self._frame[self._id].to_list())}

    def columns_for(self, signature: Signature, rows: Array) -> dict[str, Array]:
        """The item inputs of a model for some rows; one that no item knows is null."""
        held = self._inputs
        return {
            item.name: np.take(held[item.name], rows) if item.name in held else item.null
            for item in signature.of_side("item")
        }
