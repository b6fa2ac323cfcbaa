"""The raw columns: what each holds, how much of it is missing, and how much was new after training."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import Any

from core.schema import Schema, Tag
from pipeline.report.axes import short
from pipeline.report.files import Run
from pipeline.report.plots import box, spark
from pipeline.report.view import Fact, ProfileRow, Share, Shift

SHOWN = 5
"""Frequent values shown of a column."""
FEW = 10
"""A numeric column with at most so many values is told by its frequent values."""
ROLES = {
    Tag.USER_ID: "user id",
    Tag.ITEM_ID: "item id",
    Tag.TIME: "time",
    Tag.TARGET: "target",
    Tag.USER: "user",
    Tag.ITEM: "item",
}


def columns(run: Run) -> tuple[ProfileRow, ...]:
    """One row a raw column, in the order of the profile."""
    import polars as pl

    if not run.dataset.profile_file.exists():
        return ()
    known = schema(run)
    return tuple(_row(each, known) for each in pl.read_parquet(run.dataset.profile_file).to_dicts())


def schema(run: Run) -> Schema:
    """The raw columns, as far as the run knows them."""
    return run.dataset.raw_schema() if run.dataset.raw_schema_file.exists() else Schema()


def note(run: Run) -> str:
    """Which rows the profile speaks of."""
    rows = {row.rows for row in columns(run)}
    return f"Raw columns over {max(rows):,} rows." if rows else ""


def _row(told: dict[str, Any], known: Schema) -> ProfileRow:
    rows = told["rows"]
    names = {"unseen_valid": "valid", "unseen_test": "test"}
    unseen = tuple(Share(name, told[key]) for key, name in names.items() if told.get(key) is not None)
    role = role_of(told["name"], known)
    nulls = told["nulls"] / rows if rows else 0.0
    plain = ProfileRow(told["name"], told["dtype"], role, rows, nulls, told["distinct"], unseen=unseen)
    row = replace(plain, shifts=shifts(told), alone=told.get("alone"))
    quantiles = told.get("quantiles") or []
    if quantiles and (told["distinct"] or 0) > FEW and not role.endswith("id"):
        return _numeric(row, told, quantiles)
    top = zip(told["top_values"] or [], told["top_counts"] or [], strict=True)
    sampled = max(told.get("sampled") or rows, 1)
    shares = [Share(str(value), count / sampled) for value, count in top]
    return replace(row, top=tuple(shares[:SHOWN]), facts=_lengths(told))


def _numeric(row: ProfileRow, told: dict[str, Any], quantiles: list[float]) -> ProfileRow:
    """The shape of a numeric column: its histogram where the profile has one, else its quartiles."""
    middle = quantiles[len(quantiles) // 2]
    title = f"{row.name} from {told['low']} to {told['high']}, median {short(middle)}"
    bins = told.get("histogram")
    picture = spark(bins, title=title) if bins else box(quantiles, title=title)
    values = {"min": _number(told["low"]), "median": middle, "max": _number(told["high"])}
    show = moment if row.role == "time" else short
    facts = tuple(Fact(name, show(value)) for name, value in values.items() if value is not None)
    return replace(row, facts=facts + _lengths(told), spark=picture)


def _lengths(told: dict[str, Any]) -> tuple[Fact, ...]:
    """How long the lists of a column are."""
    found = told.get("lengths") or []
    if not found:
        return ()
    return (Fact("median length", short(found[len(found) // 2])), Fact("length at 99 %", short(found[-1])))


def shifts(told: dict[str, Any]) -> tuple[Shift, ...]:
    """How far each later split lies from the training rows."""
    found = []
    for split in ("valid", "test"):
        psi = told.get(f"psi_{split}")
        if psi is not None:
            ks = told[f"ks_{split}"]
            note = f"JS {told[f'js_{split}']:.3f}" + (f", KS {ks:.3f}" if ks is not None else "")
            found.append(Shift(split, psi, bool(told[f"drifts_{split}"]), note))
    return tuple(found)


def _number(text: str | None) -> float | None:
    try:
        return float(text or "")
    except ValueError:
        return None


def moment(value: float) -> str:
    """The day of a number that counts seconds, milliseconds or microseconds since 1970; another number as it is.

    Example:
        >>> moment(881_250_949), moment(881_250_949_000), moment(17)
        ('1997-12-04', '1997-12-04', '17')
    """
    for unit in (1, 1e3, 1e6):
        if 1e8 <= value / unit < 1e10:
            return dt.datetime.fromtimestamp(value / unit, dt.UTC).date().isoformat()
    return short(value)


def role_of(name: str, known: Schema) -> str:
    """What a column means, in a word or two; "" where it means nothing in particular."""
    if name not in known:
        return ""
    return next((word for tag, word in ROLES.items() if tag in known[name].tags), "")
