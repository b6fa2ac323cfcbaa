"""What every operator that learns must hold when it goes on learning: fit(A).update(B) is fit(A + B).

Up to the order of ids, and up to the error that the operator states (`merge_error`).
"""

from __future__ import annotations

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
from etl.fitted import Fitted
from etl.ops import Operator
from etl.ops.vocabularies import Vocabularies
from etl.workflow import Workflow
from tests.contract.frames import Frames

_INHERITED = [HealthCheck.too_slow, HealthCheck.differing_executors]


class UpdateContract:
    """Laws of `Fitted.update`; those who inherit bring the operator, its workflow and its rows."""

    operator: ClassVar[Operator[Any]]
    frames: ClassVar[Frames]
    saved: ClassVar[bool]
    merge_error: ClassVar[float]
    """Largest difference of a number to what a fit of all rows gives, beside its size."""
    workflow: Workflow
    fitted: Fitted
    learns: bool
    names: tuple[str, ...]

    @property
    def all_rows(self) -> pl.DataFrame:
        """Rows that teach something in every column, numbered, so that parts of them know their numbers."""
        return pl.concat([self.frames.repeated(1), self.frames.train]).with_row_index(ROW)

    # -- the law

    @given(cut=st.integers(1, 8), order=st.permutations(range(1, 9)))
    @settings(max_examples=25, deadline=None, suppress_health_check=_INHERITED)
    def test_fit_then_update_is_a_fit_of_all(self, cut, order):
        if not self.learns:
            return
        rows = self.all_rows[[0, *(number for number in order if number < self.all_rows.height)]]
        old = self.workflow.fit(rows[:cut])
        self.require_same(old.update(rows[cut:]), self.workflow.fit(rows), old)

    def test_three_updates(self):
        if not self.learns:
            return
        rows = self.all_rows
        fitted = first = self.workflow.fit(rows[:2])
        for start in (2, 4, 6):
            fitted = fitted.update(rows[start : start + 2 if start < 6 else None])
        self.require_same(fitted, self.workflow.fit(rows), first)
        assert [one.rows for one in fitted.seen] == [2, 2, 2, rows.height - 6]

    def test_every_row_twice(self):
        if self.learns:
            rows = self.all_rows
            again = rows.with_columns(pl.col(ROW) + rows.height)
            self.require_same(self.workflow.fit(rows).update(again), self.workflow.fit(pl.concat([rows, again])))

    def test_odd_new_rows_are_refused_or_learned_as_in_a_fit_of_all(self):
        if not self.learns:
            return
        rows = self.all_rows
        odd = self.frames.odd.with_row_index(ROW, offset=rows.height)
        old = self.workflow.fit(rows)
        try:
            whole = self.workflow.fit(pl.concat([rows, odd]))
        except UserError:
            with pytest.raises(UserError, match="column") as caught:
                old.update(odd)
            assert caught.value.cure
        else:
            self.require_same(old.update(odd), whole, old)

    # -- what it does not depend on

    @pytest.mark.parametrize("seed", range(3))
    def test_the_order_of_new_rows_changes_nothing(self, seed):
        if not self.learns:
            return
        rows = self.all_rows
        old = self.workflow.fit(rows[:3])
        shuffled = rows[3:].sample(fraction=1.0, shuffle=True, seed=seed)
        one, other = old.update(rows[3:]), old.update(shuffled)
        assert states(one) == states(other)
        assert one.seen == other.seen

    def test_an_update_leaves_what_was_fitted(self):
        before = states(self.fitted)
        self.fitted.update(self.all_rows)
        assert states(self.fitted) == before

    def test_saving_between_changes_nothing(self, tmp_path: Path):
        if not self.saved:
            return
        rows = self.all_rows
        old = self.workflow.fit(rows[:3])
        old.save(tmp_path / "old")
        Fitted.load(tmp_path / "old").update(rows[3:]).save(tmp_path / "loaded")
        old.update(rows[3:]).save(tmp_path / "kept")
        assert hash_tree(tmp_path / "loaded") == hash_tree(tmp_path / "kept")

    # -- nothing new

    def test_no_new_rows_change_nothing(self):
        updated = self.fitted.update(self.all_rows[:0])
        assert states(updated) == states(self.fitted)
        assert [one.rows for one in updated.seen[len(self.fitted.seen) :]] == [0] * self.learns

    def test_a_column_may_hold_nothing_in_the_new_rows(self):
        if not self.learns:
            return
        rows = self.all_rows
        for name in (name for name in self.names if name not in self.frames.full):
            hollow = rows[4:].with_columns(pl.lit(None, rows.schema[name]).alias(name))
            old = self.workflow.fit(rows[:4])
            self.require_same(old.update(hollow), self.workflow.fit(pl.concat([rows[:4], hollow])), old)

    # -- how two fits are compared

    def require_same(self, updated: Fitted, whole: Fitted, old: Fitted | None = None) -> None:
        """Check that two fits give the same, up to ids and the stated error; and that old ids are kept."""
        frame = pl.concat([self.frames.train, self.frames.odd])
        made, expected = (fitted.transform(frame).collect() for fitted in (updated, whole))
        assert made.columns == expected.columns
        # A full vocabulary lets no new value in, so it is not that of a fit of all rows.
        limited = bool(getattr(self.operator, "max_size", 0))
        for name in made.columns:
            ids = Tag.CATEGORICAL in updated.schema[name].tags
            if ids and old is not None:
                require_kept(old, updated, frame, name)
            if not (ids and limited):
                assert made.schema[name] == expected.schema[name]
                _require_equal(_flat(made[name]), _flat(expected[name]), ids=ids, error=self.merge_error)
        if not limited:
            assert _counts(updated) == _counts(whole)


def states(fitted: Fitted) -> list[Any]:
    """Everything that was learned, as plain values."""
    return [
        (step.state.to_json(), {key: table.to_dict(as_series=False) for key, table in step.state.tables().items()})
        for step in fitted.steps
    ]


def require_kept(old: Fitted, updated: Fitted, frame: pl.DataFrame, name: str) -> None:
    """An id is what it was, or one that there was not."""
    before, now = (_flat(fitted.transform(frame, [name]).collect()[name]) for fitted in (old, updated))
    cardinality = old.schema[name].cardinality
    assert cardinality is not None
    assert ((before == now) | (now >= cardinality)).all()
    wider = updated.schema[name].cardinality
    assert wider is not None
    assert wider >= cardinality


def _require_equal(made: pl.Series, expected: pl.Series, *, ids: bool, error: float) -> None:
    if ids:
        pairs = pl.DataFrame({"made": made, "expected": expected}).unique()
        assert pairs["made"].n_unique() == pairs["expected"].n_unique() == pairs.height
    elif made.dtype.is_float():
        assert made.is_null().equals(expected.is_null())
        for one, other in zip(made.drop_nulls(), expected.drop_nulls(), strict=True):
            assert one == pytest.approx(other, rel=error, abs=error)
    else:
        assert made.equals(expected)


def _flat(values: pl.Series) -> pl.Series:
    return values.explode(empty_as_null=False) if values.dtype == pl.List else values


def _counts(fitted: Fitted) -> list[dict[str, dict[Any, int]]]:
    """How often each value was seen, with an id or without."""
    return [
        {
            name: {tuple(row[:-1]): row[-1] for part in (known, step.state[name].rare) for row in part.iter_rows()}
            for name, known in step.state.by_column.items()
        }
        for step in fitted.steps
        if isinstance(step.state, Vocabularies)
    ]
