"""Histories are cut so that nothing is predicted twice, and batches come in an order that a seed tells."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from train.histories import HISTORY
from train.jagged import Jagged
from train.sequences.batches import TOGETHER, SequenceBatches
from train.sequences.windows import inputs_and_next, windows


def unpacked(lists: Jagged) -> list[list[int]]:
    """As Python lists."""
    return [lists.rows(row, row + 1).values_J.tolist() for row in range(len(lists))]


def numbered(sizes: list[int]) -> Jagged:
    """Histories whose items all differ."""
    items = iter(range(sum(sizes)))
    return Jagged.of([[next(items) for _ in range(size)] for size in sizes])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 23), min_size=1, max_size=8), st.integers(2, 9))
def test_each_item_follows_another_once(sizes: list[int], most: int) -> None:
    histories = numbered(sizes)
    cut = windows(histories, most=most, overlap=1)
    whole = unpacked(histories)
    assert all(2 <= size <= most for size in cut.sizes.tolist())
    before, next_J = inputs_and_next(cut)
    assert next_J.tolist() == [item for one in whole for item in one[1:]]
    # What is read before each target is its own history, and goes as far back as the window does.
    assert (before.values_J + 1 == next_J).all()


@pytest.mark.parametrize("size", [4, 5, 6, 7, 8])
def test_the_newest_window_is_whole(size: int) -> None:
    cut = unpacked(windows(numbered([size]), most=4, overlap=1))
    assert len(cut[-1]) == 4
    assert cut[-1][-1] == size - 1


def test_windows_without_overlap() -> None:
    assert unpacked(windows(numbered([5, 0, 2]), most=2, overlap=0)) == [[0], [1, 2], [3, 4], [5, 6]]


def test_nobody_gives_no_window() -> None:
    assert len(windows(numbered([1, 0, 1]), most=4, overlap=1)) == 0


def sequences() -> Jagged:
    """50 lists of 2 to 11 items, all different."""
    return numbered((torch.arange(50) * 7 % 10 + 2).tolist())


def test_an_epoch_holds_each_sequence_once() -> None:
    batches = SequenceBatches(sequences(), 8, seed=0)
    seen = [one for batch in batches.epoch(0) for one in unpacked(batch.lists[HISTORY])]
    assert sorted(seen) == unpacked(sequences())
    assert batches.steps == len(list(batches.epoch(0))) == 7
    assert batches.rows == sum(len(batch) for batch in batches.epoch(0)) == 50


def test_the_order_follows_from_seed_and_epoch() -> None:
    def order(seed: int, epoch: int, start: int = 0) -> list[list[int]]:
        batches = SequenceBatches(sequences(), 8, seed=seed).epoch(epoch, start)
        return [one for batch in batches for one in unpacked(batch.lists[HISTORY])]

    assert order(0, 0) == order(0, 0)
    assert order(0, 0) != order(1, 0)
    assert order(0, 0) != order(0, 1)
    whole = list(SequenceBatches(sequences(), 8, seed=0).epoch(3))
    late = list(SequenceBatches(sequences(), 8, seed=0).epoch(3, 5))
    assert [batch.lists[HISTORY].values_J.tolist() for batch in whole[5:]] == [
        batch.lists[HISTORY].values_J.tolist() for batch in late
    ]


def test_a_batch_is_nearly_even() -> None:
    many = numbered((torch.arange(64 * TOGETHER) * 7 % 40 + 2).tolist())
    spread = [int(sizes.max() - sizes.min()) for sizes in (b.lists[HISTORY].sizes for b in _batches(many))]
    assert max(spread) <= 40 / TOGETHER + 1


def _batches(lists: Jagged) -> list:  # type: ignore[type-arg]
    return list(SequenceBatches(lists, 64, seed=0).epoch(0))
