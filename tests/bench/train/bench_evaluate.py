"""Full-ranking evaluation of a catalogue as large as Amazon Beauty by SASRec, from histories to figures.

    python -m tests.bench.train.bench_evaluate

22,363 users with 8 items known on average, 12,101 items, 2 blocks of 64 dimensions, 2 heads, untrained (what a weight
is moves no time); k = 10, known items left out. Phases: `encode`, the vectors of all users; `rank`, the exact lists;
`figures`, every metric of every user; `intervals`, the bootstrap over users that `gyrfalcon evaluate` adds.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch

from train.batch import Batch, Features
from train.evaluation.holdout import Holdout
from train.evaluation.intervals import replicate
from train.evaluation.ranking import top_k
from train.histories import HISTORY, Histories
from train.models.next_item.sasrec import SasRecSpec
from train.models.retrieve.base import Sizes, Towers
from train.pairs import ENTITY, Interactions
from train.retriever import vectors

USERS, ITEMS, KNOWN, K, ROUNDS = 22_363, 12_101, 8.0, 10, 3
NONE = Features((), (), ())


def log() -> Interactions:
    """As many items a user as chance gives, at least three: the last judges, the one before it chooses."""
    generator = torch.Generator().manual_seed(0)
    more_U = torch.empty(USERS).exponential_(1.0 / (KNOWN - 3.0), generator=generator).long()
    count_U = 5 + more_U.clamp(max=195)
    user_P = torch.repeat_interleave(torch.arange(USERS), count_U)
    item_P = (ITEMS * torch.rand(len(user_P), generator=generator) ** 2).long()
    end_P = (torch.cumsum(count_U, 0) - 1)[user_P] - torch.arange(len(user_P))
    split_P = torch.where(end_P == 0, 2, torch.where(end_P == 1, 1, 0))
    liked_P, time_P = torch.ones(len(user_P), dtype=torch.bool), torch.arange(len(user_P))
    return Interactions(user_P, item_P, liked_P, split_P, time_P, users=USERS, items=ITEMS)


class Clock:
    """Wall-clock and processor seconds by phase."""

    def __init__(self) -> None:
        self.found: dict[str, list[tuple[float, float]]] = {}

    def time(self, name: str, work: Callable[[], object]) -> object:
        """Do something and note how long it took."""
        wall, processor = time.perf_counter(), time.process_time()
        done = work()
        self.found.setdefault(name, []).append((time.perf_counter() - wall, time.process_time() - processor))
        return done

    def show(self) -> None:
        """Print the median of each phase, and of their sum without the intervals."""
        for name, rounds in self.found.items():
            wall, processor = (statistics.median(one[at] for one in rounds) for at in (0, 1))
            print(f"{name:<10} {wall:6.2f} s {processor:6.2f} processor seconds")
        main = [self.found[name] for name in ("encode", "rank", "figures")]
        wall, processor = (
            statistics.median(sum(one[at] for one in each) for each in zip(*main, strict=True)) for at in (0, 1)
        )
        print(f"{'together':<10} {wall:6.2f} s {processor:6.2f} processor seconds, without intervals")


def measure() -> None:
    """Print the phases."""
    interactions, clock = log(), Clock()
    histories, holdout = Histories.of(interactions), Holdout.of(interactions, "test")
    model = SasRecSpec(embedding_dim=64, blocks=2, heads=2, longest=50).build(Sizes(NONE, NONE, USERS, ITEMS)).eval()
    assert isinstance(model, Towers)
    none = torch.zeros(USERS, 0)
    queries = Batch(none.long(), none, lists={HISTORY: histories.at("test")}).pick(holdout.user_Q)
    items = Batch(torch.zeros(ITEMS, 0).long(), torch.zeros(ITEMS, 0), extra={ENTITY: torch.arange(ITEMS)})

    def encode() -> tuple[torch.Tensor, torch.Tensor]:
        return vectors(model.query, queries), vectors(model.item, items)

    class Known:
        items = ITEMS

        def __init__(self, item_QK: torch.Tensor) -> None:
            self.item_QK = item_QK

        def best(self, *_: object) -> torch.Tensor:
            return self.item_QK

    for _ in range(ROUNDS):
        query_QV, item_IV = clock.time("encode", encode)  # type: ignore[misc]
        user_Q, masked = holdout.user_Q, holdout.masked
        ranked = clock.time("rank", lambda: top_k(query_QV, item_IV, k=K, user_B=user_Q, masked=masked)[0])  # noqa: B023
        lists = holdout.lists(Known(ranked), ks=[K])  # type: ignore[arg-type]
        clock.time("figures", lists.whole)  # type: ignore[attr-defined]
        clock.time("intervals", lambda: replicate({0: lists.sample()})[0].intervals(0.95))  # noqa: B023
    threads = torch.get_num_threads()
    print(f"\n{len(holdout.user_Q):,} users x {ITEMS:,} items, k = {K}, {threads} threads, median of {ROUNDS}")
    clock.show()


if __name__ == "__main__":
    measure()
