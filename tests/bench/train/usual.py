"""Our step beside the usual one (a table a feature, dense gradients, Adam) in one process; prints one line of JSON.

python -m tests.bench.train.usual [--threads N]
"""

from __future__ import annotations

import argparse
import json

import torch

from tests.bench.bench_train import compare


def main() -> None:
    """Run `bench_train.compare`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=2)
    torch.set_num_threads(parser.parse_args().threads)
    print(json.dumps({"bench": "usual", **compare()}), flush=True)


if __name__ == "__main__":
    main()
