"""Features that hold a list of ids in each row: from the files to the models."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from core.errors import UserError
from core.schema import Column, DType, Schema, Tag
from train.batch import Batch, Features, ListFeature
from train.jagged import Jagged, pooled
from train.layers.fields import Fields
from train.loader import Loader
from train.model_directory import features_of

AGE = Column("age", DType.FLOAT32, frozenset({Tag.CONTINUOUS, Tag.USER}))
GENRES = Column("genres", DType.INT32, frozenset({Tag.CATEGORICAL, Tag.ITEM}), is_list=True, cardinality=9)
LISTS = st.lists(st.lists(st.integers(0, 99), max_size=5), max_size=8)


def lists_of(jagged: Jagged) -> list[list[int]]:
    return [jagged.rows(row, row + 1).values_J.tolist() for row in range(len(jagged))]


def test_lists_of_ids_are_features():
    features = Features.of(Schema((AGE, GENRES)))
    assert features.lists == (ListFeature("genres", 9),)
    assert features.names == ("age", "genres")
    assert Features.of(Schema((AGE, GENRES)), Tag.USER).lists == ()


def test_lists_of_numbers_are_named_with_a_cure():
    prices = Column("prices", DType.FLOAT32, frozenset({Tag.CONTINUOUS, Tag.ITEM}), is_list=True)
    with pytest.raises(UserError, match="feature prices: .*lists of numbers.*list_columns"):
        Features.of(Schema((AGE, prices)))


@given(LISTS, st.data())
def test_jagged_lists_are_lists(lists, data):
    jagged = Jagged.of(lists)
    assert lists_of(jagged) == lists
    assert jagged.owners().tolist() == [row for row, one in enumerate(lists) for _ in one]
    assert jagged.places().tolist() == [place for one in lists for place in range(len(one))]
    most = data.draw(st.integers(1, 4))
    assert lists_of(jagged.last(most)) == [one[-most:] for one in lists]
    chosen = data.draw(st.lists(st.integers(0, len(lists) - 1), max_size=9)) if lists else []
    assert lists_of(jagged.pick(torch.tensor(chosen, dtype=torch.int64))) == [lists[row] for row in chosen]
    assert lists_of(Jagged.join([jagged, jagged])) == [*lists, *lists]
    values_BL, there_BL = jagged.padded(3, fill=-1)
    assert values_BL.tolist() == [(one + [-1] * 3)[:3] for one in lists]
    assert there_BL.tolist() == [[place < len(one) for place in range(3)] for one in lists]


@given(LISTS)
def test_lists_are_pooled_by_mean_and_by_sum(lists):
    jagged = Jagged.of(lists)
    vectors = torch.stack([jagged.values_J, -jagged.values_J], 1).double()
    assert pooled(vectors, jagged, mean=False)[:, 0].tolist() == [float(sum(one)) for one in lists]
    expected = [-sum(one) / len(one) if one else 0.0 for one in lists]
    assert pooled(vectors, jagged)[:, 1].tolist() == pytest.approx(expected)


def test_rows_of_files_keep_their_lists_when_they_are_shuffled(tmp_path: Path):
    rows = pl.DataFrame(
        {"id": range(50), "tags": [[row % 7] * (row % 4) for row in range(50)]},
        schema={"id": pl.Int32, "tags": pl.List(pl.Int32)},
    )
    files = [tmp_path / "a.parquet", tmp_path / "b.parquet"]
    rows.head(30).write_parquet(files[0], row_group_size=7)
    rows.tail(20).write_parquet(files[1], row_group_size=7)
    features = Features(("id",), (50,), (), (ListFeature("tags", 7),))
    for shuffle in (False, True):
        loader = Loader(files, features, 8, shuffle=shuffle, seed=3, labelled=False, block_rows=12)
        batch = Batch.join(list(loader))
        found = list(zip(batch.ids_BF[:, 0].tolist(), lists_of(batch.lists["tags"]), strict=True))
        assert (found == sorted(found)) is not shuffle
        assert sorted(found) == list(zip(rows["id"].to_list(), rows["tags"].to_list(), strict=True))


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ([[1], [7]], "id 7 of 'tags' lies outside its table of 7"),
        ([[1], [-1]], "id -1 of 'tags'"),
        ([[1], None], "'tags' holds nulls"),
        ([[1], [None]], "'tags' holds nulls"),
        ([["a"], ["b"]], "'tags' holds no lists of ids"),
        ([1, 2], "'tags' holds no lists of ids"),
    ],
)
def test_lists_that_are_none_are_named(values, told, tmp_path: Path):
    pl.DataFrame({"tags": values}).write_parquet(tmp_path / "a.parquet")
    loader = Loader([tmp_path / "a.parquet"], Features((), (), (), (ListFeature("tags", 7),)), 2, labelled=False)
    with pytest.raises(UserError, match=told):
        next(iter(loader))


def test_an_id_outside_its_table_reads_no_other_feature():
    fields = Fields(Features(("id",), (5,), (), (ListFeature("tags", 3),)), width=2)
    batch = Batch(torch.zeros(1, 1, dtype=torch.int64), torch.empty(1, 0), lists={"tags": Jagged.of([[3]])})
    with pytest.raises(ValueError, match=r"\[0, 3\), got \[3, 3\]"):
        fields(batch)


def test_features_survive_json():
    import json
    from dataclasses import asdict

    features = Features(("id",), (5,), ("age",), (ListFeature("tags", 3),))
    assert features_of(json.loads(json.dumps(asdict(features)))) == features
    assert features_of({"categorical": ["id"], "cardinalities": [5], "continuous": []}) == Features(("id",), (5,), ())
