"""join_external: the table in the state, its faults by name, and a config that names a file."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import polars as pl
import pytest
from pydantic import ValidationError

from core.dataset import ROW
from core.errors import UserError
from core.schema import DType, Tag
from etl import Fitted, Workflow
from etl.features import FeatureSpec
from etl.ops import Categorify, FillMissing, JoinExternal, Normalize
from etl.ops.given import named_tables, placed
from etl.serving import for_serving
from tests.contract.serving import Served

CITIES = pl.DataFrame(
    {
        "city": ["Rome", "Oslo", None],
        "land": ["IT", "NO", "?"],
        "people": [2748, 717, None],
        "area": [1285.0, None, float("nan")],
        "since": [dt.date(1970, 1, 2), None, dt.date(1970, 1, 1)],
    }
)
ROWS = pl.DataFrame({"city": ["Oslo", "Lima", "Rome", "", None], "n": [1, 2, 3, 4, 5]})


def made(operator: JoinExternal, frame: pl.DataFrame = ROWS, columns: tuple[str, ...] = ("city",)) -> pl.DataFrame:
    return Workflow(list(columns) >> operator).fit(frame).transform(frame).collect()


class TestMeaning:
    def test_every_column_beside_those_that_were_there(self):
        found = made(JoinExternal(CITIES, "city"), columns=("city", "n"))
        assert found.to_dict(as_series=False) == {
            "city": ["Oslo", "Lima", "Rome", None, None],
            "n": [1, 2, 3, 4, 5],
            "land": ["NO", None, "IT", "?", "?"],
            "people": [717, None, 2748, None, None],
            "area": [None, None, 1285.0, None, None],
            "since": [None, None, 86_400_000_000, 0, 0],
        }

    def test_some_columns_alone(self):
        assert made(JoinExternal(CITIES, "city", columns_ext=["people"], keep_on=False)).columns == ["people"]
        assert made(JoinExternal(CITIES, "city", columns_ext=["city", "people"])).columns == ["city", "people"]

    def test_the_key_under_another_name(self):
        towns = CITIES.rename({"city": "town"})
        found = made(JoinExternal(towns, on="city", on_ext="town", columns_ext=["land"]))
        assert found.columns == ["city", "land"]
        both = made(JoinExternal(towns, on="city", on_ext="town", columns_ext=["town", "land"]))
        assert both["town"].to_list() == ["Oslo", None, "Rome", None, None], "as NVTabular: a column like others"

    def test_several_columns_are_one_key(self):
        table = pl.DataFrame({"a": [1, 1, 2], "b": ["x", "y", "x"], "v": [10, 20, 30]})
        frame = pl.DataFrame({"a": [1, 2, 2, 1], "b": ["y", "x", "y", None]})
        found = made(JoinExternal(table, ["a", "b"], keep_on=False), frame, ("a", "b"))
        assert found["v"].to_list() == [20, 30, None, None]

    def test_inner_drops_rows_without_a_match_and_serves_them(self):
        operator = JoinExternal(CITIES.drop_nulls("city"), "city", how="inner", columns_ext=["people", "land"])
        fitted = Workflow(["city"] >> operator).fit(ROWS)
        kept = fitted.transform(ROWS.with_row_index(ROW), keep=[ROW]).collect()
        assert kept.to_dict(as_series=False) == {
            ROW: [0, 2],
            "city": ["Oslo", "Rome"],
            "people": [717, 2748],
            "land": ["NO", "IT"],
        }
        served = Served(for_serving(fitted)).run(ROWS)
        assert served["people"].tolist() == [717, -(2**63), 2748, -(2**63), -(2**63)]
        assert for_serving(fitted).transform(ROWS).collect()["land"].to_list() == ["NO", None, "IT", None, None]

    def test_other_operators_follow(self):
        joined = ["city"] >> JoinExternal(CITIES, "city", columns_ext=["land", "people"], keep_on=False)
        node = (joined - "people" >> Categorify()) + (joined - "land" >> FillMissing(0) >> Normalize())
        fitted = Workflow(node, tags={"city": {Tag.ITEM, Tag.ITEM_ID}}).fit(ROWS)
        assert fitted.transform(ROWS).collect()["land"].to_list() == [5, 1, 4, 3, 3]
        assert fitted.schema["people"].tags == {Tag.ITEM, Tag.CONTINUOUS}

    def test_whole_floats_find_integers(self):
        table = pl.DataFrame({"k": [1.0, 2.0, None], "v": ["a", "b", "c"]})
        assert made(JoinExternal(table, "k"), pl.DataFrame({"k": [2, 1, 3, None]}), ("k",))["v"].to_list() == [
            "b",
            "a",
            None,
            "c",
        ]

    def test_frames_of_others(self):
        arrow = CITIES.to_arrow()
        assert made(JoinExternal(arrow, "city")).equals(made(JoinExternal(CITIES.lazy(), "city")))


class TestState:
    def test_a_saved_workflow_needs_no_file(self, tmp_path):
        path = tmp_path / "cities.parquet"
        CITIES.write_parquet(path)
        fitted = Workflow(["city"] >> JoinExternal(path, "city")).fit(ROWS)
        fitted.save(tmp_path / "w")
        path.unlink()
        loaded = Fitted.load(tmp_path / "w")
        assert loaded.transform(ROWS).collect().equals(fitted.transform(ROWS).collect())
        assert loaded.update(ROWS[:1]).transform(ROWS).collect().equals(fitted.transform(ROWS).collect())

    def test_a_handed_over_table_is_told_by_its_hash(self, tmp_path):
        Workflow(["city"] >> JoinExternal(CITIES, "city")).fit(ROWS).save(tmp_path / "w")
        settings = json.loads((tmp_path / "w" / "workflow.json").read_text())["steps"][0]["settings"]
        assert list(settings["df_ext"]) == ["sha256"]
        loaded = Fitted.load(tmp_path / "w").steps[0].operator
        assert loaded == JoinExternal(CITIES.clone(), "city")
        assert loaded != JoinExternal(CITIES.head(1), "city")
        with pytest.raises(UserError, match="kept in the saved workflow alone"):
            made(loaded)

    def test_a_changed_file_is_read_by_a_new_fit_alone(self, tmp_path):
        path = tmp_path / "cities.csv"
        path.write_text("city,people\nOslo,1\n")
        fitted = Workflow(["city"] >> JoinExternal(path, "city")).fit(ROWS)
        path.write_text("city,people\nOslo,2\n")
        assert fitted.update(ROWS).transform(ROWS).collect()["people"][0] == 1
        assert made(JoinExternal(path, "city"))["people"][0] == 2

    def test_the_order_of_the_table_changes_nothing(self):
        turned = Workflow(["city"] >> JoinExternal(CITIES.reverse(), "city")).fit(ROWS).steps[0].state
        straight = Workflow(["city"] >> JoinExternal(CITIES, "city")).fit(ROWS).steps[0].state
        assert turned.tables()["table"].equals(straight.tables()["table"])


class TestConfig:
    def test_path_relative_to_the_config(self, tmp_path, monkeypatch):
        CITIES.write_csv(tmp_path / "cities.csv")
        monkeypatch.chdir("/")
        ops = [{"join_external": {"path": "cities.csv", "on": "city", "columns_ext": "land"}}]
        feature = FeatureSpec(columns="city", ops=ops)
        with pytest.raises(UserError, match=r"cities\.csv"):
            made(feature.ops[0])
        (there,) = placed([feature], tmp_path)
        assert made(there.ops[0])["land"].to_list() == ["NO", None, "IT", "?", "?"]
        assert there.model_dump() == feature.model_dump(), "where it lies is no setting"
        assert [Path(one.path[0]) for one in named_tables([there])] == [tmp_path / "cities.csv"]

    def test_how_a_csv_is_read(self, tmp_path):
        (tmp_path / "c.csv").write_text("city;code\nOslo;01\n")
        operator = JoinExternal(
            {"path": str(tmp_path / "c.csv"), "separator": ";", "dtypes": {"code": "string"}}, "city"
        )
        assert made(operator)["code"][0] == "01"
        assert JoinExternal.model_validate(json.loads(operator.model_dump_json())) == operator


class TestRefused:
    def test_a_key_that_stands_twice(self):
        table = pl.DataFrame({"city": ["Oslo", "Rome", "Oslo"], "people": [1, 2, 1]})
        with pytest.raises(UserError, match="the given table: the key city 'Oslo' stands in 2 rows"):
            made(JoinExternal(table, "city"))
        assert made(JoinExternal(table, "city", drop_duplicates_ext=True))["people"][0] == 1
        other = table.with_columns(people=pl.Series([1, 2, 3]))
        with pytest.raises(UserError, match="stands in 2 rows"):
            made(JoinExternal(other, "city", drop_duplicates_ext=True))

    def test_a_key_of_another_type(self):
        told = "column city: the key is string in the rows and int64 in the given table"
        with pytest.raises(UserError, match=told):
            made(JoinExternal(pl.DataFrame({"city": [1], "v": [1]}), "city"))
        with pytest.raises(UserError, match="column k: the key holds numbers .* not whole"):
            made(JoinExternal(pl.DataFrame({"k": [0.5], "v": [1]}), "k"), pl.DataFrame({"k": [1]}), ("k",))

    @pytest.mark.parametrize(
        ("settings", "told"),
        [
            ({"on": "town"}, "column town: join_external joins on a column that the feature does not list"),
            ({"on": "city", "on_ext": "cty"}, "column cty: the given table has no such column; did you mean city"),
            ({"on": "city", "columns_ext": ["peeple"]}, "column peeple: .* did you mean people"),
        ],
    )
    def test_columns_that_are_not_there(self, settings, told):
        with pytest.raises(UserError, match=told):
            made(JoinExternal(CITIES, **settings))

    def test_a_name_that_is_taken(self):
        with pytest.raises(UserError, match="column n: join_external would bring another column of this name"):
            made(JoinExternal(CITIES.with_columns(n=1), "city"), columns=("city", "n"))

    def test_tables_that_hold_nothing_to_join(self):
        with pytest.raises(UserError, match="no rows"):
            made(JoinExternal(CITIES[:0], "city"))
        with pytest.raises(UserError, match="no column beside the key"):
            made(JoinExternal(CITIES.select("city"), "city"))

    def test_lists(self):
        table = pl.DataFrame({"city": ["Oslo"], "l": [["a"]], "v": [1]})
        with pytest.raises(UserError, match="column l: the column holds lists in the given table"):
            made(JoinExternal(table, "city"))
        assert made(JoinExternal(table, "city", columns_ext="v"))["v"][0] == 1

    def test_settings(self):
        for name in ("kind_ext", "cache"):
            with pytest.raises(ValidationError, match=f"{name} has no meaning here"):
                JoinExternal(CITIES, "city", **{name: "x"})
        with pytest.raises(ValidationError, match="as many columns as on"):
            JoinExternal(CITIES, "city", on_ext=["a", "b"])
        with pytest.raises(ValidationError, match="must be a frame, or the path"):
            JoinExternal(3, "city")
        with pytest.raises(ValidationError, match="'left' or 'inner'"):
            JoinExternal(CITIES, "city", how="outer")

    def test_a_type_that_changed_since_the_fit(self):
        fitted = Workflow(["city"] >> JoinExternal(CITIES, "city")).fit(ROWS)
        assert fitted.input_schema["city"].dtype == DType.STRING
        with pytest.raises(UserError, match="column city: the column was fitted as string and is int64 now"):
            fitted.transform(pl.DataFrame({"city": [1]}))
