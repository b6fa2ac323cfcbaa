"""The bundle: one directory with everything that serving needs, and how it is opened.

    ranker.onnx (+ .data)  raw columns in, `score` float32 [rows] out
    retriever.onnx         raw user columns in, `vector` float32 [rows, width] out
    items.parquet          raw item columns, one row an item, and its vector
    index.faiss            the search over these vectors; ids are rows of items.parquet
    users.parquet          raw user columns, sorted by user id
    seen.parquet           rows of users.parquet and items.parquet: what each user already has
    schema.json            inputs of the models with their types and null rules; the roles of columns
    golden.parquet         raw rows with what the trained torch models gave for them
    manifest.json          versions, size and hash of each file, metrics, data and config; written last

A bundle without a retriever has no index; one whose data know no users and items has only a ranker.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from core.errors import UserError
from core.files import hash_file, inside, read_json
from serve.index import ItemIndex
from serve.runtime import Model
from serve.signature import Signature

KIND = "gyrfalcon-bundle"
VERSION = 1
MANIFEST, SCHEMA, GOLDEN = "manifest.json", "schema.json", "golden.parquet"
ITEMS, USERS, SEEN, INDEX = "items.parquet", "users.parquet", "seen.parquet", "index.faiss"
RANKER, RETRIEVER = "ranker", "retriever"
VECTOR = "__vector__"
"""Column of items.parquet and golden.parquet: float32 vector."""
SCORE = "__score__"
"""Column of golden.parquet: float32 score."""
USER_ROW, ITEM_ROW = "user_row", "item_row"
"""Columns of seen.parquet, UInt32, sorted by the first."""
CURE = "export the bundle again, or copy it whole"


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
        manifest = _read_manifest(path)
        _check_sizes(path, manifest)
        schema = read_json(path / SCHEMA)
        try:
            models = {name: Signature.from_json(value) for name, value in schema["models"].items()}
            return cls(path, manifest, models, Roles(**schema["roles"]))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise UserError(f"this is not a bundle's schema ({error!r})", where=str(path / SCHEMA)) from None

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

    def index(self) -> ItemIndex:
        """Read the search index."""
        return ItemIndex.read(self.path / INDEX)

    def check_hashes(self) -> int:
        """Read every file and compare its hash with the manifest's: the number of files.

        Raises:
            UserError: A file has changed since the export.
        """
        for name, entry in self.manifest["files"].items():
            if hash_file(inside(self.path, name)) != entry["sha256"]:
                message = "the content differs from what was exported (its hash has changed)"
                raise UserError(message, where=str(self.path / name), cure=CURE)
        return len(self.manifest["files"])


def describe_files(path: Path) -> dict[str, dict[str, Any]]:
    """Size and hash of every file of a bundle but the manifest."""
    files = sorted(file for file in path.iterdir() if file.is_file() and file.name != MANIFEST)
    return {file.name: {"bytes": file.stat().st_size, "sha256": hash_file(file)} for file in files}


def _read_manifest(path: Path) -> dict[str, Any]:
    file = path / MANIFEST
    if not file.exists():
        raise UserError("there is no bundle here", where=str(path), cure="give a directory that export wrote")
    manifest = read_json(file)
    if not isinstance(manifest, dict) or manifest.get("kind") != KIND:
        raise UserError("this is not a bundle's manifest", where=str(file))
    version = manifest.get("version")
    if not isinstance(version, int) or version > VERSION:
        message = f"the bundle has version {version}, this program reads up to {VERSION}"
        raise UserError(message, where=str(file), cure="update gyrfalcon")
    entries = manifest.get("files")
    if not isinstance(entries, dict) or not all(_is_entry(entry) for entry in entries.values()):
        raise UserError("the manifest does not list the files", where=str(file), cure=CURE)
    return manifest


def _is_entry(entry: object) -> bool:
    if not isinstance(entry, dict):
        return False
    return isinstance(entry.get("sha256"), str) and isinstance(entry.get("bytes"), int)


def _check_sizes(path: Path, manifest: Mapping[str, Any]) -> None:
    """A cheap look at every start; `verify` reads the hashes."""
    for name, entry in manifest["files"].items():
        file = inside(path, name)
        if not file.is_file():
            raise UserError("a file of the bundle is missing", where=str(path / name), cure=CURE)
        if file.stat().st_size != entry["bytes"]:
            message = f"the file has {file.stat().st_size} bytes, {entry['bytes']} were exported"
            raise UserError(message, where=str(path / name), cure=CURE)
    if SCHEMA not in manifest["files"]:
        raise UserError(f"the bundle lists no {SCHEMA}", where=str(path / MANIFEST), cure=CURE)
