"""Exact ranking of a catalogue as large as Amazon Beauty: the shortlist against the scores of whole rows.

    python -m tests.bench.train.bench_ranking

Both run in one process, turn about, so that what else the machine does falls on both alike.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch

from train.evaluation.ranking import _by_rows, top_k

USERS, ITEMS, DIMENSIONS, K, ROUNDS = 22_363, 12_101, 64, 10, 7
Ranked = tuple[torch.Tensor, torch.Tensor]


def timed(work: Callable[[], Ranked]) -> tuple[float, float, Ranked]:
    """Wall-clock and processor seconds, and what was found."""
    wall, processor = time.perf_counter(), time.process_time()
    found = work()
    return time.perf_counter() - wall, time.process_time() - processor, found


def compare() -> None:
    """Print medians and the paired ratios."""
    generator = torch.Generator().manual_seed(0)
    query, item = (torch.randn(rows, DIMENSIONS, generator=generator) for rows in (USERS, ITEMS))
    ways: dict[str, Callable[[], Ranked]] = {
        "whole rows, float64": lambda: _by_rows(query, item, k=K, user_B=None, masked=None, block=None),
        "shortlist": lambda: top_k(query, item, k=K),
    }
    rounds = [{name: timed(way) for name, way in ways.items()} for _ in range(ROUNDS)]
    print(f"\n{USERS:,} users x {ITEMS:,} items x {DIMENSIONS}, k = {K}, {torch.get_num_threads()} threads")
    for name in ways:
        wall, processor = (statistics.median(one[name][at] for one in rounds) for at in (0, 1))
        print(f"{name:<20} median of {ROUNDS}: {wall:.2f} s, {processor:.2f} processor seconds")
    for at, what in ((0, "time"), (1, "processor time")):
        ratios = sorted(one["whole rows, float64"][at] / one["shortlist"][at] for one in rounds)
        print(f"{what}: {statistics.median(ratios):.2f} times as fast ({ratios[0]:.2f} to {ratios[-1]:.2f})")
    slow, fast = (rounds[0][name][2] for name in ways)
    assert all(torch.equal(one, other) for one, other in zip(slow, fast, strict=True))
    print("the same lists and scores, to the bit")


if __name__ == "__main__":
    compare()
