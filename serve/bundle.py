"""The bundle: one directory with everything that serving needs, and how it is opened.

    ranker.onnx (+ .data)  raw columns in, `score` float32 [rows] out; of several targets `score_NAME` of each too
    retriever.onnx         raw user columns in, `vector` float32 [rows, width] out; or, of models that have no vectors,
                           `scores` float32 [rows, items]
    items.parquet          raw item columns, one row an item, and its vector
    index.faiss            the search over these vectors; ids are rows of items.parquet
    users.parquet          raw user columns, sorted by user id
    seen.parquet           rows of users.parquet and items.parquet: what each user already has
    schema.json            inputs of the models with their types and null rules; the roles of columns
    golden.parquet         raw rows with what the trained torch models gave for them
    manifest.json          versions, size and hash of each file, metrics, data and config; written last

A bundle without a retriever, or with one that scores every item, has no index and no vectors; one whose data know no
users and items has only a ranker.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from core.errors import UserError
from core.files import read_json
from serve.index import BestScores, ItemIndex, Search
from serve.manifest import CURE, check_sizes, read_manifest, require
from serve.runtime import Model
from serve.signature import Signature

SCHEMA, GOLDEN = "schema.json", "golden.parquet"
ITEMS, USERS, SEEN, INDEX = "items.parquet", "users.parquet", "seen.parquet", "index.faiss"
RANKER, RETRIEVER = "ranker", "retriever"
VECTOR = "__vector__"
"""Column of items.parquet and golden.parquet: float32 vector."""
HISTORY_COLUMN = "history"
"""The input, and column of the users, that holds what somebody met: raw ids of items, oldest first."""
RANKER_HISTORY_COLUMN = "__history_of_ranker__"
"""The same of the ranker, where it was told more than the retriever: items that the user did not like, too."""
SCORE = "__score__"
"""Column of golden.parquet: float32 score."""
SCORES = "__scores__"
"""Column of golden.parquet: float32 scores of all items, null where they would take too much room."""
USER_ROW, ITEM_ROW = "user_row", "item_row"
"""Columns of seen.parquet, UInt32, sorted by the first."""


def column_of(output: str) -> str:
    """The column of golden.parquet that holds what a model must give.

    Example:
        >>> column_of("score") == SCORE, column_of("score_purchase")
        (True, '__score_purchase__')
    """
    return f"__{output}__"


@dataclass(frozen=True)
class Roles:
    """Which raw columns are ids, and which one is shown."""

    user: str | None = None
    item: str | None = None
    title: str | None = None


@dataclass(frozen=True)
class Bundle:
    """An opened bundle: small parts read, large parts read on demand.

    Attributes:
        path: The directory.
        manifest: Its manifest.
        signatures: Inputs and output of each model, by name.
        roles: Which raw columns are ids and titles.
    """

    path: Path
    manifest: Mapping[str, Any]
    signatures: Mapping[str, Signature]
    roles: Roles

    @classmethod
    def open(cls, path: Path) -> Bundle:
        """Open a bundle.

        Raises:
            UserError: It is not a bundle, of a newer version, or a file is missing or has another size.
        """
        manifest = read_manifest(path)
        check_sizes(path, manifest)
        require(path, manifest, [SCHEMA])
        schema = read_json(path / SCHEMA)
        try:
            models = {name: Signature.from_json(value) for name, value in schema["models"].items()}
            roles = Roles(**schema["roles"])
            if not set(models) <= {RANKER, RETRIEVER}:
                raise ValueError(f"unknown models: {sorted(models)}")  # noqa: TRY301 - one message for all that is wrong
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise UserError(f"this is not a bundle's schema ({error!r})", where=str(path / SCHEMA)) from None
        require(path, manifest, [GOLDEN, *[f"{name}.onnx" for name in models]])
        if ITEMS in manifest["files"]:
            searched = RETRIEVER in models and models[RETRIEVER].output == "vector"
            require(path, manifest, [USERS, SEEN, *([INDEX] if searched else [])])
        return cls(path, manifest, models, roles)

    @property
    def has_items(self) -> bool:
        """Whether the bundle knows a catalogue, so that it can recommend."""
        return ITEMS in self.manifest["files"]

    def model(self, name: str, threads: int = 1) -> Model:
        """Load a model into ONNX Runtime.

        Raises:
            UserError: The bundle has no such model.
        """
        if name not in self.signatures:
            held = ", ".join(sorted(self.signatures))
            raise UserError(f"the bundle has no {name}", where=str(self.path), cure=f"it has: {held}")
        return Model(self.path / f"{name}.onnx", self.signatures[name], threads)

    def table(self, name: str, columns: list[str] | None = None) -> pl.DataFrame:
        """Read one of the Parquet files.

        Raises:
            UserError: The file is broken or lacks a column.
        """
        file = self.path / name
        try:
            return pl.read_parquet(file, columns=columns)
        except (OSError, pl.exceptions.PolarsError) as error:
            first = str(error).splitlines()[0]
            raise UserError(f"the file cannot be read ({first})", where=str(file), cure=CURE) from None

    def columns(self, name: str) -> list[str]:
        """Names of the columns of one of the Parquet files."""
        return list(pl.read_parquet_schema(self.path / name))

    def search(self) -> Search:
        """What finds the best items by an answer of the retriever: the index, or the scores themselves."""
        return ItemIndex.read(self.path / INDEX) if self.signatures[RETRIEVER].output == "vector" else BestScores()
