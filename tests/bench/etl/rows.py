"""Seeded Criteo-like rows: a label, 13 counts with nulls and 26 ids, most of them rare.

At a scale of 1, one million rows hold 2.03 million distinct ids. Each block of rows has a seed of its own, so memory
doesn't grow with rows, and a longer file begins with the rows of a shorter one.

These are not the rows of `pipeline.generate`, which are drawn so that a model has something to learn: of their ids
few are frequent, so that one million rows hold 0.78 million distinct ones (1.61 million at a scale of 10), with other
numbers in each column. Here cardinalities, exponents and the 40 bits of an id are those of the rows that other
libraries were measured on, so that figures can stand side by side; labels mean nothing.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

BLOCK = 100_000
SEED = 20_261_123
CARDINALITIES = (
    10, 14, 20, 32, 50, 100, 200, 400, 800, 1_500, 3_000, 6_000, 10_000, 15_000, 25_000, 40_000, 60_000, 80_000,
    120_000, 160_000, 200_000, 250_000, 300_000, 300_000, 300_000, 300_000,
)  # fmt: skip
NUMBERS = [f"I{n}" for n in range(1, 14)]
IDS = [f"C{n}" for n in range(1, len(CARDINALITIES) + 1)]
SCHEMA = pa.schema(
    [("label", pa.int32()), *((name, pa.int32()) for name in NUMBERS), *((name, pa.int64()) for name in IDS)]
)
_ODD, _MASK = np.uint64(0x9E3779B97F4A7C15), np.uint64(2**40 - 1)


def write_rows(path: Path, rows: int, *, scale: float = 1.0) -> None:
    """Write one Parquet file; `scale` multiplies the cardinalities."""
    with pq.ParquetWriter(path, SCHEMA) as writer:
        for start in range(0, rows, BLOCK):
            writer.write_table(_block(start // BLOCK, min(BLOCK, rows - start), scale))


def write_distinct(path: Path, rows: int) -> None:
    """Write one column `C1` with as many distinct ids as rows."""
    with pq.ParquetWriter(path, pa.schema([("C1", pa.int64())])) as writer:
        for start in range(0, rows, 10 * BLOCK):
            ids = scrambled(np.arange(start, min(start + 10 * BLOCK, rows)), 0)
            writer.write_table(pa.table({"C1": ids}), row_group_size=10 * BLOCK)


def scrambled(rank: np.ndarray, column: int) -> np.ndarray:
    """Numbers of 40 bits that look hashed, each from another number below 2^35."""
    mixed = ((rank * 32 + column).astype(np.uint64) * _ODD) & _MASK
    return (mixed ^ (mixed >> np.uint64(20))).astype(np.int64)


def _block(number: int, rows: int, scale: float) -> pa.Table:
    rng = np.random.default_rng([SEED, number])
    columns = [pa.array((rng.random(rows) < 0.256).astype(np.int32))]
    for j in range(len(NUMBERS)):
        drawn = np.floor(np.exp(1 + 0.25 * j + 1.3 * rng.standard_normal(rows)))
        value = np.minimum(drawn, 2**31 - 1).astype(np.int32)
        columns.append(pa.array(value, mask=rng.random(rows) < 0.02 + 0.03 * j))
    for j, cardinality in enumerate(CARDINALITIES):
        rank = _zipf(rng, rows, max(3, round(cardinality * scale)), _exponent(cardinality))
        columns.append(pa.array(scrambled(rank, j), mask=rng.random(rows) < 0.01 * (j % 4)))
    return pa.Table.from_arrays(columns, schema=SCHEMA)


def _exponent(cardinality: int) -> float:
    """The long columns are so flat that most of their ids occur."""
    if cardinality < 20_000:
        return 1.05
    return 0.8 if cardinality < 200_000 else 0.45


def _zipf(rng: np.random.Generator, rows: int, most: int, a: float) -> np.ndarray:
    """Draw from 1 to `most` with a density of x^-a, by the inverse of its distribution function."""
    u = rng.random(rows)
    x = (1 + u * ((most + 1.0) ** (1 - a) - 1)) ** (1 / (1 - a))
    return np.minimum(x.astype(np.int64), most)
