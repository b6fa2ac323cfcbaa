"""How fast this machine multiplies matrices, as torch does it: the limit that a training step is held against.

python -m tests.bench.train.limit [--threads N]
"""

from __future__ import annotations

import argparse
import json
import time

import torch

from train.precision import fast_products

ROWS, SIDE, TIMES, ROUNDS = 4096, 1024, 4, 5


def limit(kind: torch.dtype = torch.float32) -> float:
    """GFLOP/s of the best of some rounds of products of [4096, 1024] by [1024, 1024]."""
    left, right = torch.randn(ROWS, SIDE).to(kind), torch.randn(SIDE, SIDE).to(kind)
    best = float("inf")
    for _ in range(ROUNDS):
        started = time.perf_counter()
        for _ in range(TIMES):
            left @ right
        best = min(best, (time.perf_counter() - started) / TIMES)
    return 2 * ROWS * SIDE * SIDE / best / 1e9


def main() -> None:
    """Print one line of JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=2)
    torch.set_num_threads(parser.parse_args().threads)
    usual = limit()
    with fast_products(torch.device("cpu")) as words:
        ours = limit()
    found = {"fp32_gflops": usual, "fp32_ours_gflops": ours, "bf16_gflops": limit(torch.bfloat16), "arithmetic": words}
    print(json.dumps({"bench": "limit", **found}), flush=True)


if __name__ == "__main__":
    main()
