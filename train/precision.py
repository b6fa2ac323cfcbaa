"""The one door to the arithmetic of matrix products."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch

LARGEST_ERROR = 2e-6
"""Relative error that still counts as float32; bfloat16 products are a thousand times worse."""


@contextlib.contextmanager
def fast_products(device: torch.device) -> Iterator[str]:
    """Use the fastest matrix products that keep float32's accuracy inside the block; give them in words.

    On the CPU the setting "medium" sends products to oneDNN, which is faster than MKL on many processors. A
    processor with bfloat16 units may then round to bfloat16: a probe finds out, and the setting is taken back.

    Example:
        >>> with fast_products(torch.device("cpu")) as words:
        ...     words.startswith("float32")
        True
    """
    before = torch.get_float32_matmul_precision()
    try:
        yield _choose(device)
    finally:
        torch.set_float32_matmul_precision(before)


def in_float32(device: torch.device) -> torch.autocast:
    """Inside the block nothing is rounded to bfloat16, whatever the block around it allows.

    Example:
        >>> cpu, ones = torch.device("cpu"), torch.ones(2, 2)
        >>> with torch.autocast("cpu", dtype=torch.bfloat16), in_float32(cpu):
        ...     (ones @ ones).dtype
        torch.float32
    """
    return torch.autocast(device.type, enabled=False)


def _choose(device: torch.device) -> str:
    torch.set_float32_matmul_precision("highest")
    if device.type != "cpu":
        return "float32"
    torch.set_float32_matmul_precision("medium")
    error = _probe()
    if error <= LARGEST_ERROR:
        return f"float32 through oneDNN (relative error {error:.1e})"
    torch.set_float32_matmul_precision("highest")
    return f"float32 (oneDNN would round: relative error {error:.1e})"


def _probe() -> float:
    """Relative error of a float32 product of the size that a layer has."""
    generator = torch.Generator().manual_seed(0)
    left, right = (torch.randn(256, 256, generator=generator) for _ in range(2))
    exact = left.double() @ right.double()
    return float(((left @ right).double() - exact).norm() / exact.norm())
