"""Data sets that several tests read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from core.dataset import Dataset
from tests.train.clubs import write_clubs


@pytest.fixture(scope="session")
def clubs(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Users who like the items of their own club alone. Read only."""
    return write_clubs(Path(tmp_path_factory.mktemp("clubs")) / "data")


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    """Tensors this small gain nothing from threads, and lose much where other work shares the cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
