"""One good run of the smoke config, made once for all tests of this directory."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.e2e.run import SMOKE, Outcome, gyrfalcon


@pytest.fixture(scope="session")
def first_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Outcome]:
    """The `runs` directory of an undisturbed run, and how the command ended. Don't change it."""
    runs = tmp_path_factory.mktemp("good")
    outcome = gyrfalcon("run", SMOKE, "--runs-dir", runs)
    assert outcome.code == 0, outcome.err
    return runs, outcome


@pytest.fixture
def good(first_run: tuple[Path, Outcome], tmp_path: Path) -> Path:
    """A copy of the good `runs` directory, to be disturbed."""
    shutil.copytree(first_run[0], tmp_path / "runs", copy_function=shutil.copy2)
    return tmp_path / "runs"
