"""A fitted workflow on disk: `workflow.json` and one Parquet file a table. No code is ever read back.

    DIR/
      workflow.json          version, raw columns, steps (kind, settings, wiring, state), outputs
      tables/03-00.parquet   the first table of step 3

Kinds are looked up in `etl.ops.OPERATORS`; a path in the file must stay inside the directory, and the hash of
each table is checked.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl
import polars.exceptions as pe

from core.errors import UserError
from core.files import RETIRED, hash_file, inside, new_directory, read_json, write_json
from core.schema import Column, Schema
from core.suggest import did_you_mean
from etl.dataset.tables import write_table
from etl.fitted import Fitted
from etl.ops import OPERATORS
from etl.seen import Seen
from etl.steps import PlannedStep, Step, raw_columns
from etl.types import polars_type
from etl.values.kept import kept

VERSION = 3
FILE = "workflow.json"


def save(fitted: Fitted, directory: Path) -> None:
    """Write a fitted workflow; what was at `directory` is replaced, whole or not at all.

    Raises:
        UserError: An operator can't be saved (a LambdaOp), or the disk refuses.
    """
    for step in fitted.steps:
        if OPERATORS.get(step.operator.kind) is not type(step.operator):
            names = ", ".join(column.name for column in step.columns)
            raise UserError(
                f"{type(step.operator).__name__} holds Python code and can't be saved",
                where=f"column {names}",
                cure="write it as an `expression`",
            )
    with new_directory(directory) as temporary:
        steps = [_step_to_json(step, temporary) for step in fitted.steps]
        value = {
            "version": VERSION,
            "inputs": [column.to_json() for column in fitted.input_schema],
            "fit_inputs": [column.to_json() for column in fitted.fit_schema],
            "steps": steps,
            "outputs": _pairs(fitted.declared),
            "seen": [one.to_json() for one in fitted.seen],
        }
        write_json(temporary / FILE, value)


def load(directory: Path) -> Fitted:
    """Read a fitted workflow.

    Raises:
        UserError: A file is missing, broken, changed, or of a newer version.
    """
    # A save that was killed between its two renames leaves the old workflow under its retired name.
    retired = directory.parent / f"{RETIRED}{directory.name}"
    directory = retired if retired.exists() and not directory.exists() else directory
    file = directory / FILE
    if not file.exists():
        raise UserError("there is no fitted workflow here", where=str(directory), cure="run the etl stage first")
    value = read_json(file)
    try:
        if int(value["version"]) < VERSION:
            told = f"the workflow has version {value['version']}, which this program no longer reads"
            raise UserError(told, where=str(file), cure="fit again")
        if int(value["version"]) > VERSION:
            told = f"the workflow has version {value['version']}, this program reads up to {VERSION}"
            raise UserError(told, where=str(file), cure="update gyrfalcon")
        return _fitted(value, directory)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, pe.PolarsError) as error:
        cure = "fit again; the file isn't meant to be edited"
        raise UserError(f"this is not a fitted workflow ({_brief(error)})", where=str(file), cure=cure) from None


def _step_to_json(step: Step, directory: Path) -> dict[str, Any]:
    tables = []
    for index, (key, table) in enumerate(step.state.tables().items()):
        name = f"tables/{step.number:02}-{index:02}.parquet"
        path = directory / name
        write_table(table, path)
        tables.append({"key": key, "file": name, "sha256": hash_file(path)})
    return {
        "kind": step.operator.kind,
        "settings": step.operator.model_dump(mode="json"),
        "inputs": _pairs(step.inputs),
        "further": _pairs(step.planned.further),
        "fit_further": _pairs(step.planned.fit_further),
        "state": step.state.to_json(),
        "tables": tables,
    }


def _fitted(value: Mapping[str, Any], directory: Path) -> Fitted:
    schema, fit_schema = (
        Schema(tuple(Column.from_json(column) for column in value[key])) for key in ("inputs", "fit_inputs")
    )
    known = raw_columns((*schema, *fit_schema))
    steps = []
    for number, one in enumerate(value["steps"], start=1):
        step = _step(number, one, known, directory)
        known.update(step.known)
        steps.append(step)
    seen = tuple(Seen.from_json(one) for one in value["seen"])
    fitted = Fitted(schema, fit_schema, tuple(steps), dict(value["outputs"]), seen)
    # Building the query once finds what is missing in a state or points nowhere.
    fitted.transform(pl.LazyFrame(schema={column.name: polars_type(column) for column in schema})).collect_schema()
    return fitted


def _step(number: int, value: Mapping[str, Any], known: Mapping[str, Column], directory: Path) -> Step:
    kind = value["kind"]
    if kind not in OPERATORS:
        raise ValueError(f"there is no operator {kind!r}; {did_you_mean(kind, OPERATORS)}")
    operator = OPERATORS[kind].model_validate(value["settings"])
    tables = {table["key"]: _table(table, directory) for table in value["tables"]}
    state = operator.state_type.load(value["state"], tables)
    wires = (dict(value[key]) for key in ("inputs", "further", "fit_further"))
    return PlannedStep(number, operator, *wires).fitted(known, state)


def _table(value: Mapping[str, Any], directory: Path) -> pl.DataFrame:
    path = inside(directory, value["file"])
    if not path.is_file():
        raise UserError("a file of the fitted workflow is missing", where=str(path), cure="fit again")
    if hash_file(path) != value["sha256"]:
        told = "the file is not the one that was saved with the workflow"
        raise UserError(told, where=str(path), cure="fit again")
    try:
        return kept(pl.read_parquet(path))
    except pe.PolarsError as error:
        raise UserError(f"this table can't be read ({_brief(error)})", where=str(path), cure="fit again") from None


def _pairs(mapping: Mapping[str, str]) -> list[list[str]]:
    """Pairs keep their order where a JSON object with sorted keys would lose it."""
    return [[name, port] for name, port in mapping.items()]


def _brief(error: Exception) -> str:
    text = f"{error} is missing" if isinstance(error, KeyError) else str(error)
    return " ".join(text.split())[:200]
