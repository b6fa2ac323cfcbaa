"""Several targets: their columns on disk, what is told of them, and what is refused."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest
from pydantic import ValidationError

from core.dataset import SPLIT, SPLITS, TARGET, Dataset, target_column
from core.errors import UserError
from core.schema import Tag
from etl.spec import EtlSpec

from .conftest import Desk, log

LOVED = target_column("loved")
TARGETS = {"liked": {"column": "rating", "at_least": 4}, "loved": {"column": "rating", "equals": 5}}


def with_bought() -> pl.DataFrame:
    """Rows with a purchase, which isn't known of every third one."""
    number = pl.int_range(pl.len())
    bought = pl.when(number % 3 > 0).then((number % 2).cast(pl.Int8))
    return log().with_columns(bought=bought)


@pytest.fixture
def several(desk: Desk) -> Desk:
    desk.sources["interactions"] = {"path": desk.write("bought.parquet", with_bought())}
    del desk.spec["target"]
    desk.spec["targets"] = {**TARGETS, "bought": {"column": "bought"}}
    return desk


def rows(dataset: Dataset, split: str) -> pl.DataFrame:
    return pl.read_parquet(dataset.files(split))


def test_each_has_a_column_and_the_first_one_is_the_main_one(several: Desk) -> None:
    dataset = several.prepare()
    raw = with_bought()
    part = pl.read_parquet(dataset.interactions_file)[SPLIT]
    assert "bought" not in dataset.raw_schema().names
    for number, split in enumerate(SPLITS):
        found, own = rows(dataset, split), raw.filter(part == number)
        assert found[TARGET].to_list() == [float(rating >= 4) for rating in own["rating"]]
        assert found[LOVED].to_list() == [float(rating == 5) for rating in own["rating"]]
        assert found[target_column("bought")].to_list() == own["bought"].cast(pl.Float32).to_list()
        assert found.columns == list(dataset.schema().names)


def test_the_first_one_alone_gives_the_same_rows(several: Desk) -> None:
    together = several.prepare()
    del several.spec["targets"]
    several.spec["target"] = TARGETS["liked"]
    alone = several.prepare()
    assert not any(column.properties for column in alone.schema().select(Tag.TARGET))
    for split in SPLITS:
        assert rows(together, split).drop(LOVED, target_column("bought")).equals(rows(alone, split))


def test_schema_and_manifest_tell_them_in_order(several: Desk) -> None:
    dataset = several.prepare()
    columns = list(dataset.schema().select(Tag.TARGET))
    assert [(one.name, one.properties["target"], one.nullable) for one in columns] == [
        (TARGET, "liked", False),
        (LOVED, "loved", True),
        (target_column("bought"), "bought", True),
    ]
    told = dataset.manifest()["targets"]
    assert [one["name"] for one in told] == ["liked", "loved", "bought"]
    for one in told:
        for split in SPLITS:
            column = rows(dataset, split)[one["column"]]
            assert one["known"][split] == column.count()
            assert one["positives"][split] == column.sum()


def test_one_of_two_settings() -> None:
    feature = [{"columns": ["device"], "ops": ["categorify"]}]
    with pytest.raises(ValidationError, match="what is to be predicted"):
        EtlSpec.model_validate({"features": feature})
    with pytest.raises(ValidationError, match="stands beside `target`"):
        EtlSpec.model_validate({"features": feature, "target": TARGETS["liked"], "targets": TARGETS})
    again = EtlSpec.model_validate({"features": feature, "targets": TARGETS})
    assert EtlSpec.model_validate(again.model_dump(mode="json")) == again


@pytest.mark.parametrize(
    ("name", "target", "told"),
    [
        ("bought twice", {"column": "bought"}, "match pattern"),
        ("bought", {"every_row": True}, "every row of a further target would be positive"),
    ],
)
def test_settings_that_are_refused(several: Desk, name: str, target: dict[str, Any], told: str) -> None:
    several.spec["targets"] = {**TARGETS, name: target}
    with pytest.raises(ValidationError, match=told):
        EtlSpec.model_validate(several.spec)


@pytest.mark.parametrize(
    ("targets", "told"),
    [
        ({"bought": {"column": "bought"}, **TARGETS}, "column bought is null in"),
        ({**TARGETS, "seven": {"column": "rating", "equals": 7}}, r"target seven \(rating\): all .* are negative"),
        ({**TARGETS, "price": {"column": "rating"}}, r"target price \(rating\): the label .* neither 0 nor 1"),
    ],
)
def test_data_that_are_refused(several: Desk, targets: dict[str, Any], told: str) -> None:
    several.spec["targets"] = targets
    with pytest.raises(UserError, match=told):
        several.prepare()


def test_no_further_target_is_a_feature(several: Desk) -> None:
    several.spec["features"] = [*several.spec["features"], {"columns": ["bought"], "ops": ["categorify"]}]
    with pytest.raises(UserError, match="the column bought is the target and a feature"):
        several.prepare()


def test_a_column_that_tells_a_further_target_is_found(desk: Desk) -> None:
    frame = (
        pl.concat([log()] * 30)
        .with_columns(later=pl.int_range(pl.len()) % 7, number=pl.int_range(pl.len()))
        .with_columns(paid=pl.col("later") < 3)
    )
    desk.sources["interactions"] = {"path": desk.write("later.parquet", frame)}
    del desk.spec["target"]
    desk.spec |= {"targets": {"liked": TARGETS["liked"], "paid": {"column": "paid"}}, "split": "random"}
    desk.spec["features"] = [{"columns": ["later"], "ops": ["normalize"]}]
    desk.spec["leaks"] = {"action": "warn"}
    told = [one["told"] for one in desk.prepare().manifest()["warnings"]]
    assert any("the column later alone tells the target paid" in one for one in told), told
    assert not any("tells the target (" in one for one in told)


def test_a_raw_column_named_like_a_target_is_refused(several: Desk) -> None:
    frame = with_bought().with_columns(pl.lit(1).alias(LOVED))
    several.sources["interactions"] = {"path": several.write("taken.parquet", frame)}
    with pytest.raises(UserError, match="reserved"):
        several.prepare()
