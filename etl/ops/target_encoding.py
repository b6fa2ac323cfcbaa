"""The mean of the target by key, smoothed; on training rows without what the row's own fold says of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl
from pydantic import Field, model_validator

from core.dataset import TARGET
from core.errors import UserError
from core.schema import Column, DType, Tag
from etl.onnx import GraphBuilder, Value
from etl.ops.base import Collected, Operator, Statistics, Wiring
from etl.ops.declare import continuous, require_numbers
from etl.ops.foreign import STATISTICS, Float32, refuse
from etl.ops.keyed import (
    Groups,
    Key,
    KeyedTables,
    Names,
    fractions,
    in_order,
    keys_of,
    require_whole,
    row_node,
    table_name,
    take_node,
)
from etl.ops.nvt import nvtabular_ops
from etl.ops.sums import parts, require_summable, sum_scalars
from etl.ops.target_sums import FULL, added, encoded, looked_up, mean, summed
from etl.values.mix import mix64

FOLD = "__fold__"


class TargetEncoding(Operator[KeyedTables]):
    """(sum of the target + p_smooth * its mean) / (count + p_smooth), by key; a number for each key and target.

    Training rows fall into `kfold` folds by a hash of their number, and a row's sum and count leave out its own
    fold: else the feature would tell the model the row's own target. Other rows get the statistics of all training
    rows. A key that was not seen gets the mean of the target; rows without a value in the key form a group of
    their own. The target is read in the fit alone, and rows without one don't count.

    Columns in a list of their own form one key: `["a", ["b", "c"]] >> TargetEncoding("click")`.

    Args:
        target: One or several columns of numbers; by default the target of the run.
        target_mean: The mean to smooth with, one for all or by target; by default that of the training rows.
        kfold: Number of folds; 1: none, which leaks the target into training rows of rare keys.
        fold_seed: Chooses the folds; None: number of the row modulo `kfold`.
        p_smooth: How many rows the mean weighs as.
        out_col: Names of the outputs, one for each key (a list of names where there are several targets); by
            default TE_KEY_TARGET.
        out_dtype: float32.
        name_sep: Joins the columns of a key in names.
        drop_folds: False: give the fold of each training row too, in the column `__fold__`.
        groups: The columns of keys that have several.

    Example:
        >>> from etl import Workflow
        >>> frame = pl.DataFrame({"city": ["Oslo", "Oslo", "Rome"], "click": [1, 1, 0]})
        >>> fitted = Workflow(["city"] >> TargetEncoding("click", p_smooth=1)).fit(frame)
        >>> rows = pl.DataFrame({"city": ["Oslo", "Rome", "Lima"]})
        >>> [round(value, 3) for value in fitted.transform(rows).collect()["TE_city_click"]]
        [0.889, 0.333, 0.667]
    """

    kind = "target_encoding"
    state_type = KeyedTables

    target: Names = (TARGET,)
    target_mean: float | dict[str, float] | None = None
    kfold: int = Field(default=3, ge=1, le=100)
    fold_seed: int | None = Field(default=42, ge=0)
    p_smooth: float = Field(default=20.0, ge=0)
    out_col: tuple[str | tuple[str, ...], ...] | str | None = None
    out_dtype: Float32 = None
    name_sep: str = "_"
    drop_folds: bool = True
    groups: Groups = ()

    @model_validator(mode="before")
    @classmethod
    def _known(cls, value: Any) -> Any:
        return refuse(value, STATISTICS)

    @property
    def columnwise(self) -> bool:  # type: ignore[override]  # depends on the settings
        """See `Operator`."""
        return not self.groups and self.drop_folds and self.out_col is None

    @property
    def numbered(self) -> bool:  # type: ignore[override]  # depends on the settings
        """See `Operator`."""
        return self.kfold > 1 or not self.drop_folds

    @property
    def fit_dependencies(self) -> tuple[str, ...]:
        """The targets."""
        return self.target

    def grouped(self, groups: Groups) -> TargetEncoding:
        """Take groups of columns as keys."""
        return self.model_copy(update={"groups": groups})

    def outputs(self, columns: Sequence[Column], state: KeyedTables | None = None) -> tuple[Column, ...]:
        """Declare a number for each key and target."""
        require_numbers([column for column in columns if column.name in self.target], self.kind)
        keys = self._keys(columns)
        if not keys and state is None:
            raise UserError(f"{self.kind} needs columns beside the target", where=f"column {', '.join(self.target)}")
        made = [
            continuous(key.belongs, nullable=False).renamed(name)
            for key, names in zip(keys, self._names(keys), strict=True)
            for name in names
        ]
        if not self.drop_folds:
            sides = frozenset.intersection(*(column.tags for column in made)) - {Tag.CONTINUOUS}
            made.append(Column(FOLD, DType.INT64, sides))
        return tuple(made)

    def statistics(self, frame: pl.LazyFrame, columns: Sequence[Column], wiring: Wiring) -> Statistics:
        """Count and sum of each target by key, one column a fold."""
        keys = self._keys(columns)
        scalars = fractions(keys, wiring)
        values: list[pl.Expr] = []
        sums: list[pl.Expr] = []
        for name in self.target:
            require_numbers([wiring.columns[name]], self.kind)
            y = pl.col(wiring.inputs[name])
            scalars |= sum_scalars(y, name)
            for part, value in {"count": y.is_not_null(), **parts(y, wiring.columns[name])}.items():
                values.append(value.cast(pl.Int64).alias(f"{part}@{name}"))
                sums += [self._in_fold(f"{part}@{name}", fold) for fold in range(self.kfold)]
        fold = self._fold(wiring).alias(FOLD)
        tables = {
            table_name(key): frame.select(fold, *key.expressions(wiring), *values).group_by(key.places).agg(sums)
            for key in keys
        }
        return Statistics(scalars, tables)

    def learn(self, collected: Collected, columns: Sequence[Column]) -> KeyedTables:
        """Put the tables in order of their keys."""
        require_whole(collected, self.kind)
        for name in self.target:
            require_summable(collected.scalars, summed(next(iter(collected.tables.values())), name), self.kind)
        return KeyedTables({name: in_order(table) for name, table in collected.tables.items()})

    def merge(self, old: KeyedTables, new: KeyedTables, columns: Sequence[Column]) -> KeyedTables:
        """Add counts and sums. Rows keep their folds only where both frames have the numbers of one source."""
        return KeyedTables({name: added(table, new.by_key[name]) for name, table in old.by_key.items()})

    def transform(
        self, frame: pl.LazyFrame, columns: Sequence[Column], wiring: Wiring, state: KeyedTables
    ) -> pl.LazyFrame:
        """Look up the values of all folds, then choose by the row's own."""
        fold = f"{next(iter(wiring.outputs.values()))}!fold"
        frame = frame.with_columns(self._fold(wiring).alias(fold))
        keys = self._keys(columns)
        made = []
        for key, names in zip(keys, self._names(keys), strict=True):
            means = {target: self._mean(target, key, state) for target in self.target}
            table = encoded(state.of(key), means, kfold=self.kfold, p_smooth=self.p_smooth)
            frame, values = looked_up(frame, key, wiring, table, means, kfold=self.kfold, fold=fold)
            made += [value.alias(wiring.outputs[name]) for value, name in zip(values, names, strict=True)]
        if not self.drop_folds:
            made.append(pl.col(fold).cast(pl.Int64).alias(wiring.outputs[FOLD]))
        return frame.with_columns(made)

    def onnx(
        self, graph: GraphBuilder, inputs: Mapping[str, Value], columns: Sequence[Column], state: KeyedTables
    ) -> dict[str, Value]:
        """Statistics of all training rows: a row that is served is a new one."""
        made = {}
        keys = self._keys(columns)
        row = None
        for key, names in zip(keys, self._names(keys), strict=True):
            table = self._encoded(key, state)
            row = row_node(graph, [inputs[name] for name in key.names], table)
            for target, name in zip(self.target, names, strict=True):
                values = table[f"{FULL}@{target}"].to_list()
                made[name] = take_node(graph, row, values, self._mean(target, key, state), "float64")
        if not self.drop_folds and row is not None:
            nothing = graph.constant(-(2**63), "int64")
            never = graph.op("Less", row, graph.constant(0, "int64"), dtype="bool")
            made[FOLD] = graph.op("Where", never, row, nothing, dtype="int64")
        return made

    def nvtabular(self, columns: Sequence[Column]) -> Any:
        """`nvtabular.ops.TargetEncoding`; groups are written in its selector."""
        target = list(self.target) if len(self.target) > 1 else self.target[0]
        return nvtabular_ops().TargetEncoding(
            target,
            target_mean=self.target_mean,
            kfold=self.kfold,
            fold_seed=self.fold_seed,
            p_smooth=self.p_smooth,
            out_col=_plain(self.out_col),
            out_dtype=self.out_dtype,
            name_sep=self.name_sep,
            drop_folds=self.drop_folds,
        )

    def _keys(self, columns: Sequence[Column]) -> list[Key]:
        return keys_of(columns, self.groups, self.target)

    def _names(self, keys: Sequence[Key]) -> list[tuple[str, ...]]:
        """Names of the outputs of each key, one a target."""
        if self.out_col is None:
            return [tuple(self._name(key, target) for target in self.target) for key in keys]
        every = (self.out_col,) if isinstance(self.out_col, str) else self.out_col
        given = [(one,) if isinstance(one, str) else one for one in every]
        if len(given) != len(keys) or any(len(names) != len(self.target) for names in given):
            raise UserError(
                f"out_col must name {len(keys)} x {len(self.target)} outputs, one for each key and target",
                where=f"operator {self.kind}",
                cure="give a list with a name (with several targets, a list of names) for each key",
            )
        return given

    def _name(self, key: Key, target: str) -> str:
        return f"TE_{key.label(self.name_sep)}_{'target' if target == TARGET else target}"

    def _fold(self, wiring: Wiring) -> pl.Expr:
        """Number of a training row's fold; null for other rows."""
        if not self.numbered:
            return pl.lit(None, pl.Int32)
        if self.fold_seed is None:
            return (pl.col(wiring.training).cast(pl.UInt64) % self.kfold).cast(pl.Int32)
        return (mix64(wiring.training, self.fold_seed) % pl.lit(self.kfold, pl.UInt64)).cast(pl.Int32)

    def _in_fold(self, name: str, fold: int) -> pl.Expr:
        """The sum of a column over the rows of one fold."""
        x = pl.col(name) if self.kfold == 1 else pl.when(pl.col(FOLD) == fold).then(pl.col(name))
        return x.sum().alias(f"{name}@{fold}")

    def _mean(self, target: str, key: Key, state: KeyedTables) -> float:
        """What a target is smoothed with; the sums of any key's table are those of all rows."""
        if isinstance(self.target_mean, dict):
            if target not in self.target_mean:
                raise UserError("target_mean has no number for this target", where=f"column {target}")
            return self.target_mean[target]
        return mean(state.of(key), target, self.kfold) if self.target_mean is None else self.target_mean

    def _encoded(self, key: Key, state: KeyedTables) -> pl.DataFrame:
        means = {target: self._mean(target, key, state) for target in self.target}
        return encoded(state.of(key), means, kfold=self.kfold, p_smooth=self.p_smooth)


def _plain(names: Any) -> Any:
    return [_plain(one) for one in names] if isinstance(names, tuple) else names
