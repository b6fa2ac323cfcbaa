"""The raw rows of a run: interactions with the columns of their user and their item beside them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from core.dataset import ROW
from core.errors import UserError
from core.schema import Tag
from etl.dataset.checks import RESERVED, require_columns, require_id, require_same_key, require_unique
from etl.dataset.sources import Roles, Sources, TableSpec
from etl.engines.base import COMPRESSION
from etl.engines.cpu import CpuEngine
from etl.read import Table, open_table
from etl.rows import Dropped, Given, Rule, apply_rules, wanted_of
from etl.ticks import counted
from etl.types import dtype_of

SIDES: dict[str, tuple[Tag, Tag]] = {"users": (Tag.USER, Tag.USER_ID), "items": (Tag.ITEM, Tag.ITEM_ID)}
_STAGE_GROUP = 131_072


@dataclass(frozen=True)
class Side:
    """The table of users or of items.

    Attributes:
        name: `users` or `items`.
        id: The column with the id.
        where: How messages call the table.
        rows: One row an id.
    """

    name: str
    id: str
    where: str
    rows: pl.DataFrame


@dataclass(frozen=True)
class Raw:
    """Raw rows, joined.

    Attributes:
        frame: ROW and every column that was asked for; one row an interaction, in order.
        types: Of those columns.
        tags: What they mean: the side they are on, and the roles.
        sides: The tables beside, by name; those that were given.
        roles: Which columns tell who, what and when.
        table: The files of the interactions.
        dropped: What each rule for rows did.
    """

    frame: pl.LazyFrame
    types: Mapping[str, pl.DataType]
    tags: Mapping[str, frozenset[Tag]]
    sides: Mapping[str, Side]
    roles: Roles
    table: Table
    dropped: tuple[Dropped, ...] = ()


def open_raw(
    sources: Sources,
    wanted: Mapping[str, str],
    workplace: Path,
    *,
    stage: bool,
    made: Sequence[str] = (),
    rules: Sequence[Rule] = (),
) -> Raw:
    """Open the tables, join them by id, and drop the rows that the rules drop.

    Text is parsed and joins are done once, into one Parquet file under `workplace`, and so is what rules leave;
    plain Parquet is scanned where it lies, unless `stage` asks for the same.

    Args:
        sources: The tables.
        wanted: Columns to have -> who asks for each.
        workplace: An existing directory for temporary files; must outlive the frame.
        stage: Write the rows to Parquet with their numbers in any case.
        made: Columns among those wanted that an operator may make; they are left out where no table has them.
        rules: Which rows there are at all.

    Raises:
        UserError: A table can't be read, a column is missing or in two tables, ids are unfit, or no row is left.
    """
    table = open_table(sources.interactions)
    sides = {side.name: side for side in _sides(sources)}
    own = table.read(lambda scan: scan.collect_schema())
    given = Given(sources.roles, tuple(name for name in own if name != ROW))
    kept, read = _asked(wanted, {*own, *(name for side in sides.values() for name in side.rows.columns)}, made, rules)
    read = {**wanted_of(rules, given), **read}
    _check(own, sides, read, sources.roles, table)

    frame = _joined(table, sides, list(read), workplace / "rows.parquet", stage=stage)
    types = _types(frame, list(read), table)
    dropped: tuple[Dropped, ...] = ()
    if rules:
        left, dropped = apply_rules(frame, rules, given, types, table.name)
        frame = _staged(left.select(ROW, *kept), workplace / "kept.parquet")
        types = dict(frame.collect_schema())
    return Raw(frame, types, _tags(types, sides, sources.roles), sides, sources.roles, table, dropped)


def _asked(
    wanted: Mapping[str, str], known: Collection[str], made: Sequence[str], rules: Sequence[Rule]
) -> tuple[list[str], dict[str, str]]:
    """The columns to have in the end, and those of them to read -> who asks for each.

    Args:
        wanted: See `open_raw`.
        known: Columns of the tables.
        made: See `open_raw`.
        rules: May make some of them.
    """
    _require_new(rules, known)
    outcomes = {name for rule in rules for name in rule.makes}
    kept = [name for name in wanted if name in known or name in outcomes or name not in made]
    return kept, {name: wanted[name] for name in kept if name not in outcomes}


def _joined(table: Table, sides: Mapping[str, Side], wanted: list[str], place: Path, *, stage: bool) -> pl.LazyFrame:
    """The rows with the columns of all tables, in a Parquet file where they don't lie in some already."""
    if stage or sides or table.csv is not None:
        return table.read(lambda scan: _staged(_join(scan, sides, wanted), place))
    return _join(table.scan(), sides, wanted)


def _types(frame: pl.LazyFrame, wanted: Sequence[str], table: Table) -> dict[str, pl.DataType]:
    """The types of all columns; refuses a frame without rows, and columns of other types than ours."""
    if not frame.select(pl.len()).collect(engine="streaming").item():
        raise UserError("there are no rows", where=table.name, cure="give a file with rows")
    found = dict(frame.collect_schema())
    for name in wanted:
        dtype_of(found[name], name)
    return found


def _require_new(rules: Sequence[Rule], known: Collection[str]) -> None:
    taken = {*known, *RESERVED}
    for rule in rules:
        for name in rule.makes:
            if name in taken:
                told = f"{rule.kind} is to make the column {name}, and there is one already"
                raise UserError(told, where="etl.rows", cure="give it another name")
            taken.add(name)


def _staged(frame: pl.LazyFrame, path: Path) -> pl.LazyFrame:
    with counted(frame, "read", None, CpuEngine()) as rows:
        rows.sink_parquet(path, compression=COMPRESSION, row_group_size=_STAGE_GROUP, engine="streaming")
    return pl.scan_parquet(path, glob=False)


def _sides(sources: Sources) -> Iterator[Side]:
    given = (("users", sources.users, sources.roles.user), ("items", sources.items, sources.roles.item))
    for name, spec, key in given:
        if spec is not None and key is not None:
            side = _side(name, spec, key)
            if name == "items" and sources.title is not None:
                require_columns({sources.title: "the title"}, side.rows.columns, side.where)
            yield side


def _side(name: str, spec: TableSpec, key: str) -> Side:
    table = open_table(spec)
    rows = table.read(lambda scan: scan.drop(ROW).collect(engine="streaming"))
    require_columns({key: f"the id of {name}"}, rows.columns, table.name)
    require_id(key, rows.schema[key], table.name)
    require_unique(rows, key, table.name)
    return Side(name, key, table.name, rows)


def _check(own: pl.Schema, sides: Mapping[str, Side], wanted: Mapping[str, str], roles: Roles, table: Table) -> None:
    """Check the columns of all tables against what is wanted of them."""
    for side in sides.values():
        require_columns({side.id: f"the id of {side.name}"}, own.names(), table.name)
    _check_distinct(own, sides, wanted, table)
    known = [name for name in own if name != ROW]
    known += [name for side in sides.values() for name in side.rows.columns if name != side.id]
    require_columns(wanted, known, table.name)
    given = {role: name for role, name in roles.model_dump().items() if name is not None}
    require_columns({name: f"the {role} role" for role, name in given.items()}, own.names(), table.name)
    for role in ("user", "item"):
        if role in given:
            require_id(given[role], own[given[role]], table.name)
    for side in sides.values():
        require_same_key(side.id, (table.name, own[side.id]), (side.where, side.rows.schema[side.id]))


def _check_distinct(own: pl.Schema, sides: Mapping[str, Side], wanted: Mapping[str, str], table: Table) -> None:
    holders: dict[str, str] = dict.fromkeys(own, table.name)
    for side in sides.values():
        for name in side.rows.columns:
            if name != side.id and name in wanted and name in holders:
                raise UserError(
                    f"the column {name} is in {holders[name]} and in {side.where}", cure="rename it in one of them"
                )
            holders[name] = side.where


def _join(scan: pl.LazyFrame, sides: Mapping[str, Side], wanted: list[str]) -> pl.LazyFrame:
    """Put the columns of users and items beside each interaction; the order of rows is kept."""
    own = scan.collect_schema()
    frame = scan.select(ROW, *(name for name in wanted if name in own))
    for side in sides.values():
        columns = [name for name in side.rows.columns if name != side.id and name in wanted and name not in own]
        if columns:
            beside = side.rows.lazy().select(pl.col(side.id).cast(own[side.id]), *columns)
            frame = frame.join(beside, on=side.id, how="left", maintain_order="left")
    return frame.select(ROW, *wanted)


def _tags(types: Mapping[str, pl.DataType], sides: Mapping[str, Side], roles: Roles) -> dict[str, frozenset[Tag]]:
    tags: dict[str, frozenset[Tag]] = {}
    for name in types:
        tags[name] = frozenset({Tag.CONTEXT})
        for side in sides.values():
            if name != side.id and name in side.rows.columns:
                tags[name] = frozenset({SIDES[side.name][0]})
    for key, (side_tag, id_tag) in ((roles.user, SIDES["users"]), (roles.item, SIDES["items"])):
        if key is not None:
            tags[key] = frozenset({side_tag, id_tag})
    if roles.time in tags:
        tags[roles.time] |= {Tag.TIME}
    return {name: found for name, found in tags.items() if name != ROW}
