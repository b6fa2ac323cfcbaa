"""docs/etl.md does what it says: its blocks run in order, ours here, NVTabular's where the package is."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest

from tests.etl.nvtabular.peer import installed

TOUR = Path(__file__).parents[2] / "docs" / "etl.md"


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```$", TOUR.read_text(), flags=re.MULTILINE | re.DOTALL)


def run(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    parsed = doctest.DocTestParser().get_doctest(text, {}, "docs/etl.md", str(TOUR), 0)
    told: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.REPORT_ONLY_FIRST_FAILURE)
    runner.run(parsed, out=told.append)
    assert parsed.examples
    assert not runner.failures, "".join(told)


def test_our_side(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run("\n".join(blocks("pycon")), tmp_path, monkeypatch)


@pytest.mark.nvtabular
@installed
@pytest.mark.filterwarnings("ignore")
def test_their_side(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(blocks("pycon")[0], tmp_path, monkeypatch)
    exec(compile("\n".join(blocks("python nvtabular")), "docs/etl.md", "exec"), {})
    assert list((tmp_path / "out").glob("*.parquet"))
