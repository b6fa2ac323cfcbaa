"""`gyrfalcon evaluate` of a config and of its run, one split alone."""

from __future__ import annotations

from pathlib import Path

from tests.e2e.run import SMOKE, gyrfalcon


def test_one_split_of_a_config_is_printed_alone(good: Path) -> None:
    before = (good / "smoke/metrics.json").read_bytes()
    outcome = gyrfalcon("evaluate", SMOKE, "--split", "valid", "--runs-dir", good)
    assert outcome.code == 0, outcome.err
    for word in ("retriever on valid", "ranker dlrm on valid by segment", "AUC", "Recall@50"):
        assert word in outcome.out
    assert "on test" not in outcome.out
    assert (good / "smoke/metrics.json").read_bytes() == before


def test_a_run_judged_again_is_the_same(good: Path) -> None:
    kept = [good / "smoke" / name for name in ("metrics.json", "metrics_users.parquet")]
    before = [file.read_bytes() for file in kept]
    for file in kept:
        file.unlink()
    assert gyrfalcon("evaluate", good / "smoke", "--device", "cpu").code == 0
    assert [file.read_bytes() for file in kept] == before
