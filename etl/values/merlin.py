"""Vocabularies that NVTabular has written, so that a model trained on its data keeps its ids.

`categories/unique.NAME.parquet` (a file, or a directory of `part.N.parquet`) holds the values in the order of ids, a
column `NAME_size` with counts (but for vocabularies that were given), and in the index of pandas the ids themselves.
They start behind padding, null and the ids of what is out of vocabulary; `meta.NAME.parquet`, where it lies beside,
says so too. Versions before 23.06 wrote null into the first row and no ids: those are refused.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from core.errors import UserError
from core.schema import DType
from core.suggest import did_you_mean
from etl.types import FLOATS, POLARS, TIMES, canonical_dtype, dtype_of

COUNT = "count"
_INDEX = "__index_level_0__"
_CURE = "give the file as NVTabular has written it"


@dataclass(frozen=True)
class Given:
    """A vocabulary from a file.

    Attributes:
        table: The values in the order of ids: `value` (or `value_0`, `value_1` ... for combinations) and `count`.
        first: Id of the first value; None where the file doesn't tell.
    """

    table: pl.DataFrame
    first: int | None


def merlin_vocabularies(directory: str | Path) -> dict[str, str]:
    """The vocabularies of a workflow that NVTabular has saved: name -> path, for `Categorify(vocabs=...)`.

    Args:
        directory: `categories`, or the directory of the workflow that holds it.

    Raises:
        UserError: There are none.
    """
    base = Path(directory)
    base = base / "categories" if (base / "categories").is_dir() else base
    found = sorted(base.glob("unique.*.parquet"))
    if not found:
        told = "there are no vocabularies of NVTabular (unique.NAME.parquet) here"
        raise UserError(told, where=str(directory), cure="give the directory `categories` of a saved workflow")
    return {path.name.removeprefix("unique.").removesuffix(".parquet"): str(path) for path in found}


def read_vocabulary(path: str | Path, names: Sequence[str], dtypes: Sequence[DType]) -> Given:
    """One vocabulary.

    Args:
        path: `unique.NAME.parquet`.
        names: Its column; several for a vocabulary of combinations.
        dtypes: What the values of each have to be: INT64 or STRING.

    Raises:
        UserError: The file is missing, holds no such column, values of another type, a null, a value twice, or
            its ids have holes.
    """
    parts = _parts(Path(path))
    frame = pl.concat([_read(part, names) for part in parts], how="vertical_relaxed")
    where = str(path)
    keys = ["value"] if len(names) == 1 else [f"value_{number}" for number in range(len(names))]
    known = ~pl.all_horizontal(pl.col(name).is_null() for name in names)
    if not frame.select(known.any()).item():
        # NVTabular writes a null where it has found no value.
        frame = frame.clear()
    values = [
        _typed(frame[name], dtype, where).alias(key) for name, dtype, key in zip(names, dtypes, keys, strict=True)
    ]
    size = "_".join([*names, "size"])
    counts = frame[size].cast(pl.Int64) if size in frame.columns else pl.zeros(frame.height, pl.Int64, eager=True)
    table = pl.DataFrame([*values, counts.alias(COUNT)])
    first = _first(frame, where)
    _require_later(table, keys, where)
    given = Given(check_values(table, where, cure=_CURE), first)
    _require_meta(Path(path), given)
    return given


def check_values(table: pl.DataFrame, where: str, *, cure: str) -> pl.DataFrame:
    """The table, if each of its values stands there once and none is null.

    Raises:
        UserError: One isn't; names it.
    """
    keys = [name for name in table.columns if name != COUNT]
    empty = table.with_row_index("row!").filter(pl.all_horizontal(pl.col(key).is_null() for key in keys))
    if empty.height:
        raise UserError(f"value {empty['row!'][0] + 1} of the vocabulary is null", where=where, cure=cure)
    if table.select(pl.struct(keys).n_unique()).item() < table.height:
        twice = table.filter(pl.struct(keys).is_duplicated()).row(0, named=True)
        shown = ", ".join(repr(twice[key]) for key in keys)
        raise UserError(f"the vocabulary holds {shown} more than once", where=where, cure=cure)
    return table


def _parts(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    found = list(path.glob("part.*.parquet"))
    if not found:
        raise UserError("the directory holds no part.N.parquet", where=str(path), cure=_CURE)
    return sorted(found, key=lambda part: (len(part.name), part.name))


def _read(path: Path, names: Sequence[str]) -> pl.DataFrame:
    """The columns of a part, and the ids in `_INDEX` where they can be told."""
    where = str(path)
    try:
        # A column's name stands in the path, and may look like a pattern.
        frame = pl.read_parquet(path, glob=False)
        told = pl.read_parquet_metadata(path).get("pandas")
    except FileNotFoundError:
        raise UserError("there is no such vocabulary", where=where, cure="give the path of a Parquet file") from None
    except (OSError, pl.exceptions.PolarsError) as error:
        raise UserError(f"the vocabulary can't be read as Parquet ({error})", where=where, cure=_CURE) from None
    for name in names:
        if name not in frame.columns:
            cure = did_you_mean(name, frame.columns)
            raise UserError(f"the vocabulary has no column {name}", where=where, cure=cure)
    index = _index(told, where)
    if isinstance(index, int):
        frame = frame.with_columns(pl.int_range(index, index + frame.height, dtype=pl.Int64, eager=True).alias(_INDEX))
    return frame


def _index(told: str | None, where: str) -> int | None:
    """Where an index of pandas that isn't written out starts; None: it is written out, or there is none."""
    if told is None:
        return None
    try:
        columns = json.loads(told)["index_columns"]
        ranges = [one for one in columns if isinstance(one, dict) and one["kind"] == "range"]
        return int(ranges[0]["start"]) if ranges and int(ranges[0].get("step", 1)) == 1 else None
    except (ValueError, KeyError, TypeError):
        raise UserError("what the file says of its index can't be read", where=where, cure=_CURE) from None


def _first(frame: pl.DataFrame, where: str) -> int | None:
    if _INDEX not in frame.columns or not frame.height:
        return None
    ids = frame[_INDEX]
    if ids.dtype not in {pl.Int64, pl.Int32, pl.UInt32, pl.UInt64} or ids.null_count():
        raise UserError(f"the ids of the vocabulary must be whole numbers, got {ids.dtype}", where=where, cure=_CURE)
    steps = ids.cast(pl.Int64).diff()
    broken = (steps != 1).arg_true()
    if len(broken):
        at = int(broken[0])
        told = f"the ids of the vocabulary must follow one another, but {ids[at]} comes after {ids[at - 1]}"
        raise UserError(told, where=where, cure=_CURE)
    return int(ids[0])


def _require_later(table: pl.DataFrame, keys: Sequence[str], where: str) -> None:
    """Refuse the layout whose ids are the numbers of rows, that of null among them."""
    if table.height > 1 and table.head(1).select(pl.all_horizontal(pl.col(keys).is_null())).item():
        raise UserError(
            "the vocabulary begins with null, as NVTabular wrote it before 23.06, when ids were the numbers of rows",
            where=where,
            cure="write it with NVTabular 23.06 or later",
        )


def _require_meta(path: Path, given: Given) -> None:
    """Check that a vocabulary is what the file beside it says; a saved workflow has no such file."""
    meta = path.with_name(path.name.replace("unique.", "meta.", 1))
    if meta == path or not meta.is_file():
        return
    try:
        kinds = pl.read_parquet(meta, glob=False).filter(pl.col("kind") == "unique")
        told = kinds.select("offset", "num_indices").row(0)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise UserError(f"the file can't be read ({error})", where=str(meta), cure=_CURE) from None
    if given.first is not None and given.first != told[0]:
        raise UserError(
            f"the ids of the vocabulary start at {given.first}, and {meta.name} says {told[0]}",
            where=str(path),
            cure="write it without single_table",
        )
    # Where no value was left, one null is counted.
    if given.table.height != told[1] and (given.table.height, told[1]) != (0, 1):
        what = f"the vocabulary holds {given.table.height} values, and {meta.name} says {told[1]}"
        raise UserError(what, where=str(path), cure=_CURE)


def _typed(values: pl.Series, dtype: DType, where: str) -> pl.Series:
    """Values as int64 or strings.

    Raises:
        UserError: They are something else.
    """
    wanted = POLARS[dtype]
    if values.dtype == pl.Null or not len(values):
        return pl.Series(values.name, [None] * len(values), wanted)
    found = dtype_of(values.dtype, values.name)
    if found in FLOATS:
        # pandas writes integers beside nulls as floats.
        whole = values.drop_nans().drop_nulls()
        if ((whole != whole.floor()) | (whole.abs() >= 2**53)).any():
            raise UserError("the vocabulary holds numbers that are not whole", where=where, cure=_CURE)
        values, found = values.fill_nan(None).cast(pl.Int64), DType.INT64
    if canonical_dtype(found) != dtype:
        told = f"the vocabulary holds {found.value}, and the column {dtype.value}"
        raise UserError(told, where=where, cure="give the vocabulary of this column")
    if found in TIMES:
        values = values.cast(pl.Datetime("us"))
    return values.cast(wanted)
