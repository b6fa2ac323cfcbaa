"""target_encoding on rows whose answer is worked out by hand or by a plain loop over the rows."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Any

import polars as pl
import pytest
from pydantic import ValidationError

from core.dataset import ROW, TARGET
from core.errors import UserError
from core.schema import Tag
from etl import Fitted, Workflow
from etl.ops import JoinGroupby, LogOp, TargetEncoding
from etl.ops.target_encoding import FOLD

ROWS = pl.DataFrame(
    {
        "city": ["Oslo", "Oslo", "Rome", "Oslo", "Rome", None],
        "click": [1, 0, 1, 1, 0, 1],
    }
)
MEAN = 4 / 6


def fit(operator: TargetEncoding, frame: pl.DataFrame = ROWS, columns: Any = ("city",)) -> Fitted:
    return Workflow(list(columns) >> operator).fit(frame)


def values(frame: pl.LazyFrame, name: str = "TE_city_click") -> list[float]:
    return frame.collect()[name].to_list()


def near(*numbers: float) -> Any:
    return pytest.approx(list(numbers), rel=1e-6)


class TestNewRows:
    def test_all_rows_of_the_key_count(self):
        fitted = fit(TargetEncoding("click", p_smooth=2))
        rows = pl.DataFrame({"city": ["Oslo", "Rome", None, "", "Lima"]})
        oslo, rome, null = (2 + 2 * MEAN) / 5, (1 + 2 * MEAN) / 4, (1 + 2 * MEAN) / 3
        assert values(fitted.transform(rows)) == near(oslo, rome, null, null, MEAN)

    def test_the_defaults_are_those_of_nvtabular(self):
        operator = TargetEncoding("click")
        assert (operator.kfold, operator.fold_seed, operator.p_smooth) == (3, 42, 20)
        assert values(fit(operator).transform(pl.DataFrame({"city": ["Oslo"]}))) == near((2 + 20 * MEAN) / 23)

    def test_a_given_mean_stands_for_that_of_the_rows(self):
        fitted = fit(TargetEncoding("click", target_mean=0.5, p_smooth=1))
        assert values(fitted.transform(pl.DataFrame({"city": ["Oslo", "Lima"]}))) == near(2.5 / 4, 0.5)

    def test_without_smoothing(self):
        fitted = fit(TargetEncoding("click", p_smooth=0))
        assert values(fitted.transform(pl.DataFrame({"city": ["Oslo", "Lima"]}))) == near(2 / 3, MEAN)

    def test_rows_without_a_target_do_not_count(self):
        frame = pl.DataFrame({"city": ["Oslo", "Oslo", "Rome"], "click": [1.0, None, math.nan]})
        fitted = fit(TargetEncoding("click", p_smooth=1, target_mean=0.0), frame)
        assert values(fitted.transform(pl.DataFrame({"city": ["Oslo", "Rome"]}))) == near(0.5, 0.0)


class TestTrainingRows:
    def test_leave_out_their_own_fold(self):
        # Rows 0, 2, 4 are fold 0, rows 1, 3, 5 fold 1.
        operator = TargetEncoding("click", kfold=2, fold_seed=None, p_smooth=1)
        _, made = Workflow(["city"] >> operator).fit_transform(ROWS)
        oslo = [(0 + 1 + MEAN) / 3, (1 + MEAN) / 2]
        rome = [MEAN / 1, (1 + 0 + MEAN) / 3]
        assert values(made) == near(oslo[0], oslo[1], rome[0], oslo[1], rome[0], MEAN)

    def test_are_those_of_a_plain_loop(self):
        frame = many(3_000)
        operator = TargetEncoding("y", kfold=5, p_smooth=3, drop_folds=False)
        fitted, made = Workflow(["key"] >> operator).fit_transform(frame)
        folds = values(made, FOLD)
        assert {folds.count(fold) for fold in range(5)} < set(range(500, 700))
        assert values(made, "TE_key_y") == pytest.approx(loop(frame, folds, 3), rel=1e-6)
        assert values(fitted.transform(frame), FOLD) == [None] * frame.height

    def test_a_key_of_one_row_tells_nothing_of_its_target(self):
        frame = pl.DataFrame({"id": range(100), "y": [n % 2 for n in range(100)]})
        fitted, made = Workflow(["id"] >> TargetEncoding("y")).fit_transform(frame)
        assert set(values(made, "TE_id_y")) == {0.5}
        assert len(set(values(fitted.transform(frame), "TE_id_y"))) == 2, "new rows get what was learned"

    def test_one_fold_is_no_fold(self):
        fitted, made = Workflow(["city"] >> TargetEncoding("click", kfold=1)).fit_transform(ROWS)
        assert made.collect().equals(fitted.transform(ROWS).collect())
        assert not fitted.steps[0].operator.numbered, "so the leak guard knows that it leaks"

    def test_the_seed_chooses_the_folds(self):
        seeds = [fold_of(TargetEncoding("y", fold_seed=seed, drop_folds=False)) for seed in (1, 2, 1)]
        assert seeds[0] == seeds[2] != seeds[1]

    def test_folds_go_by_the_number_of_the_row(self):
        frame = many(500).with_row_index(ROW)
        shuffled = frame.sample(fraction=1.0, shuffle=True, seed=3)
        made = [Workflow(["key"] >> TargetEncoding("y")).fit_transform(rows)[1] for rows in (frame, shuffled)]
        assert values(made[0], "TE_key_y") == made[1].collect()[shuffled[ROW].arg_sort()]["TE_key_y"].to_list()


def fold_of(operator: TargetEncoding) -> list[int]:
    return values(Workflow(["key"] >> operator).fit_transform(many(100))[1], FOLD)


def many(rows: int) -> pl.DataFrame:
    keys = [f"k{(n * n + 7 * n) % 41 % (n % 13 + 1)}" for n in range(rows)]
    return pl.DataFrame({"key": keys, "y": [math.sin(n) * 10 ** (n % 4) + 0.1 for n in range(rows)]})


def loop(frame: pl.DataFrame, folds: list[int], smooth: float) -> list[float]:
    mean = math.fsum(frame["y"]) / frame.height
    groups: dict[str, list[tuple[int, float]]] = defaultdict(list)
    for key, fold, y in zip(frame["key"], folds, frame["y"], strict=True):
        groups[key].append((fold, y))
    made = []
    for key, fold in zip(frame["key"], folds, strict=True):
        others = [y for other, y in groups[key] if other != fold]
        made.append((math.fsum(others) + smooth * mean) / (len(others) + smooth))
    return made


class TestKeysAndNames:
    def test_several_columns_are_one_key(self):
        frame = pl.DataFrame({"a": ["x", "x", "y", "x"], "b": [1, 2, 1, None], "y": [1, 0, 0, 1]})
        fitted = fit(TargetEncoding("y", p_smooth=0), frame, [["a", "b"]])
        assert fitted.schema.names == ("TE_a_b_y",)
        rows = pl.DataFrame({"a": ["x", "x", "y", "y", "x"], "b": [1, 2, 1, 2, None]})
        assert values(fitted.transform(rows), "TE_a_b_y") == near(1, 0, 0, 0.5, 1)

    def test_a_column_alone_and_in_a_group(self):
        frame = pl.DataFrame({"a": ["x", "x", "y"], "b": [1, 2, 1], "y": [1, 0, 0]})
        fitted = fit(TargetEncoding("y", p_smooth=0), frame, ["a", ["a", "b"]])
        assert fitted.schema.names == ("TE_a_y", "TE_a_b_y")
        assert fitted.transform(frame).collect().rows() == [(0.5, 1.0), (0.5, 0.0), (0.0, 0.0)]

    def test_a_key_whose_name_is_that_of_a_group(self):
        frame = pl.DataFrame({"a": ["x", "x"], "b": [1, 2], "a_b": [7, 7], "y": [1, 0]})
        node = ["a_b", ["a", "b"]] >> TargetEncoding("y", p_smooth=0, out_col=["one", "two"])
        assert Workflow(node).fit(frame).transform(frame).collect().rows() == [(0.5, 1.0), (0.5, 0.0)]

    def test_several_targets_and_names(self):
        frame = ROWS.with_columns(buy=1 - pl.col("click"), b=pl.lit("c"))
        both = ["click", "buy"]
        assert fit(TargetEncoding(both), frame).schema.names == ("TE_city_click", "TE_city_buy")
        named = fit(TargetEncoding(both, out_col=[["c1", "c2"], ["b1", "b2"]]), frame, ["city", "b"])
        assert named.schema.names == ("c1", "c2", "b1", "b2")
        assert named.transform(frame).collect()["b2"].unique().to_list() == near(1 - MEAN)
        with pytest.raises(UserError, match="2 x 2 outputs"):
            fit(TargetEncoding(both, out_col=["c1", "c2"]), frame, ["city", "b"])

    def test_the_target_may_come_with_the_keys(self):
        fitted = fit(TargetEncoding("click"), columns=["city", "click"])
        assert fitted.schema.names == ("TE_city_click",)
        with pytest.raises(UserError, match="beside the target"):
            fit(TargetEncoding("click"), columns=["click"])

    def test_belongs_to_the_side_of_its_key(self):
        frame = pl.DataFrame({"u": [1, 2], "i": [1, 2], "y": [0, 1]})
        tags = {"u": {Tag.USER, Tag.USER_ID}, "i": {Tag.ITEM}}
        node = [["u"], ["i"], ["u", "i"]] >> TargetEncoding("y")
        schema = Workflow(["u"] >> TargetEncoding("y"), tags=tags).fit(frame).schema
        assert schema["TE_u_y"].tags == {Tag.USER, Tag.CONTINUOUS}
        assert Workflow(node, tags=tags).fit(frame).schema["TE_u_i_y"].tags == {Tag.CONTINUOUS}

    def test_some_of_the_columns_can_be_had_alone(self):
        frame = ROWS.with_columns(other=pl.lit(1))
        fitted = fit(TargetEncoding("click"), frame, ["city", "other"])
        alone = fitted.transform(pl.DataFrame({"city": ["Oslo"]}), columns=["TE_city_click"])
        assert values(alone) == values(fitted.transform(frame))[:1]

    def test_the_target_of_a_run_is_the_default(self):
        frame = ROWS.rename({"click": TARGET})
        fitted = fit(TargetEncoding(p_smooth=0), frame)
        assert values(fitted.transform(frame.drop(TARGET)), "TE_city_target")[0] == pytest.approx(2 / 3)

    def test_beside_join_groupby_on_one_column(self, tmp_path):
        node = (["city"] >> TargetEncoding("click", p_smooth=0)) + (["city"] >> JoinGroupby("click", ["mean"]))
        Workflow(node).fit(ROWS).save(tmp_path / "w")
        made = Fitted.load(tmp_path / "w").transform(ROWS).collect()
        assert made["TE_city_click"].to_list() == made["city_click_mean"].to_list()


class TestSums:
    @pytest.mark.parametrize("seed", range(4))
    def test_no_order_of_rows_changes_a_bit(self, seed):
        frame = many(20_000).with_row_index(ROW)
        states = [
            fit(TargetEncoding("y"), rows, ["key"]).steps[0].state.tables()
            for rows in (frame, frame.sample(fraction=1.0, shuffle=True, seed=seed))
        ]
        assert all(table.equals(states[1][name]) for name, table in states[0].items())
        floats = [group["y"].sum() for _, group in frame.sample(fraction=1.0, shuffle=True, seed=seed).group_by("key")]
        assert floats, "a plain sum of floats depends on it"

    def test_an_update_counts_every_row_once(self):
        frame = many(2_000).with_row_index(ROW)
        workflow = Workflow(["key"] >> TargetEncoding("y"))
        whole, first = workflow.fit(frame), workflow.fit(frame[:700])
        both = first.update(frame[700:])
        assert (
            both.transform(frame, training=pl.lit(value=True))
            .collect()
            .equals(whole.transform(frame, training=pl.lit(value=True)).collect())
        )
        assert not first.transform(frame).collect().equals(whole.transform(frame).collect())

    @pytest.mark.parametrize(
        ("y", "told"),
        [
            ([1e19, 1.0], "too large"),
            ([math.inf, 1.0], "too large"),
            ([-math.inf, 1.0], "too large"),
            ([2**62, 2**62], "too large"),
            ([1e-9, 2e-9], "too small"),
        ],
    )
    def test_what_has_no_exact_sum_is_refused(self, y, told):
        with pytest.raises(UserError, match=f"column y: the values are {told}") as caught:
            fit(TargetEncoding("y"), pl.DataFrame({"k": [1, 1], "y": y}), ["k"])
        assert "expression" in str(caught.value)


class TestRefused:
    def test_real_numbers_as_keys(self):
        with pytest.raises(UserError, match="column x: target_encoding takes whole numbers"):
            fit(TargetEncoding("y"), pl.DataFrame({"x": [0.5, 1.0], "y": [0, 1]}), ["x"])
        whole = fit(TargetEncoding("y", p_smooth=0), pl.DataFrame({"x": [2.0, 1.0], "y": [0, 1]}), ["x"])
        assert values(whole.transform(pl.DataFrame({"x": [1.0, 1.5]})), "TE_x_y") == [1.0, 0.5]

    def test_text_as_a_target(self):
        with pytest.raises(UserError, match="column y: target_encoding takes numbers"):
            fit(TargetEncoding("y"), pl.DataFrame({"x": [1], "y": ["a"]}), ["x"])

    def test_a_target_that_is_not_there(self):
        with pytest.raises(UserError, match="column y: .*which target_encoding reads"):
            fit(TargetEncoding("y"), pl.DataFrame({"x": [1]}), ["x"])

    @pytest.mark.parametrize("name", ["out_path", "cat_cache", "on_host", "split_out", "split_every", "tree_width"])
    def test_settings_of_nvtabular_without_a_meaning_here(self, name):
        with pytest.raises(ValidationError, match=f"{name} has no meaning here"):
            TargetEncoding("y", **{name: 1})

    def test_other_types_of_output(self):
        assert TargetEncoding("y", out_dtype="float32").out_dtype == "float32"
        with pytest.raises(ValidationError, match="must be float32 .* got float64"):
            TargetEncoding("y", out_dtype="float64")

    def test_a_node_as_a_target(self):
        with pytest.raises(ValidationError, match="must be the name of a column.*beside the keys"):
            TargetEncoding(["click"] >> LogOp())
        node = ["city"] + (["click"] >> LogOp())
        made = Workflow(node >> TargetEncoding("click", p_smooth=0)).fit(ROWS).transform(ROWS).collect()
        assert made["TE_city_click"][0] == pytest.approx(math.log(2) * 2 / 3), "what an operator made of the target"

    def test_a_mean_for_another_target(self):
        with pytest.raises(UserError, match="column click: target_mean has no number"):
            fit(TargetEncoding("click", target_mean={"buy": 0.5})).transform(ROWS)
