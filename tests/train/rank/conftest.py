"""One small planted data set, and one thread: two threads on a busy machine are slower than one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.train.synthetic import Planted, write_planted


@pytest.fixture(scope="session")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    """3000 rows with a known truth. Read only."""
    return write_planted(Path(tmp_path_factory.mktemp("planted")) / "data", rows=3000, users=30, items=20)


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
