"""The whole stage against answers known by construction."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from pydantic import ValidationError

from core.dataset import ITEM_INDEX, SPLIT, SPLITS, TARGET, TIME, USER_INDEX, Dataset
from core.errors import UserError
from core.files import hash_file, hash_tree
from core.schema import Tag
from etl import Fitted

from .conftest import Desk, items, log, users

ROOT = Path(__file__).parents[2]


def rows(dataset: Dataset, split: str) -> pl.DataFrame:
    return pl.read_parquet(dataset.files(split))


def test_every_row_lands_in_one_split_with_its_target_and_indices(desk: Desk) -> None:
    dataset = desk.prepare()
    interactions = pl.read_parquet(dataset.interactions_file)
    raw = log()
    assert interactions.height == raw.height
    assert interactions[TARGET].to_list() == [float(rating >= 4) for rating in raw["rating"]]
    assert interactions[TIME].to_list() == raw["stamp"].to_list()
    catalogue = pl.read_parquet(dataset.entity_file("users"))
    assert catalogue["user_id"].gather(interactions[USER_INDEX]).to_list() == raw["user_id"].to_list()
    catalogue = pl.read_parquet(dataset.entity_file("items"))
    assert catalogue["item_id"].gather(interactions[ITEM_INDEX]).to_list() == raw["item_id"].to_list()
    for number, split in enumerate(SPLITS):
        expected = interactions.filter(pl.col(SPLIT) == number).select(TARGET, USER_INDEX, ITEM_INDEX, TIME)
        assert_frame_equal(rows(dataset, split).select(expected.columns), expected)


@pytest.mark.parametrize("without", ["time", "user"])
def test_rows_without_a_user_or_a_moment_have_no_moment(desk: Desk, without: str) -> None:
    del desk.sources["roles"][without]
    desk.spec["split"] = {"by": "random", "valid": 0.2, "test": 0.2}
    if without != "time":
        desk.spec["features"] = [{"columns": ["device"], "ops": ["categorify"]}]
        desk.sources = {name: value for name, value in desk.sources.items() if name != f"{without}s"}
    dataset = desk.prepare()
    assert TIME not in rows(dataset, "train").columns
    assert TIME not in dataset.schema().names


def test_user_time_keeps_the_last_rows_of_each_user_for_the_test(desk: Desk) -> None:
    interactions = pl.read_parquet(desk.prepare().interactions_file)
    for (_,), own in interactions.group_by(USER_INDEX):
        # Ten rows a user; time runs backwards, so the first rows of the file are the last in time.
        assert own[SPLIT].to_list() == [2, 2, 1, 1, 0, 0, 0, 0, 0, 0]


def test_catalogues_hold_every_id_of_tables_and_interactions_in_order(desk: Desk) -> None:
    dataset = desk.prepare()
    found = pl.read_parquet(dataset.entity_file("users"))
    assert found["user_id"].to_list() == [10, 11, 12, 13, 14, 15, 99]
    assert found.columns == ["user_id", "age", "city"]
    assert found.row(2) == (12, None, "Rome"), "NaN is null"
    assert found.row(5) == (15, None, None), "a user without a row in the table"
    found = pl.read_parquet(dataset.entity_file("items"))
    assert found["item_id"].to_list() == [f"i{n}" for n in (0, 1, 2, 3, 4, 5, 6, 9)]
    assert dict(found.select("item_id", "title").iter_rows())["i9"] == "Film 9"


def test_features_of_entities_are_those_of_the_rows(desk: Desk) -> None:
    dataset = desk.prepare()
    train = rows(dataset, "train")
    for side, index, names in (
        ("user", USER_INDEX, ["user_id", "city", "age"]),
        ("item", ITEM_INDEX, ["item_id", "price"]),
    ):
        features = pl.read_parquet(dataset.features_file(side))
        assert set(features.columns) == set(names)
        assert features.height == pl.read_parquet(dataset.entity_file(f"{side}s")).height
        for name in names:
            assert features[name].gather(train[index]).to_list() == train[name].to_list()


def test_schema_tells_what_the_files_hold(desk: Desk) -> None:
    dataset = desk.prepare()
    schema = dataset.schema()
    for split in SPLITS:
        assert rows(dataset, split).columns == list(schema.names)
    assert schema[TARGET].tags == {Tag.TARGET, Tag.BINARY}
    assert schema["user_id"].tags == {Tag.USER, Tag.USER_ID, Tag.CATEGORICAL}
    assert schema["price"].tags == {Tag.ITEM, Tag.CONTINUOUS}
    assert schema["city"].cardinality == 3 + 2
    assert rows(dataset, "train").schema["age"] == pl.Float32
    raw = dataset.raw_schema()
    assert raw["age"].nullable
    assert not raw["user_id"].nullable
    assert Tag.TIME in raw["stamp"].tags
    assert (dataset.path / "schema.pbtxt").read_text().count("feature {") == len(schema)


def test_the_workflow_is_fitted_on_training_rows_alone(desk: Desk) -> None:
    """A value that only the test rows hold must be out of vocabulary."""
    frame = log().with_columns(device=pl.when(pl.col("stamp") > 998).then(pl.lit("new")).otherwise("device"))
    desk.sources["interactions"] = {"path": desk.write("new.parquet", frame)}
    desk.spec["features"] = [{"columns": ["device"], "ops": ["categorify"]}]
    dataset = desk.prepare()
    assert "new" not in Fitted.load(dataset.workflow_dir).steps[0].state.by_column["device"]["value"].to_list()
    assert 2 not in rows(dataset, "train")["device"]
    assert 2 in rows(dataset, "test")["device"]
    told = pl.read_parquet(dataset.profile_file).filter(pl.col("name") == "device")
    assert told["unseen_test"].item() == pytest.approx(rows(dataset, "test")["device"].eq(2).mean())
    assert told["unseen_valid"].item() == 0


def test_the_sample_holds_raw_rows_of_the_test_split(desk: Desk) -> None:
    dataset = desk.prepare()
    sample = pl.read_parquet(dataset.sample_file)
    assert sample.columns == list(dataset.raw_schema().names)
    assert sample.height == dataset.manifest()["rows"]["test"]
    transformed = Fitted.load(dataset.workflow_dir).transform(sample).collect()
    assert_frame_equal(transformed, rows(dataset, "test").select(transformed.columns))


def test_the_manifest_names_every_file_by_its_hash(desk: Desk) -> None:
    dataset = desk.prepare()
    manifest = dataset.manifest()
    hashes = hash_tree(dataset.path)
    assert manifest["hashes"] == {name: value for name, value in hashes.items() if name != "manifest.json"}
    assert manifest["files"]["train"] == ["train/part-00000.parquet"]
    assert manifest["rows"] == {split: rows(dataset, split).height for split in SPLITS}
    assert manifest["title"] == "title"
    assert not list(dataset.path.glob(".tmp-*"))


def test_what_drops_rows_or_knows_the_target_is_no_feature_of_an_entity(desk: Desk) -> None:
    desk.spec["features"] = [
        {"columns": ["user_id"], "ops": ["categorify"]},
        {"columns": ["user_id"], "ops": [{"target_encoding": {}}]},
        {"columns": ["age"], "ops": ["dropna", "normalize"]},
    ]
    dataset = desk.prepare()
    features = pl.read_parquet(dataset.features_file("user"))
    assert features.columns == ["user_id"]
    assert features.height == pl.read_parquet(dataset.entity_file("users")).height


def test_data_without_roles_have_no_entities(flat: Desk) -> None:
    dataset = flat.prepare()
    assert not dataset.has_entities
    assert not (dataset.path / "entities").exists()
    assert dataset.schema().names == (TARGET, "a", "b")


def test_csv_and_parquet_give_the_same_data_set(desk: Desk) -> None:
    one = desk.prepare()
    desk.sources["interactions"] = {"path": desk.write("log.csv", log())}
    desk.sources["users"] = {"path": desk.write("users.tsv", users().fill_nan(None))}
    desk.sources["items"] = {"path": desk.write("items.csv", items())}
    two = desk.prepare()
    assert hash_tree(one.path) == hash_tree(two.path)


def test_columns_may_be_called_anything(desk: Desk) -> None:
    """Names that the code uses for itself along the way."""
    one = desk.prepare()
    odd = {"user_id": "n", "item_id": "place", "stamp": "len", "device": "golden", "rating": "value"}
    desk.sources["interactions"] = {"path": desk.write("o.parquet", log().rename(odd))}
    desk.sources["users"] = {"path": desk.write("ou.parquet", users().rename({"user_id": "n", "city": "rows"}))}
    desk.sources["items"] = {"path": desk.write("oi.parquet", items().rename({"item_id": "place", "price": "last"}))}
    desk.sources["roles"] = {"user": "n", "item": "place", "time": "len"}
    desk.spec["target"]["column"] = "value"
    categories = {"columns": ["n", "place", "rows"], "ops": ["categorify"]}
    numbers = {"columns": ["age", "last"], "ops": ["fill_median", "log", "normalize"]}
    for split in ("random", "time", "leave_last_out", desk.spec["split"]):
        desk.spec |= {"split": split, "features": [categories, numbers]}
        two = desk.prepare()
    back = {"n": "user_id", "place": "item_id", "rows": "city", "last": "price"}
    for split in SPLITS:
        assert_frame_equal(rows(two, split).rename(back), rows(one, split))
    assert pl.read_parquet(two.interactions_file).equals(pl.read_parquet(one.interactions_file))


def test_several_files_are_one_table(desk: Desk) -> None:
    one = desk.prepare()
    (desk.path / "parts").mkdir()
    for number in range(3):
        desk.write(f"parts/{number}.parquet", log()[number * 20 : number * 20 + 20])
    desk.sources["interactions"] = {"path": str(desk.path / "parts" / "*.parquet")}
    assert hash_tree(desk.prepare().path) == hash_tree(one.path)


def test_no_split_trains_on_everything(flat: Desk) -> None:
    flat.spec["split"] = "none"
    dataset = flat.prepare()
    assert dataset.manifest()["rows"] == {"train": 40, "valid": 0, "test": 0}
    assert dataset.files("test") == []
    assert pl.read_parquet(dataset.sample_file).height == 40


def test_data_of_nothing_but_positives(desk: Desk) -> None:
    desk.spec |= {"target": {"every_row": True}, "split": {"by": "user_random", "valid": 0.1, "test": 0.1}}
    del desk.sources["roles"]["time"]
    dataset = desk.prepare()
    interactions = pl.read_parquet(dataset.interactions_file)
    assert interactions[TARGET].to_list() == [1.0] * log().height
    assert all(rows(dataset, split)[TARGET].unique().to_list() == [1.0] for split in SPLITS)
    assert dataset.manifest()["rows"] == Counter(SPLITS[side] for side in interactions[SPLIT])
    assert hash_tree(dataset.path) == hash_tree(desk.prepare().path)


@pytest.mark.parametrize(
    ("target", "told"),
    [
        ({}, "name the `column`"),
        ({"every_row": True, "column": "rating"}, "stands alone"),
        ({"at_least": 4}, "name the `column`"),
    ],
)
def test_targets_that_make_no_sense(target: dict[str, object], told: str, desk: Desk) -> None:
    desk.spec["target"] = target
    with pytest.raises(ValidationError, match=told):
        desk.prepare()


def test_one_class_is_told_with_the_way_out(desk: Desk) -> None:
    desk.spec["target"] = {"column": "rating", "at_least": 0}
    with pytest.raises(UserError, match=r"training rows are positive.*every_row: true"):
        desk.prepare()


SCRIPT = """
import sys
from pathlib import Path
from etl.dataset.prepare import prepare
from etl.dataset.sources import Sources
from etl.spec import EtlSpec

roles = {{"user": "user", "item": "item", "time": "when"}}
ids = {{"columns": ["user", "item"], "ops": ["categorify"]}}
numbers = {{"columns": ["x"], "ops": ["log", "normalize"]}}
spec = EtlSpec(engine="cpu", target={{"column": "click"}}, split="{by}", features=[ids, numbers])
prepare(Sources(interactions={{"path": sys.argv[1]}}, roles=roles), spec, Path(sys.argv[2]), seed=1)
"""


@pytest.mark.parametrize("by", ["random", "user_time", "time"])
def test_the_bytes_do_not_depend_on_the_number_of_threads(by: str, tmp_path: Path) -> None:
    """200,000 rows and as many items: enough for Polars to cut both differently for each number of threads."""
    rows_ = 200_000
    numbers = pl.DataFrame({"n": range(rows_)})
    frame = numbers.select(
        user=pl.col("n").hash(1) % 5000,
        item=pl.col("n").hash(2) % 2**40,
        x=(pl.col("n").hash(3) % 1_000_003) / 7,
        when=pl.col("n").hash(4) % 100_000,
        click=(pl.col("n").hash(5) % 4 == 0).cast(pl.Int8),
    )
    source = tmp_path / "log.parquet"
    frame.write_parquet(source, row_group_size=20_000)
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(by=by))
    found = []
    for threads in ("1", "3"):
        out = tmp_path / threads
        out.mkdir()
        environment = {**os.environ, "POLARS_MAX_THREADS": threads, "PYTHONPATH": str(ROOT)}
        subprocess.run([sys.executable, str(script), str(source), str(out)], check=True, env=environment)
        found.append(hash_tree(out))
    assert found[0] == found[1]
    assert hash_file(tmp_path / "1" / "manifest.json") == hash_file(tmp_path / "3" / "manifest.json")
