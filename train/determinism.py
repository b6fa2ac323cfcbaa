"""What makes two runs of one seed equal, and what the random state of a run is."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator

import torch
from torch import Tensor


@contextlib.contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Draw random numbers from a seed inside the block; the random state outside is untouched.

    Example:
        >>> with seeded(7, torch.device("cpu")):
        ...     first = torch.rand(2)
        >>> with seeded(7, torch.device("cpu")):
        ...     torch.equal(torch.rand(2), first)
        True
    """
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


@contextlib.contextmanager
def deterministic() -> Iterator[None]:
    """Use only deterministic kernels inside the block; one that has no such form raises."""
    # cuBLAS is deterministic only with a workspace of a fixed size; torch asks for this variable by name.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    before = torch.are_deterministic_algorithms_enabled()
    fill = torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    torch.use_deterministic_algorithms(True)
    # Our code never reads memory that it has not written: filling it would only cost time.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)
        torch.utils.deterministic.fill_uninitialized_memory = fill  # type: ignore[attr-defined]


def random_state(device: torch.device) -> dict[str, Tensor]:
    """The state that random numbers on the CPU and on the device are drawn from."""
    state = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def set_random_state(state: dict[str, Tensor], device: torch.device) -> None:
    """Take up what `random_state` gave."""
    torch.set_rng_state(state["cpu"])
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"], device)


def epoch_random(seed: int, number: int) -> torch.Generator:
    """What the order of an epoch is drawn from: the same for every device, since it draws on the CPU.

    Example:
        >>> first, again = (torch.randperm(9, generator=epoch_random(7, 0)) for _ in range(2))
        >>> torch.equal(first, again)
        True
    """
    digest = hashlib.sha256(f"{seed} {number}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little", signed=True))
