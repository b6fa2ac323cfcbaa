"""The table in docs/nvtabular.md is true: each line has a case that shows it, and no case lacks a line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.etl.nvtabular.differences import DIFFERENCES
from tests.etl.nvtabular.peer import Peer, installed

DOCS = Path(__file__).parents[3] / "docs" / "nvtabular.md"


@pytest.mark.nvtabular
@installed
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", DIFFERENCES)
def test_the_difference_is_there(name: str, tmp_path: Path) -> None:
    DIFFERENCES[name](Peer(tmp_path))


def test_the_docs_name_every_difference_and_no_other() -> None:
    section = DOCS.read_text().partition("## Differences")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("|") and "---" not in line]
    named = [re.sub(r"[`*]", "", line.split("|")[1]).strip() for line in rows[1:]]
    assert named == list(DIFFERENCES)
    assert all(len([cell for cell in line.split("|") if cell.strip()]) == 4 for line in rows)
