"""A hash of row numbers: the same on every engine, whatever the partitioning."""

from __future__ import annotations

import polars as pl

_GAMMA = 0x9E3779B97F4A7C15
_FIRST, _SECOND = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
_MASK = 2**64 - 1


def mix64(name: str, seed: int) -> pl.Expr:
    """A UInt64 for each value of an unsigned column: SplitMix64's output function (Steele, Lea and Flood, 2014).

    Multiplications wrap at 2^64 and shifts are written as divisions, since GPU plans know no shift.

    Args:
        name: The column.
        seed: Chooses one of many hashes.

    Example:
        >>> pl.DataFrame({"x": [1]}, schema={"x": pl.UInt32}).select(mix64("x", 0)).item()
        7960286522194355700
    """
    start = _word(mix_int(seed))
    state = ((pl.col(name).cast(pl.UInt64) + _word(1)) * _word(_GAMMA)) ^ start
    state = (state ^ (state // _word(1 << 30))) * _word(_FIRST)
    state = (state ^ (state // _word(1 << 27))) * _word(_SECOND)
    return state ^ (state // _word(1 << 31))


def mix_int(value: int) -> int:
    """The same mixing of one Python integer; 0 stays 0, so that the seed 0 is SplitMix64 itself.

    Example:
        >>> mix_int(0), mix_int(1) == mix_int(2)
        (0, False)
    """
    state = value * _GAMMA & _MASK
    state = (state ^ (state >> 30)) * _FIRST & _MASK
    state = (state ^ (state >> 27)) * _SECOND & _MASK
    return state ^ (state >> 31)


def below(share: float) -> pl.Expr:
    """The threshold under which a `share` of all hashes lies."""
    return _word(min(int(share * 2**64), _MASK))


def _word(value: int) -> pl.Expr:
    return pl.lit(value, dtype=pl.UInt64)
