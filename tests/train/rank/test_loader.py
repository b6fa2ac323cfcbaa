"""The loader gives every row once, in an order that the seed and the epoch decide, and can start anywhere."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from core.dataset import ITEM_INDEX, TARGET, USER_INDEX
from core.errors import UserError
from tests.train.synthetic import Planted
from train.batch import Batch, Features
from train.loader import Loader
from train.shuffle import RowGroup, Shuffle

FEATURES = Features(("a", "b"), (1000, 7), ("x",))


def _frame(rows: int) -> pl.DataFrame:
    """Column `a` numbers the rows; every other column is a function of it."""
    number = np.arange(rows)
    return pl.DataFrame(
        {
            "a": number.astype(np.int32),
            "b": (number % 7).astype(np.int32),
            "x": (number * 0.5).astype(np.float32),
            TARGET: (number % 2).astype(np.float32),
            "who": number.astype(np.int32) + 10,
        }
    )


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Two files of 137 rows, in row groups of 20."""
    frame, paths = _frame(137), [tmp_path / "part-00000.parquet", tmp_path / "part-00001.parquet"]
    frame[:80].write_parquet(paths[0], row_group_size=20)
    frame[80:].write_parquet(paths[1], row_group_size=20)
    return paths


def _loader(files: list[Path], **settings: object) -> Loader:
    return Loader(files, FEATURES, 16, **{"block_rows": 45, **settings})


def _numbers(batches: list[Batch]) -> list[int]:
    return [int(number) for batch in batches for number in batch.ids_BF[:, 0]]


def test_in_order_it_is_the_file(files: list[Path]) -> None:
    batches = list(_loader(files, extra=("who",)))
    assert [len(batch) for batch in batches] == [16] * 8 + [9]
    assert _numbers(batches) == list(range(137))
    for batch in batches:
        number_B = batch.ids_BF[:, 0]
        assert torch.equal(batch.ids_BF[:, 1], number_B % 7)
        assert torch.equal(batch.dense_BD[:, 0], number_B * 0.5)
        assert torch.equal(batch.target_B, (number_B % 2).float())
        assert torch.equal(batch.extra["who"], number_B + 10)


def test_types_are_those_of_a_batch(files: list[Path]) -> None:
    batch = next(iter(_loader(files, extra=("who",))))
    assert (batch.ids_BF.dtype, batch.dense_BD.dtype, batch.target_B.dtype) == (
        torch.int32,
        torch.float32,
        torch.float32,
    )
    assert batch.ids_BF.is_contiguous()


def test_shuffled_rows_stay_whole_and_each_comes_once(files: list[Path]) -> None:
    batches = list(_loader(files, shuffle=True, seed=3, extra=("who",)))
    assert sorted(_numbers(batches)) == list(range(137))
    assert _numbers(batches) != list(range(137))
    for batch in batches:
        number_B = batch.ids_BF[:, 0]
        assert torch.equal(batch.ids_BF[:, 1], number_B % 7)
        assert torch.equal(batch.dense_BD[:, 0], number_B * 0.5)
        assert torch.equal(batch.extra["who"], number_B + 10)


def test_seed_and_epoch_decide_the_order(files: list[Path]) -> None:
    def order(seed: int, epoch: int) -> list[int]:
        return _numbers(list(_loader(files, shuffle=True, seed=seed).epoch(epoch)))

    assert order(3, 1) == order(3, 1)
    assert len({tuple(order(*one)) for one in ((3, 0), (3, 1), (4, 0), (4, 1))}) == 4


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("drop_last", [False, True])
def test_an_epoch_can_start_at_any_step(files: list[Path], *, shuffle: bool, drop_last: bool) -> None:
    loader = _loader(files, shuffle=shuffle, seed=5, drop_last=drop_last)
    whole = list(loader.epoch(2))
    assert len(whole) == loader.steps
    for start in range(loader.steps + 1):
        rest = list(loader.epoch(2, start))
        assert [batch.ids_BF.tolist() for batch in rest] == [batch.ids_BF.tolist() for batch in whole[start:]]


def test_a_late_start_leaves_earlier_blocks_unread(files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    read = []
    original = Loader._read
    monkeypatch.setattr(
        Loader, "_read", lambda self, block, shuffle: read.append(block) or original(self, block, shuffle)
    )
    list(_loader(files, shuffle=True).epoch(0, 8))
    assert len(read) == 1


def test_the_short_batch_can_be_left_out(files: list[Path]) -> None:
    assert {len(batch) for batch in _loader(files, drop_last=True)} == {16}
    assert len(_loader(files, drop_last=True)) == 8


def test_a_loop_may_be_left_early(files: list[Path]) -> None:
    for batch in _loader(files, shuffle=True):
        assert len(batch) == 16
        break


def test_the_number_of_arrow_threads_changes_nothing(files: list[Path]) -> None:
    before = pa.cpu_count()
    orders = []
    for threads in (1, 4):
        pa.set_cpu_count(threads)
        orders.append(_numbers(list(_loader(files, shuffle=True, seed=1))))
    pa.set_cpu_count(before)
    assert orders[0] == orders[1]


def test_no_features_of_a_kind(files: list[Path]) -> None:
    batch = next(iter(Loader(files, Features((), (), ()), 16)))
    assert batch.ids_BF.shape == (16, 0)
    assert batch.dense_BD.shape == (16, 0)


def test_planted_entities_travel_along(planted: Planted) -> None:
    features = Features.of(planted.dataset.schema())
    loader = Loader(planted.dataset.files("train"), features, 100, shuffle=True, extra=(USER_INDEX, ITEM_INDEX))
    user = features.categorical.index("user_id")
    for batch in loader:
        assert torch.equal(batch.ids_BF[:, user], batch.extra[USER_INDEX] + 3)


@given(
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=12),
    seed=st.none() | st.integers(0, 5),
    epoch=st.integers(0, 3),
    block_rows=st.integers(1, 30),
)
def test_blocks_hold_every_row_group_once(sizes: list[int], seed: int | None, epoch: int, block_rows: int) -> None:
    groups = [RowGroup(0, number, rows) for number, rows in enumerate(sizes)]
    shuffle = Shuffle(seed, epoch)
    blocks = shuffle.blocks(groups, block_rows=block_rows)
    assert Counter(group for block in blocks for group in block.groups) == Counter(groups)
    assert all(block.rows >= block_rows for block in blocks[:-1])
    first = 0
    for block in blocks:
        assert (block.first, block.rows) == (first, sum(group.rows for group in block.groups))
        first += block.rows
        order = shuffle.order(block)
        assert order is None if seed is None else sorted(order) == list(range(block.rows))


def test_blocks_of_one_epoch_have_orders_of_their_own() -> None:
    shuffle = Shuffle(seed=1)
    first, second = shuffle.blocks([RowGroup(0, 0, 50), RowGroup(0, 1, 50)], block_rows=50)
    assert shuffle.order(first).tolist() != shuffle.order(second).tolist()


def _broken(tmp_path: Path, **columns: pl.Series) -> list[Path]:
    path = tmp_path / "part-00000.parquet"
    _frame(50).with_columns(**columns).write_parquet(path)
    return [path]


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("a", pl.Series([1000] + [0] * 49, dtype=pl.Int32), "the id 1000 of 'a' lies outside"),
        ("b", pl.Series([0] * 49 + [-1], dtype=pl.Int32), "the id -1 of 'b' lies outside"),
        ("b", pl.Series([None] + [0] * 49, dtype=pl.Int32), "'b' holds 1 nulls"),
        ("x", pl.Series([None] * 50, dtype=pl.Float32), "'x' holds 50 nulls"),
        ("x", pl.Series([float("nan")] + [0.0] * 49, dtype=pl.Float32), "'x' holds a NaN"),
        ("x", pl.Series([float("inf")] + [0.0] * 49, dtype=pl.Float32), "'x' holds a NaN or an infinity"),
        ("x", pl.Series(["many"] * 50), "'x' holds no numbers"),
    ],
)
def test_what_a_model_cannot_read_is_named(tmp_path: Path, column: str, values: pl.Series, message: str) -> None:
    with pytest.raises(UserError, match=message):
        list(Loader(_broken(tmp_path, **{column: values}), FEATURES, 16))


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    _frame(50).drop("x").write_parquet(tmp_path / "part-00000.parquet")
    with pytest.raises(UserError, match="the column 'x' is missing"):
        Loader([tmp_path / "part-00000.parquet"], FEATURES, 16)


def test_half_a_file_is_named(files: list[Path]) -> None:
    files[1].write_bytes(files[1].read_bytes()[:400])
    with pytest.raises(UserError, match=r"part-00001.parquet: this is not a whole Parquet file"):
        _loader(files)


def test_a_file_broken_inside_is_named(files: list[Path]) -> None:
    data = bytearray(files[1].read_bytes())
    data[4:200] = bytes(196)
    files[1].write_bytes(data)
    with pytest.raises(UserError, match=r"part-00001.parquet: .*broken"):
        list(_loader(files))


def test_an_empty_split_is_refused(tmp_path: Path) -> None:
    _frame(0).write_parquet(tmp_path / "part-00000.parquet")
    for files in ([], [tmp_path / "part-00000.parquet"]):
        with pytest.raises(UserError, match="no rows"):
            Loader(files, FEATURES, 16)
