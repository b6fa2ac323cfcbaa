"""What every operator must hold. A new operator gets all of it by one line:

class TestLogOp(OperatorContract, operator=LogOp(), takes=NUMBERS): ...

An operator that needs rows of its own (a user and a time that are never null) brings them with `frames`; one whose
updates are not exact states the error with `merge_error`. The laws of updates stand in `tests/contract/updates.py`.
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
from etl.graph import select
from etl.onnx import offsets_name
from etl.ops import Operator
from etl.ops.base import Rows, Serving, State
from etl.serving import for_serving
from etl.types import dtype_of, polars_type
from etl.workflow import Workflow
from tests.contract.frames import FRAMES, Frames
from tests.contract.serving import Served, assert_same
from tests.contract.updates import UpdateContract, states

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


class OperatorContract(UpdateContract):
    """Laws of one operator, over every type of column that it takes."""

    operator: ClassVar[Operator[Any]]
    takes: ClassVar[tuple[str | list[str], ...]]
    saved: ClassVar[bool] = True
    """Whether it can be saved and exported."""
    frames: ClassVar[Frames]

    def __init_subclass__(
        cls,
        *,
        operator: Operator[Any] | None = None,
        takes: tuple[str | list[str], ...] = (),
        saved: bool = True,
        frames: Frames = FRAMES,
        merge_error: float = 1e-6,
    ) -> None:
        if operator is not None:
            cls.operator, cls.takes, cls.saved, cls.frames = operator, takes, saved, frames
            cls.merge_error = merge_error
            cls._fitted = cls._served = None

    @property
    def train(self) -> pl.DataFrame:
        return self.frames.train

    @property
    def odd(self) -> pl.DataFrame:
        return self.frames.odd

    @property
    def names(self) -> tuple[str, ...]:
        """The columns that it is applied to."""
        return self.workflow.inputs

    @property
    def by_row(self) -> bool:
        """Each row's outputs are made of that row alone."""
        operator = self.operator
        return operator.rows is Rows.KEPT and not operator.windowed

    @property
    def served_by_row(self) -> bool:
        """What drops rows lets every row pass there; see `etl.serving`."""
        operator = self.operator
        return self.saved and operator.serving is Serving.GRAPH and operator.rows is Rows.KEPT

    _fitted: ClassVar[Fitted | None]
    _served: ClassVar[Served | None]

    @property
    def workflow(self) -> Workflow:
        node = select(list(self.takes))
        return Workflow(node >> self.operator, tags={name: {Tag.USER} for name in node.inputs})

    @property
    def fitted(self) -> Fitted:
        if type(self)._fitted is None:
            type(self)._fitted = self.workflow.fit(self.train)
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
        before = self.train.clone()
        self.fitted.transform(self.train).collect()
        assert self.train.equals(before)
        if self.operator.rows is Rows.REGROUPED:
            with pytest.raises(UserError, match=self.operator.kind):
                self.fitted.transform(self.train.with_row_index(ROW), keep=[ROW])
            return
        kept = self.fitted.transform(self.train.with_row_index(ROW), keep=[ROW]).collect()
        assert kept.columns == [ROW, *self.fitted.schema.names]
        rows = kept[ROW].to_list()
        assert rows == sorted(set(rows))
        assert self.operator.rows is Rows.DROPPED or len(rows) == self.train.height

    def test_a_transform_teaches_nothing(self, tmp_path):
        if self.saved:
            fitted = self.workflow.fit(self.train)
            fitted.save(tmp_path / "before")
            fitted.transform(self.odd).collect()
            fitted.save(tmp_path / "after")
            assert hash_tree(tmp_path / "before") == hash_tree(tmp_path / "after")

    # -- what it declares

    @pytest.mark.parametrize("frame", ["train", "odd", "one row", "empty"])
    def test_declared_schema_is_what_comes_out(self, frame):
        self.require_declared(self.fitted, self.frames.named(frame))

    @given(data=st.data())
    @settings(max_examples=20, deadline=None, suppress_health_check=_INHERITED)
    def test_declared_schema_is_what_comes_out_of_any_rows(self, data):
        # Other columns may be read by a fit alone, and are there for those that look for them.
        names = [name for name in self.train.columns if name in self.fitted.input_schema]
        self.require_declared(self.fitted, data.draw(self.frames.rows(names)))

    def require_declared(self, fitted: Fitted, frame: pl.DataFrame) -> None:
        """Check what comes out of a frame against the schema that the workflow declares."""
        made = fitted.transform(frame).collect()
        assert made.columns == list(fitted.schema.names)
        assert self.operator.rows is not Rows.KEPT or made.height == frame.height
        for column in fitted.schema:
            assert made[column.name].dtype == polars_type(column)
            assert column.nullable or made[column.name].null_count() == 0
            values = made[column.name].explode(empty_as_null=False) if column.is_list else made[column.name]
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
            assert column.dtype == dtype_of(self.train.schema[column.name], column.name)
            assert column.is_list == isinstance(self.train.schema[column.name], pl.List)

    # -- what it learns

    @pytest.mark.parametrize("seed", range(5))
    def test_the_order_of_rows_changes_nothing(self, seed):
        numbered = self.train.with_row_index(ROW)
        shuffled = self.workflow.fit(numbered.sample(fraction=1.0, shuffle=True, seed=seed))
        assert states(shuffled) == states(self.fitted)

    def test_parts_give_the_same_fit_as_the_whole(self):
        parts = pl.concat([self.train[:3].lazy(), self.train[3:].lazy()])
        assert states(self.workflow.fit(parts)) == states(self.fitted)

    def test_one_row_is_enough(self):
        full = self.frames.repeated(1)
        fitted = self.workflow.fit(full)
        assert fitted.transform(full).collect().height <= 1

    def test_a_constant_column_gives_finite_values(self):
        full = self.frames.repeated(4)
        made = self.workflow.fit(full).transform(full).collect()
        for values in made:
            assert not self.by_row or values.n_unique() == 1
            assert not values.dtype.is_float() or values.drop_nulls().is_finite().all()

    def test_a_column_without_values_is_named(self):
        for name in self.names:
            hollow = self.train.with_columns(pl.lit(None, self.train.schema[name]).alias(name))
            if self.learns:
                with pytest.raises(UserError, match=f"column {name}") as caught:
                    self.workflow.fit(hollow)
                assert caught.value.cure
            else:
                made = self.workflow.fit(hollow).transform(hollow).collect()
                assert self.operator.rows is not Rows.KEPT or made.height == self.train.height

    def test_odd_rows_are_learned_from_or_refused_by_name(self):
        """Huge integers, infinities, texts that look alike: in the rows of a fit too."""
        rows = pl.concat([self.train, self.odd])
        try:
            fitted = self.workflow.fit(rows)
        except UserError:
            with pytest.raises(UserError, match="column") as caught:
                self.workflow.fit(rows)
            assert caught.value.cure
            return
        self.require_declared(fitted, rows)
        if self.served_by_row:
            assert_same(fitted, Served(fitted), rows)

    def test_no_rows_are_named(self):
        if self.learns:
            with pytest.raises(UserError, match="no rows"):
                self.workflow.fit(self.train[:0])
        else:
            assert (
                self.workflow.fit(self.train[:0])
                .transform(self.train)
                .collect()
                .equals(self.fitted.transform(self.train).collect())
            )

    # -- what it computes

    def test_a_row_alone_gives_what_it_gives_among_others(self):
        if not self.by_row:
            return
        both = pl.concat([self.train, self.odd])
        alone = pl.concat([self.fitted.transform(both[row]).collect() for row in range(both.height)])
        assert alone.equals(self.fitted.transform(both).collect())

    def test_all_null_rows(self):
        schema = self.frames.train.select(self.fitted.input_schema.names).schema
        hollow = pl.DataFrame({name: [None, None] for name in schema}, schema=schema)
        made = self.fitted.transform(hollow).collect()
        assert not self.by_row or all(values.n_unique() == 1 for values in made)
        untyped = pl.DataFrame({name: [None, None] for name in schema})
        assert self.fitted.transform(untyped).collect().equals(made)
        if self.served_by_row:
            assert_same(self.fitted, self.served, hollow)

    def test_a_gpu_engine_gets_plans_without_python_and_gives_the_same(self):
        engine = GpuLikeEngine()
        fitted = self.workflow.fit(self.train, engine)
        assert states(fitted) == states(self.fitted)
        frame = pl.concat([self.train, self.odd]).with_row_index(ROW).lazy()
        keep = [] if self.operator.rows is Rows.REGROUPED else [ROW]
        made = engine.collect([fitted.transform(frame, keep=keep, engine=engine)])[0]
        whole = self.fitted.transform(frame, keep=keep).collect()
        order = keep or [name for name, dtype in whole.schema.items() if not isinstance(dtype, pl.List)]
        assert made.sort(order).equals(whole.sort(order))

    # -- what is served and saved

    @pytest.mark.parametrize("frame", ["train", "odd", "one odd row", "empty"])
    def test_serving_equals_transforming(self, frame):
        if self.served_by_row:
            assert_same(self.fitted, self.served, self.frames.named(frame))

    def test_serving_equals_transforming_after_an_update(self):
        if self.served_by_row and self.learns:
            rows = self.all_rows
            updated = self.workflow.fit(rows[:3]).update(rows[3:])
            assert_same(updated, Served(updated), pl.concat([self.train, self.odd]))

    def test_what_cannot_be_served_says_so_by_name(self):
        if self.operator.serving is Serving.NEVER:
            with pytest.raises(UserError, match=self.operator.kind):
                Served(self.fitted).session  # noqa: B018

    def test_what_drops_rows_lets_every_row_pass_in_serving(self):
        if self.operator.rows is Rows.DROPPED and self.saved:
            made = Served(for_serving(self.fitted)).run(self.train)
            for column in self.fitted.schema:
                where, rows = (offsets_name, self.train.height + 1) if column.is_list else (str, self.train.height)
                assert made[where(column.name)].shape == (rows,)

    @given(data=st.data())
    @settings(max_examples=60, deadline=None, suppress_health_check=_INHERITED)
    def test_serving_equals_transforming_on_any_rows(self, data):
        if self.served_by_row:
            assert_same(self.fitted, self.served, data.draw(self.frames.rows(self.fitted.input_schema.names)))

    def test_saved_and_loaded_is_the_same(self, tmp_path):
        if not self.saved:
            with pytest.raises(UserError, match=type(self.operator).__name__):
                self.fitted.save(tmp_path / "workflow")
            return
        self.fitted.save(tmp_path / "workflow")
        loaded = Fitted.load(tmp_path / "workflow")
        assert loaded.schema == self.fitted.schema
        assert loaded.input_schema == self.fitted.input_schema
        assert states(loaded) == states(self.fitted)
        both = pl.concat([self.train, self.odd])
        assert loaded.transform(both).collect().equals(self.fitted.transform(both).collect())
        loaded.save(tmp_path / "again")
        assert hash_tree(tmp_path / "again") == hash_tree(tmp_path / "workflow")
