"""Seeded clicks in the shape of Criteo's: any number of rows, out of core, with the best reachable AUC.

A row has `label`, 13 counts `I1..I13` (int32, some null) and 26 ids `C1..C26` (int64, zipf frequencies, some
null); `pipeline.click_model` is the truth behind them. The data are drawn block by block, each from a seed of
its own, and the blocks of one file are written by one thread: bytes depend on the seed, the scale and the
number of rows alone, and the first rows of a longer data set are those of a shorter one.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from core import log
from core.errors import UserError
from core.files import new_directory, write_json
from core.progress import progress
from pipeline.click_model import BLOCK, CARDINALITIES, COUNT_CEILINGS, Block, ClickModel

if TYPE_CHECKING:
    import pyarrow as pa

PART = 8 * BLOCK
"""Rows of one file."""
MAX_SCALE = 400.0
"""Keeps every id below 2^32 before it is scrambled."""
BINS_PER_LOGIT, LARGEST_LOGIT = 1024, 16
Histogram: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True)
class Figures:
    """What was generated.

    Attributes:
        rows: Number of rows.
        seed: What they come from.
        scale: Factor on the cardinalities.
        positives: Share of clicks.
        bayes_auc: AUC of the true probabilities on these rows: what a perfect model reaches.
        bayes_logloss: Mean log loss of the true probabilities, in nats.
    """

    rows: int
    seed: int
    scale: float
    positives: float
    bayes_auc: float
    bayes_logloss: float


def criteo_like(out: Path, rows: int, seed: int, *, scale: float = 1.0, threads: int | None = None) -> Figures:
    """Write `part-*.parquet` and `about.json` into the directory `out`, which appears whole or not at all.

    Args:
        out: The directory; what was there is replaced.
        rows: How many rows.
        seed: What they come from.
        scale: Factor on the cardinalities, of which the largest is 300,000 at 1.
        threads: Files written at once, by default one a core; does not change a byte.

    Raises:
        UserError: A parameter is out of range, or the disk refuses.
    """
    if rows < 1:
        raise UserError(f"rows must be at least 1, got {rows}", where="criteo-like")
    if not 0 < scale <= MAX_SCALE:
        raise UserError(f"scale must be above 0 and at most {MAX_SCALE:g}, got {scale}", where="criteo-like")
    model = ClickModel.of(seed=seed, scale=scale)
    with new_directory(out) as folder:
        figures = _figures(_write_parts(model, folder, rows, threads or os.cpu_count() or 1), rows, seed, scale)
        write_json(folder / "about.json", asdict(figures))
    auc, loss, share = figures.bayes_auc, figures.bayes_logloss, figures.positives
    log.get("generate").info("clicks %.1f %%; the truth has AUC %.4f, log loss %.4f", 100 * share, auc, loss)
    return figures


def _write_parts(model: ClickModel, folder: Path, rows: int, threads: int) -> Histogram:
    """Write every file, several at once, and count labels by true logit."""
    stop = Event()
    with progress("generate", rows) as bar, ThreadPoolExecutor(threads) as pool:
        parts = [
            pool.submit(_write_part, model, folder, range(first, min(first + PART, rows)), bar.advance, stop)
            for first in range(0, rows, PART)
        ]
        try:
            # sums of whole numbers: the same in any order
            return sum((part.result() for part in parts), start=_nothing())
        except BaseException:
            stop.set()  # the others end at their next block, before the directory goes away
            pool.shutdown(cancel_futures=True)
            raise


def _write_part(model: ClickModel, folder: Path, part: range, tick: Callable[[int], None], stop: Event) -> Histogram:
    import pyarrow.parquet as pq

    seen = _nothing()
    with pq.ParquetWriter(folder / f"part-{part.start // PART:05d}.parquet", _schema(), compression="zstd") as writer:
        for start in part[::BLOCK]:
            if stop.is_set():
                break
            rows = min(BLOCK, part.stop - start)
            block = model.block(start // BLOCK)
            writer.write_table(_table(block).slice(0, rows), row_group_size=BLOCK)
            seen += _tally(block, rows)
            tick(rows)
    return seen


def _nothing() -> Histogram:
    return np.zeros((2, 2 * LARGEST_LOGIT * BINS_PER_LOGIT), np.int64)


def _schema() -> pa.Schema:
    import pyarrow as pa

    counts = [(f"I{j + 1}", pa.int32()) for j in range(len(COUNT_CEILINGS))]
    ids = [(f"C{j + 1}", pa.int64()) for j in range(len(CARDINALITIES))]
    return pa.schema([("label", pa.int8()), *counts, *ids])


def _table(block: Block) -> pa.Table:
    import pyarrow as pa

    columns = [pa.array(value_B, mask=null_B) for value_B, null_B in (*block.counts, *block.ids)]
    return pa.Table.from_arrays([pa.array(block.label_B), *columns], schema=_schema())


def _tally(block: Block, rows: int) -> Histogram:
    """[2, bins] counts of the labels 0 and 1 by true logit."""
    edge = LARGEST_LOGIT - 0.5 / BINS_PER_LOGIT
    bin_B = ((np.clip(block.logit_B[:rows], -edge, edge) + LARGEST_LOGIT) * BINS_PER_LOGIT).astype(np.int64)
    width = 2 * LARGEST_LOGIT * BINS_PER_LOGIT
    return np.bincount(block.label_B[:rows].astype(np.int64) * width + bin_B, minlength=2 * width).reshape(2, width)


def _figures(seen: Histogram, rows: int, seed: int, scale: float) -> Figures:
    """AUC with ties counted half, and log loss at the middle of each bin."""
    negative, positive = seen.astype(np.float64)
    pairs = negative.sum() * positive.sum()
    below = np.cumsum(negative) - negative / 2
    logit = (np.arange(seen.shape[1]) + 0.5) / BINS_PER_LOGIT - LARGEST_LOGIT
    loss = positive @ np.logaddexp(0, -logit) + negative @ np.logaddexp(0, logit)
    auc = float(positive @ below / pairs) if pairs else 0.5
    share = float(positive.sum() / rows)
    return Figures(rows, seed, scale, share, round(auc, 6), round(float(loss) / rows, 6))
