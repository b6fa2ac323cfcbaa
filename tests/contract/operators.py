"""What every operator must hold. A new operator gets all of it by one line:

class TestLogOp(OperatorContract, operator=LogOp(), takes=NUMBERS): ...
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.dataset import ROW
from core.errors import UserError
from core.files import hash_tree
from core.schema import Tag
from etl.engines.base import Engine, Sunk
from etl.fitted import Fitted
from etl.ops import Operator
from etl.ops.base import State
from etl.types import POLARS, dtype_of
from etl.workflow import Workflow
from tests.contract.frames import ODD, TRAIN, rows
from tests.contract.serving import Served, assert_same

_INHERITED = [HealthCheck.too_slow, HealthCheck.differing_executors]
"""One test runs for many operators: each is a law of its own, so no example of one tells of another."""


class GpuLikeEngine(Engine):
    """Holds plans to a GPU engine's terms, on the CPU: no Python in a plan, and the order of rows is lost."""

    name = "gpu-like"
    ordered = False
    ticks = False

    def collect(self, frames: Sequence[pl.LazyFrame]) -> list[pl.DataFrame]:
        for frame in frames:
            assert "PYTHON" not in frame.explain().upper()
        return [frame.collect().sample(fraction=1.0, shuffle=True, seed=7) for frame in frames]

    def sink(self, frame: pl.LazyFrame, directory: Path, *, row_group_size: int = 0) -> Sunk:
        raise AssertionError("operators write no files")


class OperatorContract:
    """Laws of one operator, over every type of column that it takes."""

    operator: ClassVar[Operator[Any]]
    takes: ClassVar[tuple[str, ...]]
    saved: ClassVar[bool] = True
    """Whether it can be saved and exported."""

    def __init_subclass__(
        cls, *, operator: Operator[Any] | None = None, takes: tuple[str, ...] = (), saved: bool = True
    ) -> None:
        if operator is not None:
            cls.operator, cls.takes, cls.saved = operator, takes, saved
            cls._fitted = cls._served = None

    _fitted: ClassVar[Fitted | None]
    _served: ClassVar[Served | None]

    @property
    def workflow(self) -> Workflow:
        return Workflow(list(self.takes) >> self.operator, tags={name: {Tag.USER} for name in self.takes})

    @property
    def fitted(self) -> Fitted:
        if type(self)._fitted is None:
            type(self)._fitted = self.workflow.fit(TRAIN)
        return type(self)._fitted

    @property
    def served(self) -> Served:
        if type(self)._served is None:
            type(self)._served = Served(self.fitted)
        return type(self)._served

    @property
    def learns(self) -> bool:
        return self.operator.state_type is not State

    # -- what it leaves alone

    def test_input_and_other_columns_stay_untouched(self):
        before = TRAIN.clone()
        kept = self.fitted.transform(TRAIN.with_row_index(ROW), keep=[ROW]).collect()
        assert TRAIN.equals(before)
        assert kept.columns == [ROW, *self.fitted.schema.names]
        assert kept[ROW].to_list() == list(range(TRAIN.height))

    def test_a_transform_teaches_nothing(self, tmp_path):
        if self.saved:
            fitted = self.workflow.fit(TRAIN)
            fitted.save(tmp_path / "before")
            fitted.transform(ODD).collect()
            fitted.save(tmp_path / "after")
            assert hash_tree(tmp_path / "before") == hash_tree(tmp_path / "after")

    # -- what it declares

    @pytest.mark.parametrize("frame", [TRAIN, ODD, TRAIN[:1], TRAIN[:0]], ids=["train", "odd", "one row", "empty"])
    def test_declared_schema_is_what_comes_out(self, frame):
        made = self.fitted.transform(frame).collect()
        assert made.columns == list(self.fitted.schema.names)
        assert made.height == frame.height
        for column in self.fitted.schema:
            values = made[column.name]
            assert values.dtype == POLARS[column.dtype]
            assert column.nullable or values.null_count() == 0
            assert not values.dtype.is_float() or not values.is_nan().any(), "null is null, never NaN"
            if Tag.CATEGORICAL in column.tags:
                assert column.cardinality is not None
                assert values.is_between(0, column.cardinality - 1).all()
                assert column.embedding_dim is not None

    def test_outputs_keep_the_side_and_gain_a_meaning(self):
        for column in self.fitted.schema:
            assert Tag.USER in column.tags
            meanings = column.tags & {Tag.CATEGORICAL, Tag.CONTINUOUS}
            assert len(meanings) <= 1

    def test_inputs_are_declared_as_they_came(self):
        for column in self.fitted.input_schema:
            assert column.dtype == dtype_of(TRAIN.schema[column.name], column.name)

    # -- what it learns

    @pytest.mark.parametrize("seed", range(5))
    def test_the_order_of_rows_changes_nothing(self, seed):
        shuffled = self.workflow.fit(TRAIN.sample(fraction=1.0, shuffle=True, seed=seed))
        assert _states(shuffled) == _states(self.fitted)

    def test_parts_give_the_same_fit_as_the_whole(self):
        parts = pl.concat([TRAIN[:3].lazy(), TRAIN[3:].lazy()])
        assert _states(self.workflow.fit(parts)) == _states(self.fitted)

    def test_one_row_is_enough(self):
        full = pl.DataFrame({name: [TRAIN[name].drop_nulls().first()] for name in self.takes})
        fitted = self.workflow.fit(full)
        assert fitted.transform(full).collect().height == 1

    def test_a_constant_column_gives_finite_values(self):
        full = pl.DataFrame({name: [TRAIN[name].drop_nulls().first()] * 4 for name in self.takes})
        made = self.workflow.fit(full).transform(full).collect()
        for values in made:
            assert values.n_unique() == 1
            assert not values.dtype.is_float() or values.is_finite().all()

    def test_a_column_without_values_is_named(self):
        for name in self.takes:
            hollow = TRAIN.with_columns(pl.lit(None, TRAIN.schema[name]).alias(name))
            if self.learns:
                with pytest.raises(UserError, match=f"column {name}") as caught:
                    self.workflow.fit(hollow)
                assert caught.value.cure
            else:
                assert self.workflow.fit(hollow).transform(hollow).collect().height == TRAIN.height

    def test_no_rows_are_named(self):
        if self.learns:
            with pytest.raises(UserError, match="no rows"):
                self.workflow.fit(TRAIN[:0])
        else:
            assert self.workflow.fit(TRAIN[:0]).transform(TRAIN).collect().height == TRAIN.height

    # -- what it computes

    def test_a_row_alone_gives_what_it_gives_among_others(self):
        both = pl.concat([TRAIN, ODD])
        alone = pl.concat([self.fitted.transform(both[row]).collect() for row in range(both.height)])
        assert alone.equals(self.fitted.transform(both).collect())

    def test_all_null_rows(self):
        hollow = pl.DataFrame({name: [None, None] for name in self.takes}, schema=_types(self.takes))
        made = self.fitted.transform(hollow).collect()
        assert all(values.n_unique() == 1 for values in made)
        untyped = pl.DataFrame({name: [None, None] for name in self.takes})
        assert self.fitted.transform(untyped).collect().equals(made)
        if self.saved:
            assert_same(self.fitted, self.served, hollow)

    def test_a_gpu_engine_gets_plans_without_python_and_gives_the_same(self):
        engine = GpuLikeEngine()
        fitted = self.workflow.fit(TRAIN, engine)
        assert _states(fitted) == _states(self.fitted)
        frame = pl.concat([TRAIN, ODD]).with_row_index(ROW).lazy()
        made = engine.collect([fitted.transform(frame, keep=[ROW], engine=engine)])[0]
        assert made.sort(ROW).drop(ROW).equals(self.fitted.transform(frame).collect())

    # -- what is served and saved

    @pytest.mark.parametrize("frame", [TRAIN, ODD, ODD[:1]], ids=["train", "odd", "one row"])
    def test_serving_equals_transforming(self, frame):
        if self.saved:
            assert_same(self.fitted, self.served, frame)

    @given(data=st.data())
    @settings(max_examples=60, deadline=None, suppress_health_check=_INHERITED)
    def test_serving_equals_transforming_on_any_rows(self, data):
        if self.saved:
            assert_same(self.fitted, self.served, data.draw(rows(self.takes)))

    def test_saved_and_loaded_is_the_same(self, tmp_path):
        if not self.saved:
            with pytest.raises(UserError, match=type(self.operator).__name__):
                self.fitted.save(tmp_path / "workflow")
            return
        self.fitted.save(tmp_path / "workflow")
        loaded = Fitted.load(tmp_path / "workflow")
        assert loaded.schema == self.fitted.schema
        assert loaded.input_schema == self.fitted.input_schema
        assert _states(loaded) == _states(self.fitted)
        both = pl.concat([TRAIN, ODD])
        assert loaded.transform(both).collect().equals(self.fitted.transform(both).collect())
        loaded.save(tmp_path / "again")
        assert hash_tree(tmp_path / "again") == hash_tree(tmp_path / "workflow")


def _types(names: Sequence[str]) -> dict[str, pl.DataType]:
    return {name: TRAIN.schema[name] for name in names}


def _states(fitted: Fitted) -> list[Any]:
    """Everything that was learned, as plain values."""
    return [
        (step.state.to_json(), {key: table.to_dict(as_series=False) for key, table in step.state.tables().items()})
        for step in fitted.steps
    ]
