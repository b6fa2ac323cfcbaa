"""A fitted workflow on disk: what is broken, newer or missing is told, never a traceback."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

from core.errors import UserError
from core.files import hash_file
from etl import Fitted, Workflow
from etl.ops import Categorify, FillMedian, LambdaOp, Normalize

FRAME = pl.DataFrame({"age": [20.0, 30.0, None], "city": ["a", "b", "a"]})


@pytest.fixture
def saved(tmp_path) -> Path:
    node = (["age"] >> FillMedian() >> Normalize()) + (["city"] >> Categorify())
    Workflow(node).fit(FRAME).save(tmp_path / "workflow")
    return tmp_path / "workflow"


def edit(saved: Path, change) -> None:
    file = saved / "workflow.json"
    value = json.loads(file.read_text())
    change(value)
    file.write_text(json.dumps(value))


def refuse(saved: Path, match: str) -> UserError:
    with pytest.raises(UserError, match=match) as caught:
        Fitted.load(saved)
    assert str(saved) in str(caught.value.where)
    return caught.value


def test_nothing_there(tmp_path):
    assert "etl stage" in str(refuse(tmp_path / "no", "there is no fitted workflow here"))


def test_a_newer_version(saved):
    edit(saved, lambda value: value.update(version=99))
    assert "update gyrfalcon" in str(refuse(saved, "version 99, this program reads up to 3"))


def test_broken_json(saved):
    (saved / "workflow.json").write_text("{")
    refuse(saved, "not valid JSON")


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda value: value.pop("steps"), "'steps' is missing"),
        (lambda value: value["steps"][0].update(kind="os.system"), "there is no operator 'os.system'"),
        (lambda value: value["steps"][0]["settings"].update(size=1), "unknown key"),
        (lambda value: value["steps"][0]["inputs"].append(["x", "x@9"]), "'x@9' is missing"),
        (lambda value: value["steps"][0]["state"].pop("median"), "median"),
        (lambda value: value["steps"][0]["state"].update(median={}), "'age' is missing"),
        (lambda value: value["steps"][0]["state"].update(median={"age": "high"}), "valid number"),
        (lambda value: value["steps"][2]["tables"].clear(), "'city' is missing"),
        (lambda value: value["outputs"].append(["more", "more@7"]), "'more@7' is missing"),
        (lambda value: value["inputs"][0].update(dtype="complex"), "complex"),
        (lambda value: value.update(steps="none"), "not a fitted workflow"),
        (lambda value: value.update(version="new"), "not a fitted workflow"),
    ],
)
def test_edited_by_hand(saved, change, match):
    edit(saved, change)
    assert "fit again" in str(refuse(saved, match))


def test_not_an_object(saved):
    (saved / "workflow.json").write_text("[1]")
    refuse(saved, "not a fitted workflow")


def test_a_table_is_missing(saved):
    (saved / "tables" / "03-00.parquet").unlink()
    refuse(saved, "a file of the fitted workflow is missing")


def test_a_table_was_changed(saved):
    pl.DataFrame({"value": ["z"], "count": [1]}).write_parquet(saved / "tables" / "03-00.parquet")
    refuse(saved, "not the one that was saved")


def test_a_path_must_not_leave_the_directory(saved):
    edit(saved, lambda value: value["steps"][2]["tables"][0].update(file="../elsewhere.parquet"))
    refuse(saved, "leaves its directory")


def test_python_code_is_not_saved_and_nothing_is_left(tmp_path):
    fitted = Workflow(["age"] >> LambdaOp(lambda x: x + 1)).fit(FRAME)
    with pytest.raises(UserError, match="column age: LambdaOp holds Python code and can't be saved"):
        fitted.save(tmp_path / "workflow")
    assert list(tmp_path.iterdir()) == []


def test_saving_again_replaces(saved):
    Workflow(["age"] >> Normalize()).fit(FRAME).save(saved)
    assert Fitted.load(saved).schema.names == ("age",)
    assert not (saved / "tables").exists()
    assert [path.name for path in saved.parent.iterdir()] == ["workflow"]


def rehash(saved: Path, name: str) -> None:
    """Write the hash of a changed file where a careful editor would."""
    edit(saved, lambda value: _tables(value)[name].update(sha256=hash_file(saved / name)))


def _tables(value):
    return {table["file"]: table for step in value["steps"] for table in step["tables"]}


@pytest.mark.parametrize("data", [b"", b"garbage", b"PAR1" + bytes(40) + b"PAR1"])
def test_a_table_that_is_no_parquet_with_its_new_hash(saved, data):
    name = list(_tables(json.loads((saved / "workflow.json").read_text())))[-1]
    (saved / name).write_bytes(data)
    rehash(saved, name)
    assert "fit again" in str(refuse(saved, "this table can't be read"))


def test_a_link_must_not_leave_the_directory(saved, tmp_path):
    name = list(_tables(json.loads((saved / "workflow.json").read_text())))[-1]
    (tmp_path / "elsewhere.parquet").write_bytes((saved / name).read_bytes())
    (saved / name).unlink()
    (saved / name).symlink_to(tmp_path / "elsewhere.parquet")
    refuse(saved, "leaves its directory")


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda table: pl.concat([table, table]), "holds a value twice"),
        (lambda table: table.with_columns(value=pl.lit(None, pl.String)), "holds null"),
        (lambda table: table.rename({"value": "city"}), "value"),
        (lambda table: table.drop("count"), "must have a value and a count"),
    ],
)
def test_a_vocabulary_edited_with_care(saved, change, match):
    name = list(_tables(json.loads((saved / "workflow.json").read_text())))[-1]
    change(pl.read_parquet(saved / name)).write_parquet(saved / name)
    rehash(saved, name)
    assert "fit again" in str(refuse(saved, match))
