"""What histories and negatives of a ranker need is told before a row is read."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from tests.e2e.run import in_process

CONFIG = """\
name: met
data: {{interactions: {{path: met.parquet}}, roles: {{{roles}}}}}
etl:
  engine: cpu
  rows: [{rows}]
  target: {target}
  split: {{by: time, valid: 0.1, test: 0.1{gap}}}
  features: [{{columns: [item], ops: [categorify]}}]
train: {{ranker: {{model: mlp{more}}}}}
"""
ALL, RATED, EVERY = "user: user, item: item, time: stamp", "{column: click}", "{every_row: true}"
AGAIN = "repeats: {key: [user, item], within: 1d, unit: s, name: again}"


def dry(folder: Path, *, roles: str = ALL, target: str = RATED, more: str = "", rows: str = "", gap: str = ""):
    """Plan a run of such a config."""
    frame = pl.DataFrame({"user": [0, 1] * 50, "item": [0, 1, 2, 3] * 25, "click": [0, 1] * 50, "stamp": range(100)})
    frame.write_parquet(folder / "met.parquet")
    config = folder / "met.yaml"
    config.write_text(CONFIG.format(roles=roles, target=target, more=more, rows=rows, gap=gap))
    return in_process("run", config, "--runs-dir", folder / "runs", "--dry-run")


@pytest.mark.parametrize(
    ("settings", "place", "told"),
    [
        ({"roles": "user: user, item: item", "more": ", history: {longest: 5}"}, "history", "(user, item, time)"),
        ({"roles": "time: stamp", "more": ", history: {longest: 5}"}, "history", "must know users, items and moments"),
        ({"more": ", negatives: {count: 4}"}, "negatives", "whose rows are all positive"),
        ({"roles": "time: stamp", "target": EVERY, "more": ", negatives: {count: 4}"}, "negatives", "data.roles"),
        ({"target": EVERY}, "ranker", "add `negatives: {count: 4}`"),
        ({"more": ", history: {longest: 0}"}, "longest", "greater than 0"),
        ({"target": EVERY, "more": ", negatives: {kind: popular, count: 4}"}, "kind", "uniform"),
        (
            {"rows": AGAIN, "target": "{column: again}", "gap": ", gap: 1d", "more": ", history: {longest: 5}"},
            "history",
            "again of earlier rows before it is known; set `positives_only: false`",
        ),
    ],
)
def test_what_is_missing_is_named_with_its_cure(tmp_path: Path, settings: dict[str, str], place: str, told: str):
    found = dry(tmp_path, **settings)
    assert found.code == 2
    assert place in found.err
    assert told in found.err
    assert "Traceback" not in found.err
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    "settings",
    [
        {"more": ", history: {longest: 5, features: [item], positives_only: false}"},
        {"target": EVERY, "more": ", negatives: {kind: uniform, count: 4}, history: {}"},
        {
            "rows": AGAIN,
            "target": "{column: again}",
            "gap": ", gap: 1d",
            "more": ", history: {positives_only: false}",
        },
    ],
)
def test_what_has_all_it_needs_is_planned(tmp_path: Path, settings: dict[str, str]) -> None:
    found = dry(tmp_path, **settings)
    assert found.code == 0, found.err
