"""Our side of the online caller: `python -m tests.bench.etl.online SOURCE OUT`; OUT holds a saved workflow."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import polars as pl

from etl.fitted import Fitted
from tests.bench.etl.rows import IDS, NUMBERS

CALLS = 100
SIZES = (1, 1000)


def main() -> None:
    """Print milliseconds of a call, median, by size; `plain` is `Fitted.transform` anew for each frame."""
    rows = pl.scan_parquet(sys.argv[1]).select(NUMBERS + IDS).head(CALLS * SIZES[-1]).collect()
    start = time.perf_counter()
    fitted = Fitted.load(Path(sys.argv[2]) / "workflow")
    found = {"load": 1000 * (time.perf_counter() - start)}
    online = fitted.online()
    for size in SIZES:
        found[str(size)] = _median(online.apply, rows, size, CALLS)
        found[f"plain {size}"] = _median(lambda frame: fitted.transform(frame).collect(), rows, size, 10)
    print(json.dumps(found), flush=True)


def _median(call: Callable[[pl.DataFrame], pl.DataFrame], rows: pl.DataFrame, size: int, calls: int) -> float:
    times = []
    for number in range(calls + 1):
        frame = rows.slice((number % CALLS) * size, size)
        start = time.perf_counter()
        call(frame)
        times.append(1000 * (time.perf_counter() - start))
    # The first call builds the query and its tables.
    return median(times[1:])


if __name__ == "__main__":
    main()
