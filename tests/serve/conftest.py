"""Bundles that several tests read; a test that changes one copies it first."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.serve import planted


@pytest.fixture(scope="session")
def bundle_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle with a ranker and a retriever."""
    return planted.bundle(tmp_path_factory.mktemp("planted"))
