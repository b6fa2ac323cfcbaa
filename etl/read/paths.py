"""Which files a table is made of."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from core.errors import UserError
from core.suggest import closest
from etl.dataset.sources import TableSpec

Format = Literal["csv", "parquet"]
SUFFIXES: dict[str, Format] = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".csv": "csv",
    ".tsv": "csv",
    ".tab": "csv",
    ".txt": "csv",
}


def find(spec: TableSpec) -> tuple[Path, ...]:
    """The files of a table: those named in the order given, those of a glob in order of name.

    Raises:
        UserError: A file is missing, a glob matches nothing, or a file is given twice.
    """
    files = [path for pattern in spec.path for path in _expand(pattern)]
    known: set[Path] = set()
    for path in files:
        if path in known:
            raise UserError(
                "the file is given twice", where=str(path), cure="name it once; its rows would count double"
            )
        known.add(path)
    return tuple(files)


def _expand(pattern: str) -> list[Path]:
    path = Path(pattern)
    if path.is_file():
        return [path]
    if path.is_dir():
        raise UserError("this is a directory", where=pattern, cure=f"give its files, such as {pattern}/*.parquet")
    if glob.has_magic(pattern):
        found = sorted(Path(name) for name in glob.glob(pattern, recursive=True))  # noqa: PTH207  absolute patterns too
        files = [one for one in found if one.is_file()]
        if not files:
            raise UserError("no file matches this pattern", where=pattern, cure="mend the path")
        return files
    raise UserError("there is no such file", where=pattern, cure=_nearby(path))


def _nearby(path: Path) -> str:
    """What to do about a missing file: the nearest name beside it, or the first directory that is missing."""
    if path.parent.is_dir():
        guess = closest(path.name, [one.name for one in path.parent.iterdir() if one.is_file()])
        return f"did you mean {path.parent / guess}?" if guess else "mend the path"
    missing = path.parent
    while not missing.parent.exists():
        missing = missing.parent
    return f"the directory {missing} isn't there"


def format_of(spec: TableSpec, files: Sequence[Path]) -> Format:
    """The format that the settings say, or that every suffix says.

    Raises:
        UserError: A suffix says nothing, or two say different things.
    """
    if spec.format is not None:
        return spec.format
    told: dict[Format, Path] = {}
    for path in files:
        suffixes = [suffix.lower() for suffix in path.suffixes if suffix.lower() not in {".gz", ".zst"}]
        kind = SUFFIXES.get(suffixes[-1]) if suffixes else None
        if kind is None:
            raise UserError(
                "the name doesn't tell the format", where=str(path), cure="add `format: csv` or `format: parquet`"
            )
        told.setdefault(kind, path)
    if len(told) > 1:
        raise UserError(
            f"{told['csv']} is a CSV and {told['parquet']} a Parquet file", cure="give one table in one format"
        )
    return next(iter(told))


def separator_of(spec: TableSpec, files: Sequence[Path]) -> str:
    """The separator that the settings say, or the suffix: a tab in `.tsv` and `.tab`."""
    tabs = any(suffix.lower() in {".tsv", ".tab"} for suffix in files[0].suffixes)
    return spec.separator or ("\t" if tabs else ",")
